package catalog

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/test/disk"
)

// Each call that SQLite makes to its disk during a change fails in each way, once, or the disk is pulled out there: the change is there whole, or
// not at all, an acknowledged one is there, errors say that it is ours, and with the disk the catalog goes on. In the end its file is as it
// should be, also to who opens it anew.
func TestDiskFaults(t *testing.T) {
	if !disk.Own(t) {
		return
	}
	for _, f := range disk.Faults {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			d := disk.NewFaulty(t)
			path := filepath.Join(d.Dir, "catalog.db")
			c, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			by := users(t, c, "alice", "bob")[0]
			publishWith(t, c, "base", "1.0.0", nil)
			states := map[string]string{}
			for _, op := range faultOperations(t) {
				diskFaults(t, c, d, f, op, by, states)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			c, err = Open(t.Context(), path)
			c = closing(t, c, err)
			for name, want := range states {
				if got := state(t, c, name); got != want {
					t.Errorf("%s was\n%s\nand opened anew\n%s", name, want, got)
				}
			}
			found, err := collect(t.Context(), c.ro, scanString, "PRAGMA integrity_check")
			if err != nil || len(found) != 1 || found[0] != "ok" {
				t.Errorf("SQLite finds: %q %v", found, err)
			}
		})
	}
}

// diskFaults does an operation again and again, on a crate of its own each time, until all its calls have failed.
func diskFaults(t *testing.T, c *Catalog, d *disk.Faulty, f disk.Fault, op operation, by Actor, states map[string]string) {
	t.Helper()
	setUp := func() string {
		name := fmt.Sprintf("crate%d", len(states))
		if !op.fresh {
			beforeOperation(t, c, by, name)
		}
		return name
	}
	name := setUp()
	old := state(t, c, name)
	if err := op.do(t.Context(), c, by, name); err != nil {
		t.Fatal(err)
	}
	changed := state(t, c, name)
	states[name] = changed
	for nth := 1; ; nth++ {
		name := setUp()
		d.Fail(nth, f)
		err := op.do(t.Context(), c, by, name)
		calls := d.Calls()
		d.Fail(0, "")
		got := state(t, c, name)
		states[name] = got
		where := fmt.Sprintf("%s, call %d (%v)", op.name, nth, err)
		switch {
		case err == nil && got != changed:
			t.Errorf("%s: acknowledged, and the state is\n%s\nwant\n%s", where, got, changed)
		case got != old && got != changed:
			t.Errorf("%s: half a change:\n%s", where, got)
		case err != nil && (calls < nth || f == disk.Slow):
			t.Errorf("%s: and no call failed", where)
		case err != nil && fault.KindOf(err) != fault.Unavailable:
			t.Errorf("%s: not Unavailable: %T", where, err)
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("%s: with the disk: %v", where, err)
		}
		if calls < nth {
			t.Logf("%s: %d calls", op.name, nth-1)
			return
		}
	}
}
