// Package catalog is what the registry knows: crates, versions, owners, users, tokens and the feed of changes. It is the only
// source of truth; index files are derived from it, and a blob that it does not name does not exist for a client.
//
// The catalog is an SQLite database with one writer and many readers (WAL), durable at each commit (synchronous=FULL).
// A method that changes something is one transaction. Errors that a client causes are *fault.Error; all others mean that the
// database failed.
package catalog

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// readers bounds the connections that read at the same time; each may hold some 2 MiB of pages.
const readers = 8

// Catalog is an open catalog. It is safe for concurrent use.
type Catalog struct {
	rw  *statements // one connection: SQLite has one writer, and queueing here is fairer than its busy timeout
	ro  *statements
	now func() time.Time

	mu        sync.RWMutex
	followers []func(Change)
}

// Open opens the SQLite catalog at path, creates it when it is not there, and brings its schema up to date. It refuses a
// schema that is newer than this program's.
func Open(ctx context.Context, path string) (*Catalog, error) {
	// SQLite would make the file readable for everybody; its log takes the file's mode.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	// A publish changes some ten pages, mostly the same ones: to copy them into the database every 4,000 pages (16 MiB of log)
	// instead of every 1,000 makes a publish a fifth faster. What is durable is the same.
	rw, err := sql.Open("sqlite", dsn(path, "_txlock=immediate&_pragma=wal_autocheckpoint(4000)"))
	if err != nil {
		return nil, err
	}
	rw.SetMaxOpenConns(1)
	if err := migrate(ctx, rw); err != nil {
		return nil, errors.Join(fmt.Errorf("catalog %s: %w", path, err), rw.Close())
	}
	ro, err := sql.Open("sqlite", dsn(path, "_pragma=query_only(1)"))
	if err != nil {
		return nil, errors.Join(err, rw.Close())
	}
	ro.SetMaxOpenConns(readers)
	ro.SetMaxIdleConns(readers)
	return &Catalog{rw: &statements{db: rw}, ro: &statements{db: ro}, now: time.Now}, nil
}

func dsn(path, extra string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&" + extra
}

func migrate(ctx context.Context, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("its schema is version %d, made by a newer crateyard; this one knows version %d: run the newer one", have, want)
	}
	_, err = p.Up(ctx)
	return err
}

// Close closes the catalog. All that was acknowledged is on disk already.
func (c *Catalog) Close() error { return errors.Join(c.ro.db.Close(), c.rw.db.Close()) }

// Ping reports whether the catalog answers reads.
func (c *Catalog) Ping(ctx context.Context) error {
	var one int
	return c.ro.QueryRowContext(ctx, "SELECT 1 FROM users LIMIT 1").Scan(&one)
}

// Stats gives the figures of the two pools, by name.
func (c *Catalog) Stats() map[string]sql.DBStats {
	return map[string]sql.DBStats{"write": c.rw.db.Stats(), "read": c.ro.db.Stats()}
}

// Follow has f called after each committed change, before the call that made the change returns: who got an answer sees
// its own change. f must be quick and must not call the catalog.
func (c *Catalog) Follow(f func(Change)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.followers = append(c.followers, f)
}

// write runs f in a transaction, and tells the followers of the changes that it returns once they are durable.
func (c *Catalog) write(ctx context.Context, f func(tx *tx) ([]change, error)) error {
	sqlTx, err := c.rw.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = sqlTx.Rollback() }() // after a commit it does nothing
	t := &tx{Tx: sqlTx, stmts: c.rw}
	changes, err := f(t)
	if err != nil {
		return err
	}
	for _, ch := range changes {
		if err := c.insertChange(ctx, t, ch); err != nil {
			return err
		}
	}
	if err := t.Commit(); err != nil {
		return err
	}
	t.keep(ctx)
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, ch := range changes {
		for _, f := range c.followers {
			f(Change{Crate: ch.crate, Kind: ch.kind})
		}
	}
	return nil
}

// writeAs is write for a change that somebody makes, whose token is asked for again inside the transaction: it may have been revoked,
// or its user suspended, while the request was on its way.
func (c *Catalog) writeAs(ctx context.Context, by Actor, f func(tx *tx) ([]change, error)) error {
	return c.write(ctx, func(tx *tx) ([]change, error) {
		if by.TokenID != 0 { // the server itself has none
			if err := c.stillValid(ctx, tx, by); err != nil {
				return nil, err
			}
		}
		return f(tx)
	})
}

// querier is what a pool and a transaction share.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// collect reads all rows of a query.
func collect[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), query string, args ...any) (out []T, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, scan)
}

func scanAll[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) (out []T, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// fromUnix and toUnix turn a column that may be NULL into a time that may be nil, and back.
func fromUnix(n sql.NullInt64) *time.Time {
	if !n.Valid {
		return nil
	}
	t := time.Unix(n.Int64, 0).UTC()
	return &t
}

func toUnix(t *time.Time) sql.NullInt64 {
	if t == nil {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: t.Unix(), Valid: true}
}
