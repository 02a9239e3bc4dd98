package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
)

// Import is a version that was published elsewhere or before, and comes as it was.
type Import struct {
	Publication // By is whose crate it becomes if it is new; without a user it has no owner
	At          time.Time
}

// ActionImport is the action of the audit for versions that an administrator brings in, one record a crate.
const ActionImport = "crate.import"

// Import adds versions of one crate, in their order, in one transaction. Rights and dependencies are not asked for. A version that is there
// with the same digest is passed over; one that is there with another, one that was deleted, by itself or with its crate, and a name that another crate
// has, are a Conflict, and nothing is added.
func (c *Catalog) Import(ctx context.Context, versions []Import) (added int, err error) {
	err = c.write(ctx, func(tx *tx) (changes []change, err error) {
		added = 0
		if len(versions) == 0 {
			return nil, nil
		}
		if err := tx.lockPublish(ctx, versions[0].Name); err != nil {
			return nil, err
		}
		for _, v := range versions {
			ch, err := c.importVersion(ctx, tx, v)
			if err != nil {
				return nil, err
			}
			if ch != nil {
				changes = append(changes, *ch)
				added++
			}
		}
		if added == 0 {
			return nil, nil
		}
		first := versions[0]
		return changes, c.audit(ctx, tx, first.By, Record{Action: ActionImport, Crate: first.Name}, nil, map[string]any{"versions": added})
	})
	return added, err
}

// importVersion gives the change, or nil when the version is there.
func (c *Catalog) importVersion(ctx context.Context, tx *tx, v Import) (*change, error) {
	var old published
	var num, sum sql.NullString
	var deleted sql.NullInt64
	err := tx.QueryRowContext(ctx, `SELECT c.id, c.name, c.max_version, c.description, c.keywords, c.categories, c.restricted, v.num, v.sha256, v.deleted_at
		FROM crates c LEFT JOIN versions v ON v.crate_id = c.id AND v.release = ? WHERE c.canonical = ?`, v.Version.Release(), crate.Canonical(v.Name)).
		Scan(&old.id, &old.name, &old.maxVersion, &old.description, &old.keywords, &old.categories, &old.restricted, &num, &sum, &deleted)
	found := &old
	switch {
	case errors.Is(err, sql.ErrNoRows):
		found = nil
	case err != nil:
		return nil, err
	case old.name != v.Name:
		return nil, fault.New(fault.Conflict, "crate `%s` is too close to `%s`, which is there", v.Name, old.name)
	case deleted.Valid:
		return nil, fault.New(fault.Conflict, "version %s of crate `%s` was deleted, and a version number is never used twice", v.Version, v.Name)
	case sum.String == v.SHA256 && num.String == v.Version.String():
		return nil, nil
	case num.Valid:
		return nil, fault.New(fault.Conflict, "version %s of crate `%s` is there with other bytes, or as %s", v.Version, v.Name, num.String)
	}
	// A crate that was deleted leaves its name free, and the bytes until a sweep.
	var gone bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM crates c JOIN versions v ON v.crate_id = c.id WHERE c.name || '/' = ? AND c.deleted_at IS NOT NULL
		AND v.num = ? AND v.sha256 = ?)`, v.Name+"/", v.Version.String(), v.SHA256).Scan(&gone); err != nil {
		return nil, err
	}
	if gone {
		return nil, fault.New(fault.Conflict, "crate `%s` was deleted with its version %s", v.Name, v.Version)
	}
	details, err := json.Marshal(v.Details)
	if err != nil {
		return nil, err
	}
	id, restricted, err := c.saveCrate(ctx, tx, found, v.Publication, v.At)
	if err != nil {
		return nil, err
	}
	versionID, err := insertVersion(ctx, tx, id, v, string(details))
	if err != nil {
		return nil, err
	}
	if deps := canonicals(v.Dependencies); len(deps) > 0 {
		if _, err := tx.ExecContext(ctx, "INSERT INTO dependencies (crate, version_id) SELECT value ->> 0, ? FROM json_each(?)", versionID, jsonRows(deps)); err != nil {
			return nil, err
		}
	}
	return &change{crate: v.Name, kind: index.KindPublish, versionID: versionID, hidden: restricted}, nil
}

func insertVersion(ctx context.Context, tx *tx, crateID int64, v Import, details string) (id int64, err error) {
	num := v.Version.String()
	err = tx.QueryRowContext(ctx, `INSERT INTO versions (crate_id, num, release, sha256, size, line, published_by, publisher_id, created_at, metadata, details)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM sweeping s WHERE s.crate = ? AND s.num = ? AND s.sha256 = ?) RETURNING id`,
		crateID, num, v.Version.Release(), v.SHA256, v.Size, string(v.Line), cmp.Or(v.By.User, self), sql.NullInt64{Int64: v.By.UserID, Valid: v.By.UserID != 0},
		v.At.Unix(), string(v.Metadata), details, v.Name, num, v.SHA256).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fault.New(fault.Conflict, "a sweep is removing the archive of %s %s", v.Name, num)
	}
	return id, err
}
