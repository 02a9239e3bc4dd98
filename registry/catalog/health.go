package catalog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"

	"github.com/crateyard/crateyard/registry/fault"
)

// Ping reports whether the catalog answers reads and, where that can be known, whether it would take writes. A PostgreSQL server that is
// out of disk goes on answering: so once it has refused a write, Ping makes one of its own each time until that goes well.
func (c *Catalog) Ping(ctx context.Context) error {
	if !c.d.shared {
		var one int
		err := c.ro.QueryRowContext(ctx, "SELECT 1 FROM users LIMIT 1").Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	}
	var readOnly bool
	if err := c.ro.QueryRowContext(ctx, "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'").Scan(&readOnly); err != nil {
		return err
	}
	if readOnly {
		return fault.New(fault.Unavailable, "the database is a replica, or takes no writes for another reason")
	}
	if c.refused.Load() {
		return c.probe(ctx)
	}
	return nil
}

// probe writes a row of 32 kB that cannot be compressed, and removes it. A small one might find room in a page that is there already.
func (c *Catalog) probe(ctx context.Context) error {
	err := c.write(ctx, func(tx *tx) ([]change, error) {
		key := "probe/" + rand.Text()
		if _, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value)
			SELECT ?, string_agg(md5(CAST(random() AS TEXT)), '') FROM generate_series(1, 1024)`, key); err != nil {
			return nil, err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM meta WHERE key = ?", key)
		return nil, err
	})
	if err == nil {
		c.refused.Store(false)
	}
	return err
}
