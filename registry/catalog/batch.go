package catalog

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Several statements go to PostgreSQL in one round trip as a batch of pgx. Each of them sees what was committed before it began, as if it had come
// alone; after one that fails none is run. pgx prepares them once a connection.

// batcher is pgx's connection, or what a test puts before it.
type batcher interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// batches runs f on a connection of the pool. f says whether it leaves a transaction open, which is then rolled back.
func (c *Catalog) batches(ctx context.Context, f func(conn batcher) (open bool, err error)) (err error) {
	wait, cancel := c.rw.limit(ctx)
	defer cancel()
	conn, err := c.rw.db.Conn(wait)
	if err != nil {
		return c.d.fault(err)
	}
	defer func() { _ = conn.Close() }() // back to the pool, which finds out whether it can be used again
	rawErr := conn.Raw(func(driverConn any) error {
		var b batcher
		switch dc := driverConn.(type) {
		case batcher:
			b = dc
		case *stdlib.Conn:
			b = dc.Conn()
		default:
			err = errors.New("the connection is none of pgx")
			return nil
		}
		var open bool
		if open, err = f(b); open && c.rollback(ctx, b) != nil {
			return driver.ErrBadConn // has the pool close it, and with it goes the transaction
		}
		return nil
	})
	return c.d.fault(cmp.Or(err, rawErr))
}

func (c *Catalog) rollback(ctx context.Context, conn batcher) error {
	long, stop := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer stop()
	var q queue
	q.add(c, "ROLLBACK")
	return conn.SendBatch(long, &q.Batch).Close()
}

// queue is a batch of statements in the words of all dialects.
type queue struct {
	pgx.Batch
	err error // of the first text that is none
}

func (q *queue) add(c *Catalog, query string, args ...any) {
	q.err = cmp.Or(q.err, checkTexts(args))
	q.Queue(c.rw.text(query), args...)
}

// statement is one of several that are run in a transaction, whose answers nobody reads.
type statement struct {
	query string
	args  []any
}

// execBatch runs statements in a transaction, in one round trip.
func (c *Catalog) execBatch(ctx context.Context, list []statement) error {
	ctx, stop := context.WithTimeout(ctx, writeTimeout)
	defer stop()
	return c.batches(ctx, func(conn batcher) (open bool, err error) {
		var q queue
		q.add(c, "BEGIN")
		for _, s := range list {
			q.add(c, s.query, s.args...)
		}
		q.add(c, "COMMIT")
		if q.err != nil {
			return false, q.err
		}
		err = conn.SendBatch(ctx, &q.Batch).Close()
		return err != nil, err
	})
}
