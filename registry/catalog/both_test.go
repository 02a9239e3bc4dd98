package catalog

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/crateyard/crateyard/test/postgres"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// onBoth runs a test on an empty catalog in SQLite, and on one in PostgreSQL: they are to be the same.
func onBoth(t *testing.T, test func(t *testing.T, c *Catalog)) {
	t.Run("sqlite", func(t *testing.T) { test(t, openSQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, openPostgres(t, postgres.Database(t))) })
}

func openSQLite(t *testing.T) *Catalog {
	t.Helper()
	c, err := Open(t.Context(), filepath.Join(t.TempDir(), "a %?# folder.db"))
	return closing(t, c, err)
}

func openPostgres(t *testing.T, uri string) *Catalog {
	t.Helper()
	c, err := OpenPostgres(t.Context(), PostgresOptions{URI: uri})
	return closing(t, c, err)
}

func closing(t *testing.T, c *Catalog, err error) *Catalog {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
