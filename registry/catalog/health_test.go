package catalog

import (
	"strings"
	"testing"

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
