package catalog

import (
	"context"
	"database/sql"
	"time"
)

// day is how downloads are counted: in days since 1970, UTC.
const secondsPerDay = 24 * 60 * 60

func (c *Catalog) today() int64 { return c.now().Unix() / secondsPerDay }

// AddDownloads adds to the counts of versions, by their id, and of their crates.
func (c *Catalog) AddDownloads(ctx context.Context, counts map[int64]int64) error {
	return c.write(ctx, func(tx *tx) ([]change, error) {
		if err := tx.lock(ctx, lockCounts, 0); err != nil {
			return nil, err
		}
		rows := make([][2]int64, 0, len(counts))
		for id, n := range counts {
			rows = append(rows, [2]int64{id, n})
		}
		counted := toJSON(rows)
		const n = "(SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS n FROM json_each(?)) n"
		for _, stmt := range []struct {
			query string
			args  []any
		}{
			{"UPDATE versions SET downloads = versions.downloads + n.n FROM " + n + " WHERE versions.id = n.id", []any{counted}},
			{"UPDATE crates SET downloads = crates.downloads + s.n FROM (SELECT v.crate_id, CAST(sum(n.n) AS BIGINT) AS n FROM " + n +
				" JOIN versions v ON v.id = n.id GROUP BY v.crate_id) s WHERE crates.id = s.crate_id", []any{counted}},
			{`INSERT INTO version_downloads (version_id, day, downloads) SELECT n.id, ?, n.n FROM ` + n + ` JOIN versions v ON v.id = n.id WHERE true
				ON CONFLICT (version_id, day) DO UPDATE SET downloads = version_downloads.downloads + excluded.downloads`, []any{c.today(), counted}},
		} {
			if _, err := tx.ExecContext(ctx, stmt.query, stmt.args...); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}

// DayCount is how often a version was downloaded in one day.
type DayCount struct {
	VersionID int64
	Day       int64 // days since 1970, UTC
	Downloads int64
}

// DailyDownloads gives the downloads of a crate's versions in the 90 days that end with the one of until, or today where that is zero, by day.
// versionID chooses one; 0 is all.
func (c *Catalog) DailyDownloads(ctx context.Context, crateID, versionID int64, until time.Time) ([]DayCount, error) {
	last := c.today()
	if !until.IsZero() {
		last = until.Unix() / secondsPerDay
	}
	return collect(ctx, c.ro, func(r *sql.Rows) (d DayCount, err error) {
		err = r.Scan(&d.VersionID, &d.Day, &d.Downloads)
		return d, err
	}, `SELECT d.version_id, d.day, d.downloads FROM versions v JOIN version_downloads d ON d.version_id = v.id
		WHERE v.crate_id = ? AND CAST(? AS BIGINT) IN (0, v.id) AND v.deleted_at IS NULL AND d.day > ? AND d.day <= ?
		ORDER BY d.day, d.version_id`, crateID, versionID, last-recentDays, last)
}

// RecentDownloads counts the downloads of a crate in the last 90 days.
func (c *Catalog) RecentDownloads(ctx context.Context, crateID int64) (n int64, err error) {
	err = c.ro.QueryRowContext(ctx, "SELECT "+recentDownloads+" FROM crates c WHERE c.id = ?", c.today()-recentDays, crateID).Scan(&n)
	return n, err
}
