package catalog

import (
	"context"
	"time"
)

const (
	leaseQuery = `INSERT INTO leases (name, holder, until) VALUES (?, ?, now_ms() + ?)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE leases.holder = excluded.holder OR leases.until <= now_ms() OR leases.until > now_ms() + ?`
	releaseQuery = "DELETE FROM leases WHERE name = ? AND holder = ?"
)

// Lease takes a lease for holder, or renews it, until ttl from now by the database's clock: a clock that jumps on a server does not matter.
// It reports whether holder has it now; while another has it, it does not. A holder that is late has lost nothing as long as nobody
// else took it. ttl counts in milliseconds.
func (c *Catalog) Lease(ctx context.Context, name, holder string, ttl time.Duration) (has bool, err error) {
	return c.LeaseWithin(ctx, name, holder, ttl, forEver)
}

// forEver is longer than any lease, in a number of milliseconds that can be added to a time.
const forEver = 100 * 365 * 24 * time.Hour

// clockSlack is by how much a lease may last longer than the longest before the clock is taken for one that was set back.
const clockSlack = time.Minute

// LeaseWithin is Lease where nobody ever takes the lease for more than longest. One that ends later than that was taken when the clock was ahead, and is
// nobody's: its holder, should it live, takes it again with its next renewal, or finds that it has lost it.
func (c *Catalog) LeaseWithin(ctx context.Context, name, holder string, ttl, longest time.Duration) (has bool, err error) {
	err = c.write(ctx, func(tx *tx) ([]change, error) {
		res, err := tx.ExecContext(ctx, leaseQuery, name, holder, ttl.Milliseconds(), (longest + clockSlack).Milliseconds())
		if err != nil {
			return nil, err
		}
		n, err := res.RowsAffected()
		has = n == 1
		return nil, err
	})
	return has && err == nil, err
}

// ReleaseLeft gives back the leases whose names begin with prefix and that others than holder have, for who knows that these are dead.
func (c *Catalog) ReleaseLeft(ctx context.Context, prefix, holder string) error {
	return c.write(ctx, func(tx *tx) ([]change, error) {
		_, err := tx.ExecContext(ctx, "DELETE FROM leases WHERE substr(name, 1, ?) = ? AND holder <> ?", len(prefix), prefix, holder)
		return nil, err
	})
}

// Release gives a lease back before its end, so that another may take it at once. What holder does not have is no error.
func (c *Catalog) Release(ctx context.Context, name, holder string) error {
	return c.write(ctx, func(tx *tx) ([]change, error) {
		_, err := tx.ExecContext(ctx, releaseQuery, name, holder)
		return nil, err
	})
}
