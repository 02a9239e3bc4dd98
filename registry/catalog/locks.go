package catalog

import (
	"context"
	"database/sql"
	"errors"

	"github.com/crateyard/crateyard/registry/crate"
)

// SQLite runs one writing transaction at a time. PostgreSQL runs many, each of which sees what was committed before each of its
// statements began; so what a decision rests on is locked first, in a statement of its own, and read after that. The order is: the
// acting token and its user (stillValid), users, crates, then the locks below. A deadlock is found by PostgreSQL, and tried again.

// The locks that stand for no row. PostgreSQL keeps them apart by database.
const (
	lockMigrate  = 0x63790001 + iota // the schema
	lockSequence                     // numbers of the feed
	lockSweep                        // shared: a blob is about to be named; exclusive: blobs are about to be marked
	lockTokens                       // by user: their number
	lockGroups                       // members and number of groups
	lockCounts                       // downloads and last-used times, which touch many rows in any order
	lockClaim                        // whose catalog it is
	lockMirrors                      // their names
	lockUsers                        // their names; before lockGroups
)

// lock takes one of the locks until the transaction ends. key, below 2³¹, tells apart what may go on at the same time.
func (t *tx) lock(ctx context.Context, lock int, key int64) error {
	if !t.stmts.d.shared {
		return nil
	}
	_, err := t.ExecContext(ctx, advisoryLock, lock, key)
	return err
}

const advisoryLock = "SELECT pg_advisory_xact_lock(?, ?)"

// lockRow locks the one row that a query of a name gives. Where there is none the error is that of none: one that is made just now would be there for the next
// statement, and not locked.
func (t *tx) lockRow(ctx context.Context, query, name string, none func() error) error {
	res, err := t.ExecContext(ctx, query, name)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = none()
	}
	return err
}

// lockCrate has a crate stay as it is until the transaction ends. Where there is none the error is errNoCrate.
func (t *tx) lockCrate(ctx context.Context, name string) error {
	if !t.stmts.d.shared {
		return nil
	}
	return t.lockRow(ctx, "SELECT id FROM crates WHERE canonical = ? FOR NO KEY UPDATE", crate.Canonical(name), func() error { return errNoCrate(name) })
}

// lockPublish is lockCrate, and has no blob marked for removal until the transaction ends, in one round trip. That there is no crate is no error: holds tells
// when there is one after all.
func (t *tx) lockPublish(ctx context.Context, name string) error {
	if !t.stmts.d.shared {
		return nil
	}
	var id sql.NullInt64
	err := t.QueryRowContext(ctx, publishLock, crate.Canonical(name), lockSweep).Scan(&id)
	t.crate = id.Int64
	return err
}

// publishLock gives the id of the crate, or NULL. It looks for the crate as of its beginning, and may wait for a sweep after that.
const publishLock = "SELECT (SELECT id FROM crates WHERE canonical = ? FOR NO KEY UPDATE) FROM pg_advisory_xact_lock_shared(?, 0)"

// holds fails with errMade when the crate that a publish found is not the one that lockPublish locked, or that it made itself.
func (t *tx) holds(id int64) error {
	if t.stmts.d.shared && t.crate != id {
		return errMade
	}
	return nil
}

// errMade means that a crate was made after the transaction looked for it to lock it. The transaction sees it, and others may change it all the same; tried
// again, it finds a crate to lock.
var errMade = errors.New("the crate has been made in this moment")

// lockUserAndCrates has a user and the crates that it owns in person stay as they are until the transaction ends. Where there is none the error is errNone.
func (t *tx) lockUserAndCrates(ctx context.Context, name string) error {
	if !t.stmts.d.shared {
		return nil
	}
	if err := t.lockRow(ctx, "SELECT id FROM users WHERE name = ? FOR UPDATE", name, func() error { return errNone(ctx, t, "user", name) }); err != nil {
		return err
	}
	_, err := t.ExecContext(ctx, `SELECT c.id FROM crates c JOIN owners o ON o.crate_id = c.id JOIN users u ON u.id = o.user_id
		WHERE u.name = ? ORDER BY c.id FOR NO KEY UPDATE OF c`, name)
	return err
}

// lockGroupCrates has the crates that a group owns stay as they are until the transaction ends.
func (t *tx) lockGroupCrates(ctx context.Context, name string) error {
	if !t.stmts.d.shared {
		return nil
	}
	_, err := t.ExecContext(ctx, `SELECT c.id FROM crates c JOIN group_owners o ON o.crate_id = c.id JOIN groups g ON g.id = o.group_id
		WHERE g.name = ? ORDER BY c.id FOR NO KEY UPDATE OF c`, name)
	return err
}

// lockUser has a user stay as it is until the transaction ends. Where there is none the error is errNone.
func (t *tx) lockUser(ctx context.Context, name string) error {
	if !t.stmts.d.shared {
		return nil
	}
	return t.lockRow(ctx, "SELECT id FROM users WHERE name = ? FOR NO KEY UPDATE", name, func() error { return errNone(ctx, t, "user", name) })
}
