package catalog

import (
	"context"
	"database/sql"
	"time"
)

// A sweep removes blobs that no version names, while crates are published. A publish may name such a blob again: the same file of a
// crate that was deleted and made anew. So the blobs are marked first, and a publish of a marked one is refused. On PostgreSQL both sides hold a
// lock, so that none of them decides on what the other is about to change.

// Marked is a blob that is marked for removal.
type Marked struct {
	CrateBlob
	DeletedAt *time.Time // when the last version that named it was deleted; nil: none ever did
}

// blobRows has the blobs of an argument as rows.
const blobRows = "(SELECT value ->> 0 AS crate, value ->> 1 AS num, value ->> 2 AS sha256 FROM json_each(?)) k"

// MarkForSweep marks, of the blobs given, those that no undeleted version names, and gives them, those marked before included. From
// then until Unmark a publish of one of them is refused as fault.Unavailable. The caller removes the bytes and unmarks; it
// decides by DeletedAt which are too young, and unmarks these at once.
func (c *Catalog) MarkForSweep(ctx context.Context, blobs []CrateBlob) (marked []Marked, err error) {
	keys := toJSON(triples(blobs))
	err = c.write(ctx, func(tx *tx) ([]change, error) {
		if err := tx.lock(ctx, lockSweep, 0); err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO sweeping (crate, num, sha256) SELECT DISTINCT k.crate, k.num, k.sha256 FROM `+blobRows+`
			WHERE NOT EXISTS (SELECT 1 FROM crates c JOIN versions v ON v.crate_id = c.id WHERE c.name || '/' = k.crate || '/' AND c.deleted_at IS NULL
				AND v.num = k.num AND v.sha256 = k.sha256 AND v.deleted_at IS NULL)
			ON CONFLICT (crate, num, sha256) DO NOTHING`, keys); err != nil {
			return nil, err
		}
		marked, err = collect(ctx, tx, scanMarked, `SELECT s.crate, s.num, s.sha256, (SELECT max(coalesce(v.deleted_at, c.deleted_at))
			FROM crates c JOIN versions v ON v.crate_id = c.id WHERE c.name || '/' = s.crate || '/' AND v.num = s.num AND v.sha256 = s.sha256)
			FROM `+blobRows+` JOIN sweeping s ON s.crate = k.crate AND s.num = k.num AND s.sha256 = k.sha256
			GROUP BY s.crate, s.num, s.sha256 ORDER BY s.crate || '/', s.num || '-' || s.sha256`, keys)
		return nil, err
	})
	return marked, err
}

// Unmark takes marks away: the bytes are gone, or stay after all.
func (c *Catalog) Unmark(ctx context.Context, blobs []CrateBlob) error {
	return c.write(ctx, func(tx *tx) ([]change, error) {
		if err := tx.lock(ctx, lockSweep, 0); err != nil {
			return nil, err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM sweeping WHERE EXISTS (SELECT 1 FROM `+blobRows+`
			WHERE k.crate = sweeping.crate AND k.num = sweeping.num AND k.sha256 = sweeping.sha256)`, toJSON(triples(blobs)))
		return nil, err
	})
}

// Swept lists the marks that there are: outside of a sweep, those that a crash left. Their bytes may or may not be there.
func (c *Catalog) Swept(ctx context.Context) ([]CrateBlob, error) {
	return collect(ctx, c.ro, func(r *sql.Rows) (b CrateBlob, err error) {
		err = r.Scan(&b.Crate, &b.Num, &b.SHA256)
		return b, err
	}, "SELECT crate, num, sha256 FROM sweeping ORDER BY crate || '/', num || '-' || sha256")
}

func scanMarked(r *sql.Rows) (m Marked, err error) {
	var deleted sql.NullInt64
	err = r.Scan(&m.Crate, &m.Num, &m.SHA256, &deleted)
	m.DeletedAt = fromUnix(deleted)
	return m, err
}

func triples(blobs []CrateBlob) [][3]string {
	rows := make([][3]string, 0, len(blobs))
	for _, b := range blobs {
		rows = append(rows, [3]string{b.Crate, b.Num, b.SHA256})
	}
	return rows
}
