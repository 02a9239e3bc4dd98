package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/pressly/goose/v3"

	"github.com/crateyard/crateyard/registry/fault"
)

// loadOlder loads a dump of an older schema. Nothing of an older schema ever stands in the catalog itself, which may be PostgreSQL that others look
// at: the dump goes into a SQLite catalog of its own schema, in a scratch folder. That one is brought up to date as a server does it with its
// own, and its dump is loaded, in one transaction like any. A dump says the same of both databases, so it does not matter which it came from.
func (c *Catalog) loadOlder(ctx context.Context, d *dumpReader) (err error) {
	full, err := c.fullTable(ctx)
	if err != nil {
		return err
	}
	if full != "" {
		return notEmpty(full)
	}
	dir, err := c.scratchFolder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "catalog.db")
	if err := loadAsItWas(ctx, path, d); err != nil {
		return inScratch(dir, err)
	}
	now, err := Open(ctx, path)
	if err != nil {
		return inScratch(dir, err)
	}
	defer func() { err = errors.Join(err, now.Close()) }()
	r, w := io.Pipe()
	dumped := make(chan struct{})
	go func() {
		defer close(dumped)
		_ = w.CloseWithError(now.Dump(ctx, w)) // it never fails
	}()
	err = c.Load(ctx, r)
	_ = r.Close() // so that the dump ends, if it has not; it never fails
	<-dumped
	return err
}

// loadAsItWas makes a SQLite catalog of the schema of a dump, and loads the dump.
func loadAsItWas(ctx context.Context, path string, d *dumpReader) (err error) {
	db, err := sql.Open("sqlite", dsn(path, "_txlock=immediate"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	p, err := provider(goose.DialectSQLite3, db, "sqlite")
	if err != nil {
		return err
	}
	if _, err := p.UpTo(ctx, d.header.Schema); err != nil {
		return sqliteFault(err)
	}
	pool := &statements{db: db, d: &sqliteDialect}
	tables, err := tablesOf(ctx, pool)
	if err != nil {
		return err
	}
	return (&Catalog{d: pool.d, rw: pool, ro: pool}).load(ctx, d, tables)
}

// tablesOf gives what a dump of a SQLite catalog holds: the tables and columns of dumpTables that its schema has.
func tablesOf(ctx context.Context, q querier) (tables []dumped, err error) {
	have, err := collect(ctx, q, scanString, "SELECT m.name || '.' || c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'")
	if err != nil {
		return nil, err
	}
	for _, t := range dumpTables {
		t.columns = slices.DeleteFunc(slices.Clone(t.columns), func(c column) bool { return !slices.Contains(have, t.name+"."+c.name) })
		if len(t.columns) > 0 {
			tables = append(tables, t)
		}
	}
	return tables, nil
}

// scratchFolder gives an empty folder. One of the catalog's own may hold what is left of a load that was killed.
func (c *Catalog) scratchFolder() (string, error) {
	if c.scratch == "" {
		return os.MkdirTemp("", "crateyard-load-")
	}
	if err := os.RemoveAll(c.scratch); err != nil {
		return "", err
	}
	return c.scratch, os.MkdirAll(c.scratch, 0o700)
}

// inScratch tells a folder that takes no writes from a catalog that does not.
func inScratch(dir string, err error) error {
	if fault.KindOf(err) == fault.Unavailable {
		return fmt.Errorf("bring the older dump up to date in %s, which needs some room for that: %w", dir, err)
	}
	return err
}
