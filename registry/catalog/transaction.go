package catalog

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
)

const (
	// attempts bounds how often a transaction is tried that others made fail. The second mostly sees what stood in its way.
	attempts = 5
	// writeTimeout bounds a transaction on a shared database, the wait for a blob included.
	writeTimeout = 2 * time.Minute
)

// Follow has f called after each committed change, before the call that made the change returns: who got an answer sees
// its own change. On PostgreSQL f also hears, a moment later, of the changes of other servers, and perhaps again of those made here.
// A Change without a kind means that any crate may have changed. f must be quick and must not call the catalog.
func (c *Catalog) Follow(f func(Change)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.followers = append(c.followers, f)
}

func (c *Catalog) tell(changes ...Change) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, ch := range changes {
		for _, f := range c.followers {
			f(ch)
		}
	}
}

// write runs f in a transaction, and tells the followers of the changes that it returns once they are durable. f is run again when
// another transaction was in its way.
func (c *Catalog) write(ctx context.Context, f func(tx *tx) ([]change, error)) error {
	return c.again(ctx, func() ([]change, error) { return c.writeOnce(ctx, f) })
}

// again runs a transaction, again when another was in its way, and tells the followers of the changes that it made.
func (c *Catalog) again(ctx context.Context, once func() ([]change, error)) error {
	for attempt := 1; ; attempt++ {
		changes, err := once()
		if err == nil {
			for _, ch := range changes {
				c.tell(Change{Crate: ch.crate, Kind: ch.kind})
			}
			if c.feed != nil && len(changes) > 0 {
				c.feed.kick()
			}
			return nil
		}
		if c.d.refuses(err) {
			c.refused.Store(true)
		}
		if !c.d.retry(err) {
			return err
		}
		if attempt == attempts {
			return fault.Wrap(fault.Unavailable, err, "%s", busy)
		}
		select {
		case <-time.After(rand.N(time.Duration(attempt) * 10 * time.Millisecond)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *Catalog) writeOnce(ctx context.Context, f func(tx *tx) ([]change, error)) ([]change, error) {
	sqlTx, end, err := c.begin(ctx)
	if err != nil {
		return nil, c.d.fault(err)
	}
	defer end()
	t := &tx{Tx: sqlTx, stmts: c.rw, whole: true}
	changes, err := f(t)
	if err != nil {
		return nil, err
	}
	for _, ch := range changes {
		if err := c.insertChange(ctx, t, ch); err != nil {
			return nil, err
		}
	}
	if err := t.Commit(); err != nil {
		return nil, c.commitFault(err)
	}
	end() // SQLite has one connection to prepare on
	t.keep(ctx)
	return changes, nil
}

// begin begins a transaction; end, which may be called twice, rolls it back when it was not committed, and gives the connection back. The commit itself
// is not cut off when the client goes away: on a shared database its outcome would be unknown.
func (c *Catalog) begin(ctx context.Context) (_ *sql.Tx, end func(), err error) {
	wait, cancel := c.rw.limit(ctx)
	defer cancel()
	conn, err := c.rw.db.Conn(wait)
	if err != nil {
		return nil, nil, err
	}
	long, stop := c.d.whole(ctx), func() {}
	if c.d.shared {
		long, stop = context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	}
	tx, err := conn.BeginTx(long, nil)
	if err != nil {
		stop()
		return nil, nil, errors.Join(err, conn.Close())
	}
	return tx, func() {
		_ = tx.Rollback() // after a commit it does nothing
		stop()
		_ = conn.Close() // back to the pool, which finds out whether it can be used again
	}, nil
}

// commitFault tells what is known after a commit failed.
func (c *Catalog) commitFault(err error) error {
	if c.d.shared && postgresLost(err) {
		return fault.Wrap(fault.Unavailable, err, "%s", unknown)
	}
	return c.d.fault(err)
}

// writeAs is write for a change that somebody makes, whose token is asked for again inside the transaction: it may have been revoked,
// or its user suspended, while the request was on its way.
func (c *Catalog) writeAs(ctx context.Context, by Actor, f func(tx *tx) ([]change, error)) error {
	return c.write(ctx, c.as(ctx, by, f))
}

func (c *Catalog) as(ctx context.Context, by Actor, f func(tx *tx) ([]change, error)) func(tx *tx) ([]change, error) {
	return func(tx *tx) ([]change, error) {
		if by.TokenID != 0 { // the server itself has none
			if err := c.stillValid(ctx, tx, by); err != nil {
				return nil, err
			}
		}
		return f(tx)
	}
}

// read runs f in one transaction that only reads, sees one state of the catalog, and may take as long as whoever takes its rows.
func (c *Catalog) read(ctx context.Context, f func(q querier) error) error {
	var o *sql.TxOptions
	if c.d.shared {
		o = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	}
	sqlTx, err := c.ro.db.BeginTx(ctx, o)
	if err != nil {
		return c.d.fault(err)
	}
	defer func() { _ = sqlTx.Rollback() }() // it changed nothing
	if c.d.shared {
		// A reader that takes its time is no lost one.
		if _, err := sqlTx.ExecContext(ctx, "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL tcp_user_timeout = 0"); err != nil {
			return c.d.fault(err)
		}
	}
	return f(&tx{Tx: sqlTx, stmts: c.ro})
}
