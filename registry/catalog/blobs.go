package catalog

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
)

// CrateBlob names the archive of a version as its storage key does.
type CrateBlob struct{ Crate, Num, SHA256 string }

// BlobRef is a version that names a blob.
type BlobRef struct {
	CrateBlob
	Size      int64 // bytes
	VersionID int64
	DeletedAt *time.Time // of the version or of its crate; nil: neither is deleted
}

const blobColumns = `SELECT c.name, v.num, v.sha256, v.size, v.id, coalesce(v.deleted_at, c.deleted_at) FROM crates c JOIN versions v ON v.crate_id = c.id`

func scanBlob(r *sql.Rows) (b BlobRef, err error) {
	var deleted sql.NullInt64
	err = r.Scan(&b.Crate, &b.Num, &b.SHA256, &b.Size, &b.VersionID, &deleted)
	b.DeletedAt = fromUnix(deleted)
	return b, err
}

// BlobsAfter gives the versions that come after a blob, deleted ones too, in the order of the bytes of their storage keys, as they were at one
// moment; the zero CrateBlob is before all. It holds one at a time, and a read transaction until it ends: a reader that takes hours
// reads a part at a time. A crate that was deleted and made again may name a key twice; an undeleted version comes last.
func (c *Catalog) BlobsAfter(ctx context.Context, after CrateBlob) iter.Seq2[BlobRef, error] {
	return func(yield func(BlobRef, error) bool) {
		name, file := after.Crate+"/", after.Num+"-"+after.SHA256+".crate"
		if after == (CrateBlob{}) {
			name, file = "", ""
		}
		err := c.read(ctx, func(q querier) error {
			return each(ctx, q, scanBlob, func(b BlobRef) bool { return yield(b, nil) },
				blobColumns+` WHERE c.name || '/' >= ? AND (c.name || '/' > ? OR v.num || '-' || v.sha256 || '.crate' > ?)
				ORDER BY c.name || '/', v.num || '-' || v.sha256 || '.crate', v.id`, name, name, file)
		})
		if err != nil {
			yield(BlobRef{}, err)
		}
	}
}

// CrateBlobs is BlobsAfter for the crates of one exact name, as they are now.
func (c *Catalog) CrateBlobs(ctx context.Context, name string) ([]BlobRef, error) {
	return collect(ctx, c.ro, scanBlob, blobColumns+" WHERE c.name || '/' = ? ORDER BY v.num || '-' || v.sha256 || '.crate', v.id", name+"/")
}

// CorrectSize sets the size of a version, by its id, to that of its archive, whose SHA-256 is the version's. Servers that have the old one in memory
// forget it when a download contradicts it.
func (c *Catalog) CorrectSize(ctx context.Context, id int64, sha256 string, size int64) error {
	return c.write(ctx, func(tx *tx) ([]change, error) {
		var name, num string
		var was int64
		err := tx.QueryRowContext(ctx, `SELECT c.name, v.num, v.size FROM versions v JOIN crates c ON c.id = v.crate_id WHERE v.id = ? AND v.sha256 = ?`, id, sha256).
			Scan(&name, &num, &was)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, fault.New(fault.NotFound, "there is no version of id %d with this archive", id)
		}
		if err != nil || was == size {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE versions SET size = ? WHERE id = ?", size, id); err != nil {
			return nil, err
		}
		return nil, c.audit(ctx, tx, Actor{}, Record{Action: ActionRepairVersion, Crate: name, Version: num}, map[string]any{"size": was}, map[string]any{"size": size})
	})
}

// each gives the rows of a query one by one, until yield has enough.
func each[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), yield func(T) bool, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err says what went wrong
	for rows.Next() {
		v, err := scan(rows.Rows)
		if err != nil {
			return err
		}
		if !yield(v) {
			return nil
		}
	}
	return rows.Err()
}
