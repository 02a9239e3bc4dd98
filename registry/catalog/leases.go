package catalog

import (
	"context"
	"time"
)

// Lease takes a lease for holder, or renews it, until ttl from now by the database's clock: a clock that jumps on a server does not matter.
// It reports whether holder has it now; while another has it, it does not. A holder that is late has lost nothing as long as nobody
// else took it. ttl counts in milliseconds.
func (c *Catalog) Lease(ctx context.Context, name, holder string, ttl time.Duration) (has bool, err error) {
	err = c.write(ctx, func(tx *tx) ([]change, error) {
		res, err := tx.ExecContext(ctx, `INSERT INTO leases (name, holder, until) VALUES (?, ?, now_ms() + ?)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
			WHERE leases.holder = excluded.holder OR leases.until <= now_ms()`, name, holder, ttl.Milliseconds())
		if err != nil {
			return nil, err
		}
		n, err := res.RowsAffected()
		has = n == 1
		return nil, err
	})
	return has && err == nil, err
}

// Release gives a lease back before its end, so that another may take it at once. What holder does not have is no error.
func (c *Catalog) Release(ctx context.Context, name, holder string) error {
	return c.write(ctx, func(tx *tx) ([]change, error) {
		_, err := tx.ExecContext(ctx, "DELETE FROM leases WHERE name = ? AND holder = ?", name, holder)
		return nil, err
	})
}
