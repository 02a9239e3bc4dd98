package catalog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
)

// Ping reports whether the catalog answers reads and, where that can be known, whether it would take writes. On a full disk both databases
// go on answering: so once a write was refused, Ping makes one of its own each time until that goes well.
func (c *Catalog) Ping(ctx context.Context) error {
	if !c.d.shared {
		var one int
		err := c.ro.QueryRowContext(ctx, "SELECT 1 FROM users LIMIT 1").Scan(&one)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return c.probe(ctx)
	}
	if _, err := c.measureClock(ctx); err != nil {
		return err
	}
	var readOnly bool
	if err := c.ro.QueryRowContext(ctx, "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'").Scan(&readOnly); err != nil {
		return err
	}
	if readOnly {
		return fault.New(fault.Unavailable, "the database is a replica, or takes no writes for another reason")
	}
	return c.probe(ctx)
}

// What a probe writes: 32 kB that cannot be compressed. A small row might find room in a page that is there already.
const (
	sqliteProbe   = "INSERT INTO meta (key, value) VALUES (?, hex(randomblob(16384)))"
	postgresProbe = "INSERT INTO meta (key, value) SELECT ?, string_agg(md5(CAST(random() AS TEXT)), '') FROM generate_series(1, 1024)"
)

// probe finds out whether writes that were refused are taken again. The row goes in a transaction of its own: in the one that made it SQLite would
// not write its pages at all.
func (c *Catalog) probe(ctx context.Context) error {
	if !c.refused.Load() {
		return nil
	}
	insert := sqliteProbe
	if c.d.shared {
		insert = postgresProbe
	}
	for _, step := range []struct {
		query string
		key   string
	}{{insert, "probe/" + rand.Text()}, {"DELETE FROM meta WHERE key LIKE ? || '%'", "probe/"}} {
		if err := c.write(ctx, func(tx *tx) ([]change, error) {
			_, err := tx.ExecContext(ctx, step.query, step.key)
			return nil, err
		}); err != nil {
			return err
		}
	}
	c.refused.Store(false)
	return nil
}

// MaxClockOffset is how much a server's clock may differ from the database's. Beyond it, times of versions, of the audit and of tokens' ends are
// others than other servers give them.
const MaxClockOffset = 30 * time.Second

// ClockOffset is how far the database's clock was ahead of this server's at the last Ping; below zero: behind it. It is 0 on SQLite, which has no
// clock of its own.
func (c *Catalog) ClockOffset() time.Duration { return time.Duration(c.offset.Load()) }

// CheckClock fails when the clocks differed by more than MaxClockOffset at the last Ping.
func (c *Catalog) CheckClock() error { return clockFault(c.ClockOffset()) }

func clockFault(offset time.Duration) error {
	if offset.Abs() <= MaxClockOffset {
		return nil
	}
	way := "behind"
	if offset < 0 {
		way = "ahead of"
	}
	return fault.New(fault.Unavailable, "this server's clock is %s %s that of the catalog's database; set the one that is wrong", offset.Abs().Round(time.Second), way)
}

// measureClock compares the clocks, and takes half of the time that it takes to ask for that of the way there.
func (c *Catalog) measureClock(ctx context.Context) (time.Duration, error) {
	asked, wall := time.Now(), c.now()
	var ms int64
	if err := c.ro.QueryRowContext(ctx, "SELECT now_ms()").Scan(&ms); err != nil {
		return 0, err
	}
	offset := time.UnixMilli(ms).Sub(wall.Add(time.Since(asked) / 2))
	c.offset.Store(int64(offset))
	return offset, nil
}
