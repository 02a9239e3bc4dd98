package catalog

import (
	"cmp"
	"context"

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

// lockCrate has a crate stay as it is until the transaction ends. The error is errNoCrate where there is none: one that is made just now would be there for the
// next statement, and not locked.
func (t *tx) lockCrate(ctx context.Context, name string) error {
	if !t.stmts.d.shared {
		return nil
	}
	res, err := t.ExecContext(ctx, "SELECT id FROM crates WHERE canonical = ? FOR NO KEY UPDATE", crate.Canonical(name))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return cmp.Or(err, errNoCrate(name))
	}
	return nil
}

// lockPublish is lockCrate, and has no blob marked for removal until the transaction ends, in one round trip.
func (t *tx) lockPublish(ctx context.Context, name string) error {
	if !t.stmts.d.shared {
		return nil
	}
	_, err := t.ExecContext(ctx, publishLock, lockSweep, crate.Canonical(name))
	return err
}

const publishLock = "SELECT pg_advisory_xact_lock_shared(?, 0), (SELECT id FROM crates WHERE canonical = ? FOR NO KEY UPDATE)"

// lockUserAndCrates has a user and the crates that it owns in person stay as they are until the transaction ends.
func (t *tx) lockUserAndCrates(ctx context.Context, name string) error {
	if !t.stmts.d.shared {
		return nil
	}
	if _, err := t.ExecContext(ctx, "SELECT id FROM users WHERE name = ? FOR UPDATE", name); err != nil {
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

// lockUser has a user stay as it is until the transaction ends.
func (t *tx) lockUser(ctx context.Context, name string) error {
	if !t.stmts.d.shared {
		return nil
	}
	_, err := t.ExecContext(ctx, "SELECT id FROM users WHERE name = ? FOR NO KEY UPDATE", name)
	return err
}
