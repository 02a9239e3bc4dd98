package upkeep_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/publish"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
)

const day = 24 * time.Hour

func sweeper(y *upkeeptest.Yard) *upkeep.Sweeper {
	return &upkeep.Sweeper{Catalog: y.Catalog, Marks: y.Catalog, Store: y.Store, Leases: y.Catalog, Holder: "test", OlderThan: day, Grace: time.Millisecond}
}

func deleteVersion(t *testing.T, y *upkeeptest.Yard, r publish.Result, ago time.Duration) {
	t.Helper()
	if err := y.Catalog.DeleteVersion(t.Context(), catalog.Actor{}, r.Name, r.Version); err != nil {
		t.Fatal(err)
	}
	y.Exec(fmt.Sprintf("UPDATE versions SET deleted_at = deleted_at - %d WHERE num = '%s'", int(ago.Seconds()), r.Version))
}

// A sweep removes what is old and named by nobody, and what was deleted long ago; all else stays. A dry run tells the same and removes
// nothing.
func TestSweep(t *testing.T) { upkeeptest.Each(t, testSweep) }

func testSweep(t *testing.T, y *upkeeptest.Yard) {
	live, old, fresh := y.Publish("demo", "1.0.0"), y.Publish("demo", "1.1.0"), y.Publish("demo", "1.2.0")
	deleteVersion(t, y, old, 2*day)
	deleteVersion(t, y, fresh, time.Hour)
	orphan, young := storage.CrateKey("demo", "9.0.0", zeros), storage.CrateKey("demo", "9.1.0", zeros)
	stays := []string{upkeeptest.Key(live), upkeeptest.Key(fresh), young, "crates/demo/notes.txt", "crates/readme", "quarantine/x/" + orphan}
	for _, key := range append([]string{orphan}, stays[2:]...) {
		y.Put(key, []byte("0123456789"))
	}
	for _, key := range append([]string{orphan, upkeeptest.Key(old)}, stays...) {
		if key != young {
			y.Age(key, 2*day)
		}
	}
	goes := []string{upkeeptest.Key(old), orphan}
	slices.Sort(goes)
	slices.Sort(stays)
	var told []string
	s := sweeper(y)
	s.Each = func(b upkeep.Swept) { told = append(told, b.Key) }
	s.DryRun = true
	rep, err := s.Run(t.Context())
	if err != nil || !slices.Equal(told, goes) || rep.Removed != 2 || rep.Bytes != old.Size+10 || rep.Seen != 7 || len(y.Keys("")) != 8 {
		t.Fatalf("dry run: %+v %q %v; left %q", rep, told, err, y.Keys(""))
	}
	told, s.DryRun = nil, false
	if rep, err = s.Run(t.Context()); err != nil || !slices.Equal(told, goes) || rep.Removed != 2 || rep.Bytes != old.Size+10 {
		t.Fatalf("%+v %q %v", rep, told, err)
	}
	left := slices.DeleteFunc(y.Keys(""), func(k string) bool { return strings.HasPrefix(k, ".") })
	if !slices.Equal(left, stays) {
		t.Errorf("left %q\nwant %q", left, stays)
	}
	if marks, err := y.Catalog.Swept(t.Context()); err != nil || len(marks) != 0 {
		t.Errorf("marks are left: %v %v", marks, err)
	}
	if r := check(t, &upkeep.Checker{Catalog: y.Catalog, Feed: y.Catalog, Store: y.Store}); r.Damaged() != 0 {
		t.Errorf("after the sweep: %+v", r.Findings)
	}
	s.OlderThan = time.Minute
	if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "an upload may be on its way") {
		t.Errorf("of a minute: %v", err)
	}
}

// What a sweep had marked when it died, the next one removes, unless it was marked too early; then it can be published again.
func TestSweepAfterCrash(t *testing.T) { upkeeptest.Each(t, testSweepAfterCrash) }

func testSweepAfterCrash(t *testing.T, y *upkeeptest.Yard) {
	live, fresh := y.Publish("demo", "1.0.0"), y.Publish("demo", "1.1.0")
	deleteVersion(t, y, fresh, time.Hour)
	archive := upkeeptest.Archive(t, "demo", "2.0.0", "", nil)
	lost, err := y.TryPublish(archive, "demo", "2.0.0")
	if err != nil {
		t.Fatal(err)
	}
	y.Exec("DELETE FROM changes WHERE version_id = (SELECT id FROM versions WHERE num = '2.0.0')")
	y.Exec("DELETE FROM versions WHERE num = '2.0.0'") // as if its publish had died between storage and catalog
	marked, err := y.Catalog.MarkForSweep(t.Context(), []catalog.CrateBlob{{Crate: "demo", Num: "1.0.0", SHA256: live.SHA256},
		{Crate: "demo", Num: "1.1.0", SHA256: fresh.SHA256}, {Crate: "demo", Num: "2.0.0", SHA256: lost.SHA256}})
	if err != nil || len(marked) != 2 {
		t.Fatalf("%+v %v", marked, err)
	}
	if _, err := y.TryPublish(archive, "demo", "2.0.0"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("publish of what is being removed: %v", err)
	}
	rep, err := sweeper(y).Run(t.Context())
	if err != nil || rep.Finished != 1 || rep.Removed != 0 {
		t.Errorf("%+v %v", rep, err)
	}
	want := []string{upkeeptest.Key(live), upkeeptest.Key(fresh)}
	if got := y.Keys("crates/"); !slices.Equal(got, want) {
		t.Errorf("left %q\nwant %q", got, want)
	}
	if _, err := y.TryPublish(archive, "demo", "2.0.0"); err != nil {
		t.Errorf("publish after the sweep: %v", err)
	}
	if r := check(t, &upkeep.Checker{Catalog: y.Catalog, Store: y.Store}); r.Damaged() != 0 || r.Versions != 2 {
		t.Errorf("%+v", r)
	}
}

// Sweeps that race with publishes of the very bytes that they remove never take those of a version: whoever is told that a version is
// published finds its archive.
func TestSweepRacesWithPublish(t *testing.T) { upkeeptest.Each(t, testSweepRacesWithPublish) }

func testSweepRacesWithPublish(t *testing.T, y *upkeeptest.Yard) {
	y.Publish("first", "1.0.0")
	const crates = 24
	archives := make([][]byte, crates)
	name := func(i int) string { return fmt.Sprintf("race-%d", i) }
	for i := range archives {
		archives[i] = upkeeptest.Archive(t, name(i), "1.0.0", "", nil)
		y.Put(storage.CrateKey(name(i), "1.0.0", sha256Of(archives[i])), archives[i])
		y.Age(storage.CrateKey(name(i), "1.0.0", sha256Of(archives[i])), 2*day)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			s := sweeper(y)
			s.Grace = 300 * time.Millisecond
			if _, err := s.Run(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	var published atomic.Int64
	var publishers sync.WaitGroup
	for w := range 3 {
		publishers.Go(func() {
			for i := w; i < crates; i += 3 {
				for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
					_, err := y.TryPublish(archives[i], name(i), "1.0.0")
					if err == nil {
						published.Add(1)
						break
					}
					if fault.KindOf(err) != fault.Unavailable {
						t.Error(err)
						break
					}
				}
			}
		})
	}
	publishers.Wait()
	cancel()
	wg.Wait()
	r := check(t, &upkeep.Checker{Catalog: y.Catalog, Feed: y.Catalog, Store: y.Store})
	if r.Damaged() != 0 || r.Versions != crates+1 || published.Load() != crates {
		t.Errorf("%d published; %+v", published.Load(), r)
	}
}

// Sweeps do not meet each other.
func TestSweepIsAlone(t *testing.T) {
	y := upkeeptest.Small(t)
	y.Publish("demo", "1.0.0")
	err := upkeep.Hold(t.Context(), y.Catalog, upkeep.BlobsLease, "another", func(ctx context.Context) error {
		_, err := sweeper(y).Run(ctx)
		return err
	})
	if !errors.Is(err, upkeep.ErrHeld) {
		t.Error(err)
	}
}

// The same file of a crate that was deleted and made again is that of the new one: it stays, however long ago the old one went.
func TestSweepOfCrateMadeAgain(t *testing.T) { upkeeptest.Each(t, testSweepOfCrateMadeAgain) }

func testSweepOfCrateMadeAgain(t *testing.T, y *upkeeptest.Yard) {
	archive := upkeeptest.Archive(t, "demo", "1.0.0", "", nil)
	var last publish.Result
	for range 2 {
		r, err := y.TryPublish(archive, "demo", "1.0.0")
		if err != nil {
			t.Fatal(err)
		}
		last = r
		if err := y.Catalog.DeleteCrate(t.Context(), catalog.Actor{}, "demo", ""); err != nil {
			t.Fatal(err)
		}
		y.Exec("DELETE FROM blocked_names")
	}
	y.Exec(fmt.Sprintf("UPDATE crates SET deleted_at = deleted_at - %d WHERE deleted_at IS NOT NULL", int((3 * day).Seconds())))
	if _, err := y.TryPublish(archive, "demo", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	y.Age(upkeeptest.Key(last), 4*day)
	if rep, err := sweeper(y).Run(t.Context()); err != nil || rep.Removed != 0 || rep.Seen != 1 {
		t.Errorf("%+v %v", rep, err)
	}
	if r := check(t, &upkeep.Checker{Catalog: y.Catalog, Feed: y.Catalog, Store: y.Store}); len(r.Findings) > 0 || r.Versions != 1 {
		t.Errorf("%+v", r)
	}
	if err := y.Catalog.DeleteCrate(t.Context(), catalog.Actor{}, "demo", ""); err != nil {
		t.Fatal(err)
	}
	if rep, err := sweeper(y).Run(t.Context()); err != nil || rep.Removed != 0 {
		t.Errorf("right after it was deleted again: %+v %v", rep, err)
	}
	y.Exec(fmt.Sprintf("UPDATE crates SET deleted_at = deleted_at - %d", int((3 * day).Seconds())))
	if rep, err := sweeper(y).Run(t.Context()); err != nil || rep.Removed != 1 {
		t.Errorf("long after: %+v %v", rep, err)
	}
}

// A catalog that names none of the archives is not theirs: it was lost, or set back, or is another's.
func TestSweepDoubtsTheCatalog(t *testing.T) { upkeeptest.Each(t, testSweepDoubtsTheCatalog) }

func testSweepDoubtsTheCatalog(t *testing.T, y *upkeeptest.Yard) {
	orphan := storage.CrateKey("demo", "9.0.0", zeros)
	y.Put(orphan, []byte("0123456789"))
	y.Age(orphan, 2*day)
	s := sweeper(y)
	if rep, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "named by no version") || rep.Removed != 0 || !slices.Contains(y.Keys(""), orphan) {
		t.Fatalf("%+v %v, left %q", rep, err, y.Keys(""))
	}
	s.Owns = func(context.Context) error { return errors.New("another's") }
	s.Force = true
	if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another's") {
		t.Errorf("a store of another registry: %v", err)
	}
	s.Owns = nil
	if rep, err := s.Run(t.Context()); err != nil || rep.Removed != 1 {
		t.Errorf("by force: %+v %v", rep, err)
	}
}

// A few uploads that failed in a registry without crates are rubbish, if they came since the storage is its own. A dry run says what keeps a
// sweep from beginning.
func TestSweepWithoutCrates(t *testing.T) { upkeeptest.Each(t, testSweepWithoutCrates) }

func testSweepWithoutCrates(t *testing.T, y *upkeeptest.Yard) {
	if err := storage.Claim(t.Context(), y.Store, "this", false); err != nil {
		t.Fatal(err)
	}
	put := func(n, days int) {
		for i := range n {
			key := storage.CrateKey("demo", fmt.Sprintf("%d.%d.0", days, i), zeros)
			y.Put(key, []byte("0123456789"))
			y.Age(key, time.Duration(days)*day)
		}
	}
	claimed := func(days int) { y.Age(".crateyard/registry", time.Duration(days)*day) }
	s := sweeper(y)
	s.Owns = func(context.Context) error { return nil }
	runs := func(what string, removes int64) {
		t.Helper()
		s.DryRun = true
		dry, err := s.Run(t.Context())
		if err != nil || (dry.Refused == "") != (removes > 0) || dry.Removed == 0 {
			t.Errorf("%s, dry: %+v %v", what, dry, err)
		}
		s.DryRun = false
		if rep, err := s.Run(t.Context()); (err == nil) != (removes > 0) || rep.Removed != removes || err != nil && dry.Refused != err.Error() {
			t.Errorf("%s: %+v %v; a dry run says %q", what, rep, err, dry.Refused)
		}
	}
	put(1, 3)
	claimed(2)
	runs("stored before the storage was taken over", 0)
	claimed(9)
	runs("stored since", 1)
	put(11, 3)
	runs("more than a handful", 0)
}

// Where it turns out that the catalog was set back, before a sweep, behind its first look or behind its marks, no blob stays marked, whoever marked it: it
// can be published and brought back, and no later sweep ends what this one began.
func TestSweepRefusedLeavesNoMarks(t *testing.T) { upkeeptest.Each(t, testSweepRefusedLeavesNoMarks) }

func testSweepRefusedLeavesNoMarks(t *testing.T, y *upkeeptest.Yard) {
	y.Publish("demo", "1.0.0")
	archive := upkeeptest.Archive(t, "demo", "1.1.0", "", nil)
	lost, err := y.TryPublish(archive, "demo", "1.1.0")
	if err != nil {
		t.Fatal(err)
	}
	key := upkeeptest.Key(lost)
	y.Exec("DELETE FROM changes WHERE version_id = (SELECT id FROM versions WHERE num = '1.1.0')")
	y.Exec("DELETE FROM versions WHERE num = '1.1.0'") // as in a catalog of before
	y.Age(key, 2*day)
	before := catalog.CrateBlob{Crate: "demo", Num: "0.9.0", SHA256: zeros}
	setBack := errors.New("the catalog was set back")
	for after := range 5 { // how often it is said to be right, before it is not
		if _, err := y.Catalog.MarkForSweep(t.Context(), []catalog.CrateBlob{before}); err != nil {
			t.Fatal(err)
		}
		s, asked := sweeper(y), 0
		s.Force = true
		s.Owns = func(context.Context) error {
			if asked++; asked > after {
				return setBack
			}
			return nil
		}
		if _, err := s.Run(t.Context()); !errors.Is(err, setBack) {
			t.Fatalf("allowed %d times: %v", after, err)
		}
		if left, err := y.Catalog.Swept(t.Context()); err != nil || len(left) != 0 || len(y.Get(key)) == 0 {
			t.Errorf("allowed %d times: still marked: %v %v; %d bytes are there", after, left, err, len(y.Get(key)))
		}
	}
	if _, err := y.TryPublish(archive, "demo", "1.1.0"); err != nil {
		t.Error(err)
	}
}
