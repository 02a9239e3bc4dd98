package catalog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/test/postgres"
)

// A database whose disk is full answers reads; that it takes no writes is known from the first that it refuses until one goes well.
func TestPingKnowsOfAFullDisk(t *testing.T) {
	c := openPostgres(t, postgres.Database(t))
	alice := users(t, c, "alice")[0]
	set := func(query string) {
		t.Helper()
		if _, err := c.rw.db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	set(`CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$`)
	for _, table := range []string{"versions", "meta"} {
		set("CREATE TRIGGER full_disk BEFORE INSERT ON " + table + " FOR EACH ROW EXECUTE FUNCTION full_disk()")
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("nobody has written yet: %v", err)
	}
	if err := publishAs(t, c, alice, "demo", "1.0.0", "00"); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "takes no writes") {
		t.Errorf("publish: %v", err)
	}
	for range 2 {
		if err := c.Ping(t.Context()); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "takes no writes") {
			t.Errorf("ping: %v", err)
		}
	}
	if _, err := c.Users(t.Context()); err != nil {
		t.Errorf("a read: %v", err)
	}
	for _, table := range []string{"versions", "meta"} {
		set("DROP TRIGGER full_disk ON " + table)
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	var left int
	if err := c.ro.QueryRowContext(t.Context(), "SELECT count(*) FROM meta WHERE key LIKE 'probe/%'").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows of probes are left, %v", left, err)
	}
	if err := publishAs(t, c, alice, "demo", "1.0.0", "00"); err != nil {
		t.Error(err)
	}
}

// A server whose clock differs from the database's says so, in which direction, and drops nothing of the audit.
func TestClockThatJumped(t *testing.T) {
	c := openPostgres(t, postgres.Database(t))
	users(t, c, "alice")
	for _, tc := range []struct {
		jump time.Duration
		want string
	}{{0, ""}, {-20 * time.Second, ""}, {48 * time.Hour, "ahead of"}, {-time.Hour, "behind"}, {0, ""}} {
		c.now = func() time.Time { return time.Now().Add(tc.jump) }
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("the database is there: %v", err)
		}
		err := c.CheckClock()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("by %s: %v", tc.jump, err)
		}
		if off := c.ClockOffset() + tc.jump; off.Abs() > 10*time.Second {
			t.Errorf("by %s: the offset is %s", tc.jump, c.ClockOffset())
		}
		if n, err := c.PruneAudit(t.Context(), time.Hour); n != 0 || (err == nil) != (tc.want == "") {
			t.Errorf("by %s: %d records were dropped, %v", tc.jump, n, err)
		}
	}
}

// What is older than keep is dropped; nothing is where a clock that jumped, or a long silence, makes all of it that old.
func TestPruneAudit(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		const day = 24 * time.Hour
		var ago time.Duration
		c.now = func() time.Time { return time.Now().Add(-ago) }
		record := func(days int) {
			t.Helper()
			ago = time.Duration(days) * day
			if _, err := c.CreateGroup(t.Context(), Actor{}, fmt.Sprintf("g%d", days), nil); err != nil {
				t.Fatal(err)
			}
			ago = 0
		}
		prune := func(keep, want int) {
			t.Helper()
			if n, err := c.PruneAudit(t.Context(), time.Duration(keep)*day); err != nil || n != int64(want) {
				t.Errorf("%d records were dropped, %v; want %d", n, err, want)
			}
		}
		record(400)
		record(390)
		prune(90, 0) // all would go
		record(0)    // as after a jump by more than a year
		prune(90, 0)
		record(380)
		record(370)
		prune(375, 3)
		prune(375, 0)
		prune(90, 0)
	})
}
