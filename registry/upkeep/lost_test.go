package upkeep_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/publish"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
)

// withLost makes a registry of which somebody took versions out of the database by hand, as SQLite's shell lets him: one, one of a restricted
// crate, and a whole crate. Their archives are old.
func withLost(t *testing.T) (y *upkeeptest.Yard, archives []string) {
	t.Helper()
	y = upkeeptest.Small(t)
	y.Publish("demo", "1.0.0")
	for _, r := range []publish.Result{y.Publish("demo", "1.1.0"), y.Publish("secret", "1.0.0"), y.Publish("whole", "1.0.0")} {
		archives = append(archives, upkeeptest.Key(r))
		y.Age(upkeeptest.Key(r), 30*day)
	}
	y.Publish("secret", "1.1.0")
	y.Exec("UPDATE crates SET restricted = 1 WHERE name = 'secret'")
	y.Exec("UPDATE changes SET hidden = 1 WHERE crate = 'secret'")
	y.Exec("DELETE FROM versions WHERE num = '1.1.0' AND crate_id = (SELECT id FROM crates WHERE name = 'demo')")
	y.Exec("DELETE FROM versions WHERE num = '1.0.0' AND crate_id = (SELECT id FROM crates WHERE name = 'secret')")
	y.Exec("DELETE FROM crates WHERE name = 'whole'")
	return y, archives
}

// A version whose row is gone is damage, also of a crate that the index does not tell of, and nobody is advised to sweep its archive away.
func TestCheckFindsLostVersions(t *testing.T) {
	y, _ := withLost(t)
	for _, quick := range []bool{false, true} {
		r := check(t, &upkeep.Checker{Catalog: y.Catalog, Feed: y.Catalog, Store: y.Store, Quick: quick})
		want := []string{"orphan demo 1.1.0", "orphan secret 1.0.0", "orphan whole 1.0.0", "wrong-feed demo", "wrong-feed secret", "wrong-feed whole"}
		if got := found(r); !slices.Equal(got, want) || r.Damaged() != 3 {
			t.Errorf("quick %v: found %q\nwant %q", quick, got, want)
		}
		for _, f := range r.Findings {
			if f.Kind == upkeep.Orphan && !strings.HasPrefix(f.Advice, "keep it") || f.Kind == upkeep.WrongFeed && !strings.Contains(f.Advice, "last copies") {
				t.Errorf("advice: %s", f)
			}
		}
	}
}

// A sweep spares what may be the last copy of a version whose row is gone, by force too, and where a sweep before had marked it already.
func TestSweepSparesLostVersions(t *testing.T) {
	y, archives := withLost(t)
	other := storage.CrateKey("other", "1.0.0", zeros)
	y.Put(other, []byte("rubbish"))
	y.Age(other, 30*day)
	blobs := []catalog.CrateBlob{}
	for _, key := range archives {
		name, num, sum, _ := storage.ParseCrateKey(key)
		blobs = append(blobs, catalog.CrateBlob{Crate: name, Num: num, SHA256: sum})
	}
	if marked, err := y.Catalog.MarkForSweep(t.Context(), blobs[:1]); err != nil || len(marked) != 1 {
		t.Fatalf("%v %v", marked, err)
	}
	for _, s := range []*upkeep.Sweeper{{DryRun: true}, {}, {Force: true}} {
		s.Catalog, s.Marks, s.Store, s.Leases, s.Holder, s.OlderThan, s.Grace = y.Catalog, y.Catalog, y.Store, y.Catalog, "test", day, time.Millisecond
		rep, err := s.Run(t.Context())
		if err != nil || rep.Spared != 3 || rep.Finished != 0 {
			t.Fatalf("%+v %v", rep, err)
		}
		for _, key := range archives {
			if !slices.Contains(y.Keys("crates/"), key) {
				t.Fatalf("%s is gone", key)
			}
		}
	}
	if slices.Contains(y.Keys("crates/"), other) {
		t.Error("rubbish of another crate stayed")
	}
	if marks, err := y.Catalog.Swept(t.Context()); err != nil || len(marks) != 0 {
		t.Errorf("marks are left: %v %v", marks, err)
	}
}

// A sweep counts the catalog once, however much it removes, and yet spares what was taken out of the database while it was at work: a version that was
// there when it began, one that came since, and a whole crate.
func TestSweepSparesWhatIsLostMeanwhile(t *testing.T) {
	y := upkeeptest.Small(t)
	for i := range 450 { // more than four batches
		key := storage.CrateKey(fmt.Sprintf("a-%d", i%7), fmt.Sprintf("1.%d.0", i), zeros)
		y.Put(key, []byte("rubbish"))
		y.Age(key, 30*day)
	}
	y.Publish("demo", "1.0.0")
	stays := []string{upkeeptest.Key(y.Publish("demo", "1.1.0")), upkeeptest.Key(y.Publish("whole", "1.0.0"))}
	c := &counting{Catalog: y.Catalog}
	c.after = func() {
		stays = append(stays, upkeeptest.Key(y.Publish("late", "1.0.0")))
		for _, key := range stays {
			y.Age(key, 30*day)
		}
		y.Exec("DELETE FROM versions WHERE num = '1.1.0' AND crate_id = (SELECT id FROM crates WHERE name = 'demo')")
		y.Exec("DELETE FROM versions WHERE crate_id = (SELECT id FROM crates WHERE name = 'late')")
		y.Exec("DELETE FROM crates WHERE name = 'whole'")
	}
	s := sweeper(y)
	s.Catalog, s.Marks, s.Force = c, c, true
	rep, err := s.Run(t.Context())
	if err != nil || rep.Removed != 450 || c.counted != 1 || c.marked < 5 {
		t.Errorf("%+v %v; counted %d times, for %d batches", rep, err, c.counted, c.marked)
	}
	left := y.Keys("crates/")
	for _, key := range stays {
		if !slices.Contains(left, key) {
			t.Errorf("%s is gone", key)
		}
	}
}

// counting is a catalog that is changed behind the back of a sweep, once that has counted it.
type counting struct {
	*catalog.Catalog
	after           func()
	counted, marked int
}

func (c *counting) Census(ctx context.Context) (*catalog.Census, error) {
	s, err := c.Catalog.Census(ctx)
	if c.counted++; c.counted == 1 {
		c.after()
	}
	return s, err
}

func (c *counting) MarkForSweep(ctx context.Context, blobs []catalog.CrateBlob) ([]catalog.Marked, error) {
	c.marked++
	return c.Catalog.MarkForSweep(ctx, blobs)
}
