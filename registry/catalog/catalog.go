// Package catalog is what the registry knows: crates, versions, owners, users, tokens and the feed of changes. It is the only
// source of truth; index files are derived from it, and a blob that it does not name does not exist for a client.
//
// The catalog is an SQLite database with one writer and many readers (WAL), durable at each commit (synchronous=FULL), or a
// PostgreSQL database that several servers share. Queries are written once; dialect.go says what differs.
// A method that changes something is one transaction. Errors that a client causes are *fault.Error; a database that cannot be reached or
// takes no writes is fault.Unavailable, and all other errors mean that the database failed.
package catalog

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Catalog is an open catalog. It is safe for concurrent use.
type Catalog struct {
	d   *dialect
	rw  *statements // SQLite: one connection, for it has one writer, and queueing here is fairer than its busy timeout
	ro  *statements // PostgreSQL: the same pool as rw
	now func() time.Time
	log *slog.Logger

	migration Migration

	scratch string       // folder that a load may make, and removes; empty: one among the system's temporary files
	offset  atomic.Int64 // see ClockOffset; nanoseconds
	refused atomic.Bool  // a write was, because the disk is full or the like, and none has gone well since

	mu        sync.RWMutex
	followers []func(Change)
	feed      *feed // nil: no other server changes this catalog
}

// Migration tells whether the schema was brought up to date when the catalog was opened.
func (c *Catalog) Migration() Migration { return c.migration }

// Close closes the catalog. All that was acknowledged is on disk already.
func (c *Catalog) Close() error {
	if c.feed != nil {
		c.feed.stop()
	}
	err := c.ro.db.Close()
	if c.rw != c.ro {
		err = errors.Join(err, c.rw.db.Close())
	}
	return err
}

// Stats gives the figures of the pools, by name: "write" and "read" on SQLite, "shared" on PostgreSQL.
func (c *Catalog) Stats() map[string]sql.DBStats {
	if c.rw == c.ro {
		return map[string]sql.DBStats{"shared": c.rw.db.Stats()}
	}
	return map[string]sql.DBStats{"write": c.rw.db.Stats(), "read": c.ro.db.Stats()}
}

// querier is what a pool and a transaction share.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) row
}

// scanner is an answer of one row, or of none: sql.ErrNoRows. Whoever judges one need not know how it was asked for.
type scanner interface{ Scan(dest ...any) error }

// collect reads all rows of a query.
func collect[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), query string, args ...any) (out []T, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, scan)
}

func scanAll[T any](rows *rows, scan func(*sql.Rows) (T, error)) (out []T, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		v, err := scan(rows.Rows)
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
