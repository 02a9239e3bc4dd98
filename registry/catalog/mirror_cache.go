package catalog

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
)

// MirrorIndexFile is an index file of upstream's, as it was when it was last asked for.
type MirrorIndexFile struct {
	Crate              string // in lower case
	ETag, LastModified string // upstream's validators
	CheckedAt          time.Time
	File               []byte // gzip of the bytes; nil: upstream has no such crate
	// Generation is the mirror's, whose upstream was asked. It is not kept: see Mirror.UpstreamSince.
	Generation int64
}

// MirrorCrate is an archive of upstream's that is stored here.
type MirrorCrate struct {
	Name, Num string // as upstream spells them
	SHA256    string
	Size      int64
	License   string // of its Cargo.toml
	Inspected bool   // License is known
	Pinned    int    // see the constants
	StoredAt  time.Time
	UsedAt    time.Time
	// Generation is the mirror's, whose upstream's index named this digest: see Mirror.UpstreamSince.
	Generation int64
}

// Why an archive is kept.
const (
	NotPinned = iota
	PinnedByList
	PinnedByLockfile
)

// MirrorKey names an archive of a mirror. Pins of it say how it is kept.
type MirrorKey struct {
	MirrorID  int64
	Name, Num string
}

// MirrorLicense is what was found in an archive that had been stored before anybody asked for its licence.
type MirrorLicense struct {
	MirrorKey
	SHA256, License string
}

// MirrorAdoption says that the index of a mirror's upstream, as it is with a generation, names the digest of an archive that was stored before.
type MirrorAdoption struct {
	MirrorKey
	SHA256     string
	Generation int64
}

// MirrorWrites are changes to what mirrors have cached, written in one transaction. None of them is waited for: what is lost is fetched again.
type MirrorWrites struct {
	Index   map[int64][]MirrorIndexFile // by mirror
	Checked map[int64]map[string]time.Time
	Crates  map[int64][]MirrorCrate
	Used    map[MirrorKey]time.Time
	Looked  []MirrorLicense
	Adopted []MirrorAdoption
	Denials []Record // for the audit; By is in each
}

// Empty reports whether there is nothing to write.
func (w *MirrorWrites) Empty() bool {
	return len(w.Index)+len(w.Checked)+len(w.Crates)+len(w.Used)+len(w.Looked)+len(w.Adopted)+len(w.Denials) == 0
}

// WriteMirrors writes what mirrors have cached. What belongs to a mirror that is gone is left out, and so are index files of an upstream that it no longer has.
func (c *Catalog) WriteMirrors(ctx context.Context, w *MirrorWrites) error {
	list, err := c.mirrorStatements(w)
	if err != nil {
		return err
	}
	if c.d.shared {
		return c.again(ctx, func() ([]change, error) { return nil, c.execBatch(ctx, list) })
	}
	return c.write(ctx, func(tx *tx) ([]change, error) {
		for _, s := range list {
			if _, err := tx.ExecContext(ctx, s.query, s.args...); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}

// mirrorStatements gives the statements of WriteMirrors, in the order in which they are run.
func (c *Catalog) mirrorStatements(w *MirrorWrites) (list []statement, err error) {
	add := func(query string, args ...any) { list = append(list, statement{query, args}) }
	if c.d.shared {
		add(advisoryLock, lockMirrors, 1) // many rows, in any order
	}
	for id, files := range w.Index {
		for _, f := range files {
			add(saveMirrorIndexFile, f.Crate, crate.Canonical(f.Crate), f.ETag, f.LastModified, f.CheckedAt.UnixMilli(), f.File, id, f.Generation)
		}
	}
	for id, checked := range w.Checked {
		for name, at := range checked {
			add("UPDATE mirror_index SET checked_at = ? WHERE mirror_id = ? AND crate = ?", at.UnixMilli(), id, name)
		}
	}
	for id, crates := range w.Crates {
		for _, m := range crates {
			add(saveMirrorCrate, m.Name, m.Num, m.SHA256, m.Size, m.License, m.Inspected, m.Pinned, m.StoredAt.Unix(), m.UsedAt.Unix(), m.Generation, id)
		}
	}
	for k, at := range w.Used {
		add("UPDATE mirror_crates SET used_at = ? WHERE mirror_id = ? AND name = ? AND num = ? AND used_at < ?", at.Unix(), k.MirrorID, k.Name, k.Num, at.Unix())
	}
	for _, l := range w.Looked { // of what may be gone by now, or another file
		add("UPDATE mirror_crates SET license = ?, inspected = ? WHERE mirror_id = ? AND name = ? AND num = ? AND sha256 = ?", l.License, true, l.MirrorID, l.Name, l.Num, l.SHA256)
	}
	for _, a := range w.Adopted {
		add("UPDATE mirror_crates SET generation = ? WHERE mirror_id = ? AND name = ? AND num = ? AND sha256 = ? AND generation < ?",
			a.Generation, a.MirrorID, a.Name, a.Num, a.SHA256, a.Generation)
	}
	for _, r := range w.Denials {
		by := Actor{User: r.Actor, TokenID: r.TokenID, TokenName: r.Token, Address: r.Address}
		values, err := c.auditValues(by, r, nil, r.After)
		if err != nil {
			return nil, err
		}
		add(insertAudit, values...)
	}
	return list, nil
}

const (
	saveMirrorIndexFile = `INSERT INTO mirror_index (mirror_id, crate, canonical, etag, last_modified, checked_at, file)
		SELECT m.id, ?, ?, ?, ?, ?, ? FROM mirrors m WHERE m.id = ? AND m.upstream_since <= ?
		ON CONFLICT (mirror_id, crate) DO UPDATE SET etag = excluded.etag, last_modified = excluded.last_modified, checked_at = excluded.checked_at, file = excluded.file`
	saveMirrorCrate = `INSERT INTO mirror_crates (mirror_id, name, num, sha256, size, license, inspected, pinned, stored_at, used_at, generation)
		SELECT m.id, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM mirrors m WHERE m.id = ?
		ON CONFLICT (mirror_id, name, num) DO UPDATE SET sha256 = excluded.sha256, size = excluded.size, license = excluded.license,
			inspected = excluded.inspected, stored_at = excluded.stored_at, used_at = excluded.used_at, generation = excluded.generation
		WHERE excluded.generation >= mirror_crates.generation`
)

// MirrorIndexFile finds an index file; nil: it was never asked for.
func (c *Catalog) MirrorIndexFile(ctx context.Context, mirrorID int64, name string) (*MirrorIndexFile, error) {
	f, err := scanMirrorIndexFile(c.ro.QueryRowContext(ctx, "SELECT crate, etag, last_modified, checked_at, file FROM mirror_index WHERE mirror_id = ? AND crate = ?", mirrorID, name))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &f, err
}

func scanMirrorIndexFile(row interface{ Scan(...any) error }) (f MirrorIndexFile, err error) {
	var checked int64
	err = row.Scan(&f.Crate, &f.ETag, &f.LastModified, &checked, &f.File)
	f.CheckedAt = time.UnixMilli(checked)
	return f, err
}

// MirrorIndexNames gives the crates whose index files are cached, by name, after the given one.
func (c *Catalog) MirrorIndexNames(ctx context.Context, mirrorID int64, after string, limit int) ([]string, error) {
	return collect(ctx, c.ro, scanString, "SELECT crate FROM mirror_index WHERE mirror_id = ? AND crate > ? AND file IS NOT NULL ORDER BY crate LIMIT ?", mirrorID, after, limit)
}

// KnowsMirrored gives the names of mirrors whose upstream is known to have a crate of this name, whatever its case, '-' and '_'.
func (c *Catalog) KnowsMirrored(ctx context.Context, name string) ([]string, error) {
	return collect(ctx, c.ro, scanString, `SELECT DISTINCT m.name FROM mirror_index i JOIN mirrors m ON m.id = i.mirror_id
		WHERE i.canonical = ? AND i.file IS NOT NULL ORDER BY m.name`, crate.Canonical(name))
}

// Shadowed gives crates that this registry and a mirror's upstream both have, as far as is known: at most limit.
func (c *Catalog) Shadowed(ctx context.Context, mirrorID int64, limit int) ([]string, error) {
	return collect(ctx, c.ro, scanString, `SELECT c.name FROM crates c WHERE c.deleted_at IS NULL
		AND EXISTS (SELECT 1 FROM mirror_index i WHERE i.mirror_id = ? AND i.canonical = c.canonical AND i.file IS NOT NULL) ORDER BY c.name LIMIT ?`, mirrorID, limit)
}

const (
	mirrorCrateColumns = "name, num, sha256, size, license, inspected, pinned, stored_at, used_at, generation"
	mirrorCrateQuery   = "SELECT " + mirrorCrateColumns + " FROM mirror_crates WHERE mirror_id = ? AND name = ? AND num = ?"
)

func scanMirrorCrate(row interface{ Scan(...any) error }) (m MirrorCrate, err error) {
	var stored, used int64
	err = row.Scan(&m.Name, &m.Num, &m.SHA256, &m.Size, &m.License, &m.Inspected, &m.Pinned, &stored, &used, &m.Generation)
	m.StoredAt, m.UsedAt = time.Unix(stored, 0).UTC(), time.Unix(used, 0).UTC()
	return m, err
}

// MirrorCrate finds a stored archive; nil: it is not stored.
func (c *Catalog) MirrorCrate(ctx context.Context, mirrorID int64, name, num string) (*MirrorCrate, error) {
	m, err := scanMirrorCrate(c.ro.QueryRowContext(ctx, mirrorCrateQuery, mirrorID, name, num))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &m, err
}

// MirrorCratesOf gives the stored archives of one crate.
func (c *Catalog) MirrorCratesOf(ctx context.Context, mirrorID int64, name string) ([]MirrorCrate, error) {
	return collect(ctx, c.ro, func(r *sql.Rows) (MirrorCrate, error) { return scanMirrorCrate(r) },
		"SELECT "+mirrorCrateColumns+" FROM mirror_crates WHERE mirror_id = ? AND name = ? ORDER BY num", mirrorID, name)
}

// MirrorCratesBefore gives some stored archives that are of an older generation than the given one, by name and version, after the given ones.
func (c *Catalog) MirrorCratesBefore(ctx context.Context, mirrorID, generation int64, name, num string, limit int) ([]MirrorCrate, error) {
	return collect(ctx, c.ro, func(r *sql.Rows) (MirrorCrate, error) { return scanMirrorCrate(r) },
		"SELECT "+mirrorCrateColumns+" FROM mirror_crates WHERE mirror_id = ? AND generation < ? AND (name, num) > (?, ?) ORDER BY name, num LIMIT ?",
		mirrorID, generation, name, num, limit)
}

// MirrorCrateNames gives what a mirror has stored, as NAME@VERSION. It takes some 100 bytes of memory each.
func (c *Catalog) MirrorCrateNames(ctx context.Context, mirrorID int64) (map[string]struct{}, error) {
	all := map[string]struct{}{}
	err := each(ctx, c.ro, scanString, func(name string) bool { all[name] = struct{}{}; return true },
		"SELECT name || '@' || num FROM mirror_crates WHERE mirror_id = ?", mirrorID)
	return all, err
}

// MirrorCrates gives all stored archives of a mirror, the least recently used first. It holds one at a time, and a read transaction until it ends.
func (c *Catalog) MirrorCrates(ctx context.Context, mirrorID int64) iter.Seq2[MirrorCrate, error] {
	return func(yield func(MirrorCrate, error) bool) {
		err := c.read(ctx, func(q querier) error {
			return each(ctx, q, func(r *sql.Rows) (MirrorCrate, error) { return scanMirrorCrate(r) }, func(m MirrorCrate) bool { return yield(m, nil) },
				"SELECT "+mirrorCrateColumns+" FROM mirror_crates WHERE mirror_id = ? ORDER BY used_at, name, num", mirrorID)
		})
		if err != nil {
			yield(MirrorCrate{}, err)
		}
	}
}

// DeleteMirrorCrate forgets that an archive is stored, unless it was used or stored again since the caller saw it, or the mirror is of another generation than
// the given one; 0: it may be of any. It reports whether it did.
func (c *Catalog) DeleteMirrorCrate(ctx context.Context, mirrorID, generation int64, m MirrorCrate) (gone bool, err error) {
	err = c.write(ctx, func(tx *tx) ([]change, error) {
		and, args := "", []any{mirrorID, m.Name, m.Num, m.UsedAt.Unix(), m.StoredAt.Unix()}
		if generation != 0 {
			and, args = " AND EXISTS (SELECT 1 FROM mirrors WHERE id = ? AND generation = ?)", append(args, mirrorID, generation)
			if err := tx.lock(ctx, lockMirrors, 0); err != nil { // it stays of that generation until the end: see changeMirror
				return nil, err
			}
		}
		res, err := tx.ExecContext(ctx, "DELETE FROM mirror_crates WHERE mirror_id = ? AND name = ? AND num = ? AND used_at = ? AND stored_at = ?"+and, args...)
		if err != nil {
			return nil, err
		}
		n, err := res.RowsAffected()
		gone = n > 0
		return nil, err
	})
	return gone, err
}

// ForgetMirrorIndex drops an index file. Where something that was pinned goes with it, lost says of the mirror as it is then whether it is to be synced now, and else
// what its status becomes; nil: nothing was.
func (c *Catalog) ForgetMirrorIndex(ctx context.Context, by Actor, mirror, name string, lost func(Mirror) (sync bool, status string)) error {
	return c.changeMirror(ctx, by, mirror, func(tx *tx, m Mirror) (bool, error) {
		if lost != nil {
			var err error
			if sync, status := lost(m); sync {
				_, err = tx.ExecContext(ctx, "UPDATE mirrors SET requested_at = ? WHERE id = ?", c.now().UnixMilli(), m.ID)
			} else {
				_, err = tx.ExecContext(ctx, "UPDATE mirrors SET status = ? WHERE id = ?", status, m.ID)
			}
			if err != nil {
				return false, err
			}
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM mirror_index WHERE mirror_id = ? AND crate = ?", m.ID, name); err != nil {
			return false, err
		}
		return true, c.audit(ctx, tx, by, Record{Action: ActionMirrorForget, Subject: mirror, Crate: name}, nil, nil)
	})
}

// PinMirrorCrates says which archives are pinned, and how. Those that are not named are not any more, if all is true and none is missing; else they stay as
// they are. It gives those that are not stored.
func (c *Catalog) PinMirrorCrates(ctx context.Context, mirrorID int64, pins map[MirrorKey]int, all bool) (missing []MirrorKey, err error) {
	type row struct {
		MirrorKey
		how int
	}
	err = c.write(ctx, func(tx *tx) ([]change, error) {
		if err := tx.lock(ctx, lockMirrors, 1); err != nil {
			return nil, err
		}
		// What changed is found here: a comparison of two long lists in SQL is one of each with each.
		now, err := collect(ctx, tx, func(r *sql.Rows) (x row, err error) {
			x.MirrorID = mirrorID
			err = r.Scan(&x.Name, &x.Num, &x.how)
			return x, err
		}, "SELECT name, num, pinned FROM mirror_crates WHERE mirror_id = ?", mirrorID)
		if err != nil {
			return nil, err
		}
		left := maps.Clone(pins)
		for _, x := range now {
			delete(left, x.MirrorKey)
		}
		missing = slices.Collect(maps.Keys(left))
		for _, x := range now {
			if how, named := pins[x.MirrorKey]; how != x.how && (named || all && len(missing) == 0) {
				if _, err := tx.ExecContext(ctx, "UPDATE mirror_crates SET pinned = ? WHERE mirror_id = ? AND name = ? AND num = ?", how, mirrorID, x.Name, x.Num); err != nil {
					return nil, err
				}
			}
		}
		return nil, nil
	})
	return missing, err
}

// MirrorCounts are what a mirror has cached.
type MirrorCounts struct{ IndexFiles, Crates, Bytes int64 }

// CountMirror counts what a mirror has cached.
func (c *Catalog) CountMirror(ctx context.Context, mirrorID int64) (n MirrorCounts, err error) {
	err = c.ro.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM mirror_index WHERE mirror_id = ? AND file IS NOT NULL),
		count(*), coalesce(CAST(sum(size) AS BIGINT), 0) FROM mirror_crates WHERE mirror_id = ?`, mirrorID, mirrorID).Scan(&n.IndexFiles, &n.Crates, &n.Bytes)
	return n, err
}
