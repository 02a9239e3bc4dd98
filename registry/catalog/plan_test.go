package catalog

import (
	"fmt"
	"strings"
	"testing"
	"time"

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
