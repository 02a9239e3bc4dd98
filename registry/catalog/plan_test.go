package catalog

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/test/postgres"
)

// A publish reads no table from end to end, on a database that has no statistics either: what it costs does not grow with the versions
// that are there already.
func TestPublishScansNothing(t *testing.T) {
	s := postgres.StartTest(t, postgres.Options{NoSync: true, Settings: map[string]string{"autovacuum": "off"}})
	uri, err := s.NewDatabase()
	if err != nil {
		t.Fatal(err)
	}
	c := openPostgres(t, uri)
	alice := users(t, c, "alice")[0]
	const publishes = 60
	for i := range publishes {
		name, num := fmt.Sprintf("crate-%d", i%12), fmt.Sprintf("1.%d.0", i)
		p := publication(t, name, num)
		p.By, p.Metadata = alice, []byte("{}")
		if err := c.CheckPublish(t.Context(), p, anyone); err != nil {
			t.Fatal(err)
		}
		if err := c.Publish(t.Context(), p, anyone); err != nil {
			t.Fatal(err)
		}
	}
	// A connection tells what it read when it is closed at the latest.
	c.rw.db.SetMaxIdleConns(0)
	for _, table := range []string{"versions", "audit"} {
		var scans, read int64
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
			var inserted int64
			if err := c.ro.QueryRowContext(t.Context(), "SELECT seq_scan, seq_tup_read, n_tup_ins FROM pg_stat_user_tables WHERE relname = ?", table).
				Scan(&scans, &read, &inserted); err != nil {
				t.Fatal(err)
			}
			if inserted >= publishes {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %d rows were told of", table, inserted)
			}
		}
		if read != 0 {
			t.Errorf("%s was read from end to end %d times, %d rows", table, scans, read)
		}
	}
}

// The same on SQLite, which says beforehand what a statement will read: nothing from end to end, and no list of all crates that a user owns or may
// read, which is what it makes of the view where it cannot look into it.
func TestPublishScansNothingOnSQLite(t *testing.T) {
	c := openSQLite(t)
	alice := users(t, c, "alice")[0]
	c.rw.known.Clear()                                        // what making a user reads is as much as there are users
	for _, num := range []string{"1.0.0", "1.1.0", "1.2.0"} { // the statements of a transaction are prepared for the next one
		for _, name := range []string{"base-" + num[2:3], "base-0", "other"} {
			p := publication(t, name, num)
			p.By, p.Dependencies = alice, []string{"base-0"}
			if name == "base-0" {
				p.Dependencies = nil
			}
			if err := cmp.Or(c.CheckPublish(t.Context(), p, anyone), c.Publish(t.Context(), p, anyone)); err != nil && fault.KindOf(err) != fault.Conflict {
				t.Fatal(err)
			}
		}
	}
	var explained int
	for _, statements := range []*statements{c.rw, c.ro} {
		statements.known.Range(func(query, _ any) bool {
			if strings.HasPrefix(query.(string), "INSERT") { // whose plan tells of foreign keys that SQLite does not follow while none is broken
				return true
			}
			explained++
			for _, step := range explain(t, c, statements.text(query.(string))) {
				if strings.HasPrefix(step, "SCAN") && !strings.HasPrefix(step, "SCAN json_each") || strings.HasPrefix(step, "CO-ROUTINE") || strings.HasPrefix(step, "MATERIALIZE") {
					t.Errorf("%s\nhas the step %s", query, step)
				}
			}
			return true
		})
	}
	if explained < 4 {
		t.Fatalf("a publish has %d statements that read", explained)
	}
}

// explain gives the steps of SQLite's plan for a statement.
func explain(t *testing.T, c *Catalog, statement string) (steps []string) {
	t.Helper()
	args := make([]any, strings.Count(statement, "?"))
	rows, err := c.ro.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement, args...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

// After a load the database knows how large the tables are.
func TestLoadAnalyzes(t *testing.T) {
	from, to := openSQLite(t), openPostgres(t, postgres.Database(t))
	for i := range 30 {
		publishWith(t, from, "demo", fmt.Sprintf("1.%d.0", i), nil)
	}
	var dump strings.Builder
	if err := from.Dump(t.Context(), &dump); err != nil {
		t.Fatal(err)
	}
	if err := to.Load(t.Context(), strings.NewReader(dump.String())); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := to.ro.QueryRowContext(t.Context(), "SELECT CAST(reltuples AS BIGINT) FROM pg_class WHERE relname = 'versions'").Scan(&rows); err != nil || rows != 30 {
		t.Errorf("the database believes in %d versions, %v", rows, err)
	}
}
