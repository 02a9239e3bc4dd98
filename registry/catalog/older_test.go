package catalog

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/test/postgres"
)

// dumpOf dumps a SQLite catalog as a program of its schema would have. (None below schema 3 had dumps; they are the further way to come up.)
func dumpOf(t *testing.T, path string) string {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	pool := &statements{db: db, d: &sqliteDialect}
	tables, err := tablesOf(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	c := &Catalog{d: pool.d, rw: pool, ro: pool}
	if err := c.dump(t.Context(), pool, &buf, "", tables); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// A dump of each older schema loads into both databases, and makes of them what a start makes of the catalog that was dumped.
func TestLoadOlder(t *testing.T) {
	for schema := int64(1); schema < 5; schema++ {
		t.Run(fmt.Sprint("schema ", schema), func(t *testing.T) {
			path := oldCatalog(t, schema)
			dump := dumpOf(t, path)
			if !strings.Contains(dump, fmt.Sprintf(`"schema":%d`, schema)) {
				t.Fatal(dump[:100])
			}
			onBoth(t, func(t *testing.T, c *Catalog) {
				if err := c.Loadable(t.Context(), strings.NewReader(dump)); err != nil {
					t.Error(err)
				}
				if err := c.Load(t.Context(), strings.NewReader(dump[:len(dump)-3])); fault.KindOf(err) != fault.Invalid {
					t.Errorf("half a dump: %v", err)
				}
				if empty, err := c.Empty(t.Context()); err != nil || !empty {
					t.Errorf("half a dump was loaded: %v", err)
				}
				if err := c.Load(t.Context(), strings.NewReader(dump)); err != nil {
					t.Fatal(err)
				}
				holdsWhatItHeld(t, c)
				if _, err := os.Stat(c.scratch); c.scratch != "" && !os.IsNotExist(err) {
					t.Errorf("%s is left: %v", c.scratch, err)
				}
				publish(t, c, "new", "1.0.0")
				if u, err := c.CreateUser(t.Context(), Actor{}, User{Name: "dora", Role: "reader"}); err != nil || u.ID != 8 {
					t.Errorf("an id was given again: %+v %v", u, err)
				}
				if err := c.Load(t.Context(), strings.NewReader(dump)); fault.KindOf(err) != fault.Conflict {
					t.Errorf("over a registry: %v", err)
				}
			})
		})
	}
}

// What crateyard of schema 3 wrote, before there were mirrors, is loaded whole: what is dumped again differs by the schema and the tables that came.
func TestLoadWhatSchema3Wrote(t *testing.T) {
	data, err := os.ReadFile("testdata/schema3.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	scratch := filepath.Join(t.TempDir(), "data", "load")
	pg, err := OpenPostgres(t.Context(), PostgresOptions{URI: postgres.Database(t), Scratch: scratch})
	for _, c := range []*Catalog{openSQLite(t), closing(t, pg, err)} {
		if err := os.MkdirAll(filepath.Join(c.scratch, "left by a load that was killed"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := c.Load(t.Context(), bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		if err := c.Dump(t.Context(), &again); err != nil {
			t.Fatal(err)
		}
		if id, err := c.RegistryID(t.Context()); err != nil || !bytes.Contains(data[:200], []byte(id)) {
			t.Errorf("%s: registry %s, %v", c.d.name, id, err)
		}
		was, is := strings.Split(string(data), "\n"), map[string]bool{}
		for line := range strings.SplitSeq(again.String(), "\n") {
			is[line] = true
		}
		for i, line := range was[:len(was)-2] { // the last ones are the sums, and nothing
			if i > 0 && !is[line] {
				t.Errorf("%s: lost: %s", c.d.name, line)
			}
		}
		if _, err := os.Stat(c.scratch); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", c.scratch, err)
		}
	}
}

// A folder that takes no writes is named: it is not the catalog that fails.
func TestLoadOlderWithoutRoom(t *testing.T) {
	data, err := os.ReadFile("testdata/schema3.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	c := openSQLite(t)
	c.scratch = "/dev/null/load"
	if err := c.Load(t.Context(), bytes.NewReader(data)); err == nil || !strings.Contains(err.Error(), "/dev/null/load") {
		t.Errorf("got %v", err)
	}
	if empty, err := c.Empty(t.Context()); err != nil || !empty {
		t.Errorf("%v", err)
	}
}
