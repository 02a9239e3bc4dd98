package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/crateyard/crateyard/test/disk"
)

// Each call that the store makes to its disk fails in each way, once: what was acknowledged is whole, what was not is whole or not there, and the
// same step goes well when the disk does. So it is with a folder that servers share.
func TestFilesystemFaults(t *testing.T) {
	if !disk.Own(t) {
		return
	}
	for name, open := range map[string]func(*testing.T, string) *Filesystem{"alone": openFS, "shared": openShared} {
		faults := disk.Faults
		if name == "shared" { // where the calls are almost the same
			faults = []disk.Fault{disk.Error, disk.Gone}
		}
		for _, f := range faults {
			t.Run(fmt.Sprintf("%s, %s", name, f), func(t *testing.T) {
				t.Parallel()
				d := disk.NewFaulty(t)
				s := open(t, d.Dir)
				t.Cleanup(func() { d.Fail(0, "") })
				for nth := 1; ; nth++ {
					key, data := blobOf("faults", fmt.Sprint(nth), 100_000)
					if err := s.Delete(t.Context(), ownerKey); err != nil {
						t.Fatal(err)
					}
					d.Fail(nth, f)
					if !faultyWork(t, s, d, nth, key, data, f == disk.Slow) {
						t.Logf("the work makes %d calls", nth-1)
						if nth < 20 {
							t.Error("which are too few")
						}
						return
					}
				}
			})
		}
	}
}

// faultyWork does the work, of which one call fails, and reports whether there was such a call.
func faultyWork(t *testing.T, s Store, d *disk.Faulty, nth int, key string, data []byte, slow bool) (failed bool) {
	t.Helper()
	for _, step := range s3Work {
		err := step.do(t.Context(), s, key, data)
		where := fmt.Sprintf("call %d, %s", nth, step.name)
		stores := step.name == "store" || step.name == "store again"
		if !failed && d.Calls() >= nth {
			failed = true
			d.Fail(0, "")
			if got, rerr := read(t.Context(), s, key); rerr == nil && !bytes.Equal(got, data) || rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
				t.Errorf("%s (%v): %d bytes are there of %d, %v", where, err, len(got), len(data), rerr)
			} else if rerr != nil && err == nil && stores {
				t.Errorf("%s: acknowledged, and not there", where)
			}
		} else if err != nil {
			t.Fatalf("%s, and no call failed: %v", where, err)
		}
		if err == nil {
			continue
		}
		if slow || errors.Is(err, errWrongBytes) {
			t.Errorf("%s: %v", where, err)
		}
		if err = step.do(t.Context(), s, key, data); err != nil {
			t.Fatalf("%s, the second time: %v", where, err)
		}
		if stores {
			mustHold(t, s, key, data)
		}
	}
	return failed
}
