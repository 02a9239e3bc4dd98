package catalog

import (
	"fmt"
	"maps"
	"testing"
)

// A census tells what was taken out of the database since, of the crates that are asked for, and what was gone before.
func TestCensus(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		for i := range 3 {
			for _, name := range []string{"before", "since", "kept", "deleted"} {
				publishWith(t, c, name, fmt.Sprintf("1.%d.0", i), nil)
			}
		}
		off := "PRAGMA foreign_keys = off"
		if c.d.shared {
			off = "ALTER TABLE changes DROP CONSTRAINT changes_version_id_fkey"
		}
		exec := func(query string) {
			t.Helper()
			if _, err := c.rw.db.ExecContext(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}
		exec(off)
		take := func(name, num string) {
			t.Helper()
			exec(fmt.Sprintf("DELETE FROM versions WHERE num = '%s' AND crate_id = (SELECT id FROM crates WHERE name = '%s')", num, name))
		}
		take("before", "1.0.0")
		s, err := c.Census(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := func(crates []string, lost map[string]int64) {
			t.Helper()
			if err := s.Again(t.Context(), crates); err != nil || !maps.Equal(s.Lost, lost) {
				t.Errorf("lost %v, want %v; %v", s.Lost, lost, err)
			}
		}
		all := []string{"before", "since", "kept", "deleted", "new", "nobody's"}
		want(all, map[string]int64{"before": 1})
		publishWith(t, c, "new", "1.0.0", nil)
		publishWith(t, c, "since", "2.0.0", nil)
		publishWith(t, c, "kept", "2.0.0", nil)
		if err := c.DeleteVersion(t.Context(), Actor{}, "deleted", "1.1.0"); err != nil { // which keeps the row
			t.Fatal(err)
		}
		want(all, map[string]int64{"before": 1})
		take("since", "1.1.0")
		take("since", "1.2.0")
		take("new", "1.0.0")
		want([]string{"kept"}, map[string]int64{"before": 1, "new": 1})
		want(all, map[string]int64{"before": 1, "since": 2, "new": 1})
		if lost, err := c.LostVersions(t.Context()); err != nil || !maps.Equal(lost, s.Lost) {
			t.Errorf("%v %v", lost, err)
		}
	})
}
