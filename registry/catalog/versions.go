package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
)

// Version is one published version, as far as downloads need it.
type Version struct {
	ID     int64
	Crate  string // the crate's name as published
	Num    string
	SHA256 string // lower-case hex
	Size   int64  // bytes
	Yanked bool
}

// Publication is a version about to become visible.
type Publication struct {
	Name        string
	Version     crate.Version
	Description string
	SHA256      string
	Size        int64
	Line        []byte // index line
	Metadata    []byte // JSON as cargo sent it
	UserID      int64
	UserName    string
	Role        string // of the user, when the request began
	TokenID     int64
	// Durable waits until the blob is durable. The transaction asks it last, right before it commits, so that the disk works
	// on both at once. Nil: it is already.
	Durable func() error
}

// Standing says how the crate of a request stands to the user who asks, as the catalog sees it inside the transaction.
type Standing struct {
	Exists bool // the crate has been published before
	Owner  bool // the user owns it
}

// Publish makes a version, its index line and the change visible in one transaction. allow is asked inside it, so that a
// right that was just lost is lost here too; a new crate gets the publisher as its owner. A version that exists
// already, build metadata aside, is a Conflict, and so is a name that differs from an existing one in case or '-'/'_' only.
func (c *Catalog) Publish(ctx context.Context, p Publication, allow func(Standing) error) error {
	return c.write(ctx, func(tx *tx) ([]Change, error) {
		if err := c.stillValid(ctx, tx, p); err != nil {
			return nil, err
		}
		crateID, maxVersion, err := checkPublish(ctx, tx, p, allow)
		if err != nil {
			return nil, err
		}
		now := c.now().Unix()
		if crateID == 0 {
			if crateID, err = insertCrate(ctx, tx, p, now); err != nil {
				return nil, err
			}
		} else if _, err = tx.ExecContext(ctx, "UPDATE crates SET description = ?, max_version = ?, updated_at = ? WHERE id = ?",
			p.Description, higher(maxVersion, p.Version), now, crateID); err != nil {
			return nil, err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO versions (crate_id, num, release, sha256, size, line, published_by, created_at, metadata)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, crateID, p.Version.String(), p.Version.Release(), p.SHA256, p.Size,
			string(p.Line), p.UserName, now, string(p.Metadata))
		if err == nil && p.Durable != nil {
			if err = p.Durable(); err != nil {
				err = fmt.Errorf("store crate: %w", err)
			}
		}
		return []Change{{Crate: p.Name}}, err
	})
}

// stillValid refuses a publish whose token was revoked or whose user was suspended while it uploaded.
func (c *Catalog) stillValid(ctx context.Context, q querier, p Publication) error {
	var role string
	var suspended bool
	var expires sql.NullInt64
	err := q.QueryRowContext(ctx, "SELECT u.role, u.suspended, t.expires_at FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.id = ?", p.TokenID).
		Scan(&role, &suspended, &expires)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && expires.Valid && expires.Int64 <= c.now().Unix():
		return fault.New(fault.Unauthenticated, "the token was revoked or expired during the upload")
	case err != nil:
		return err
	case suspended || role != p.Role:
		return fault.New(fault.Forbidden, "the rights of user `%s` changed during the upload; publish again", p.UserName)
	}
	return nil
}

// CheckPublish asks what Publish would, so that a publish that cannot succeed leaves no blob behind.
func (c *Catalog) CheckPublish(ctx context.Context, p Publication, allow func(Standing) error) error {
	_, _, err := checkPublish(ctx, c.ro, p, allow)
	return err
}

func checkPublish(ctx context.Context, q querier, p Publication, allow func(Standing) error) (crateID int64, maxVersion string, err error) {
	var name string
	var owner bool
	var num sql.NullString // of the version that stands in the way
	err = q.QueryRowContext(ctx, `SELECT c.id, c.name, c.max_version, EXISTS (SELECT 1 FROM owners WHERE crate_id = c.id AND user_id = ?),
		(SELECT num FROM versions WHERE crate_id = c.id AND release = ?) FROM crates c WHERE c.canonical = ?`,
		p.UserID, p.Version.Release(), crate.Canonical(p.Name)).Scan(&crateID, &name, &maxVersion, &owner, &num)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, "", allow(Standing{})
	case err != nil:
		return 0, "", err
	case name != p.Name:
		return 0, "", fault.New(fault.Conflict, "crate was previously named `%s`; `%s` is too close to it: publish it under the existing name or choose another", name, p.Name)
	}
	if err := allow(Standing{Exists: true, Owner: owner}); err != nil {
		return 0, "", err
	}
	if num.Valid {
		return 0, "", fault.New(fault.Conflict, "crate version `%s@%s` is already uploaded; a published version never changes: raise the version", p.Name, num.String)
	}
	return crateID, maxVersion, nil
}

func insertCrate(ctx context.Context, tx *tx, p Publication, now int64) (int64, error) {
	res, err := tx.ExecContext(ctx, `INSERT INTO crates (name, canonical, description, max_version, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?)`, p.Name, crate.Canonical(p.Name), p.Description, p.Version.String(), now, now)
	if err != nil {
		return 0, err
	}
	id, err := res.LastInsertId()
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO owners (crate_id, user_id) VALUES (?, ?)", id, p.UserID)
	return id, err
}

// higher gives the higher of a stored maximum and a new version; 0.0.0 stands for "none".
func higher(stored string, v crate.Version) string {
	if old, err := crate.ParseVersion(stored); err == nil && stored != noVersion && old.Compare(v) >= 0 {
		return stored
	}
	return v.String()
}

// noVersion is what cargo search shows of a crate whose versions are all yanked, as on crates.io.
const noVersion = "0.0.0"

// Version finds a version by the crate's exact name and the full version, build metadata included.
func (c *Catalog) Version(ctx context.Context, name, num string) (Version, error) {
	return versionByNum(ctx, c.ro, name, num)
}

func versionByNum(ctx context.Context, q querier, name, num string) (Version, error) {
	v := Version{Num: num}
	err := q.QueryRowContext(ctx, `SELECT v.id, c.name, v.sha256, v.size, v.yanked FROM crates c JOIN versions v ON v.crate_id = c.id
		WHERE c.canonical = ? AND v.num = ?`, crate.Canonical(name), num).Scan(&v.ID, &v.Crate, &v.SHA256, &v.Size, &v.Yanked)
	if errors.Is(err, sql.ErrNoRows) || err == nil && v.Crate != name {
		return Version{}, fault.New(fault.NotFound, "crate `%s` has no version `%s`", name, num)
	}
	return v, err
}

// SetYanked yanks or unyanks a version; to do it twice is no error and no change.
func (c *Catalog) SetYanked(ctx context.Context, name, num string, yanked bool, userID int64, allow func(Standing) error) error {
	return c.write(ctx, func(tx *tx) ([]Change, error) {
		found, err := c.standing(ctx, tx, name, userID, allow)
		if err != nil {
			return nil, err
		}
		v, err := versionByNum(ctx, tx, name, num)
		if err != nil || v.Yanked == yanked {
			return nil, err
		}
		var line string
		if err := tx.QueryRowContext(ctx, "SELECT line FROM versions WHERE id = ?", v.ID).Scan(&line); err != nil {
			return nil, err
		}
		line = string(index.SetYanked([]byte(line), yanked))
		if _, err := tx.ExecContext(ctx, "UPDATE versions SET yanked = ?, line = ? WHERE id = ?", yanked, line, v.ID); err != nil {
			return nil, err
		}
		highest, err := maxVersion(ctx, tx, found.ID)
		if err != nil {
			return nil, err
		}
		_, err = tx.ExecContext(ctx, "UPDATE crates SET max_version = ?, updated_at = ? WHERE id = ?", highest, c.now().Unix(), found.ID)
		return []Change{{Crate: name}}, err
	})
}

func maxVersion(ctx context.Context, q querier, crateID int64) (string, error) {
	nums, err := collect(ctx, q, scanString, "SELECT num FROM versions WHERE crate_id = ? AND yanked = 0", crateID)
	highest := noVersion
	for _, num := range nums {
		if v, err := crate.ParseVersion(num); err == nil {
			highest = higher(highest, v)
		}
	}
	return highest, err
}

func scanString(r *sql.Rows) (s string, err error) {
	err = r.Scan(&s)
	return s, err
}

// standing finds a crate and asks allow about the user, inside a transaction.
func (c *Catalog) standing(ctx context.Context, q querier, name string, userID int64, allow func(Standing) error) (Crate, error) {
	found, err := crateByName(ctx, q, name)
	if err != nil {
		return Crate{}, err
	}
	owner, err := isOwner(ctx, q, found.ID, userID)
	if err != nil {
		return Crate{}, err
	}
	return found, allow(Standing{Exists: true, Owner: owner})
}

// AddDownloads adds to the counts of versions, by their id, and of their crates.
func (c *Catalog) AddDownloads(ctx context.Context, counts map[int64]int64) error {
	return c.write(ctx, func(tx *tx) ([]Change, error) {
		for id, n := range counts {
			if _, err := tx.ExecContext(ctx, "UPDATE versions SET downloads = downloads + ? WHERE id = ?", n, id); err != nil {
				return nil, err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE crates SET downloads = downloads + ? WHERE id = (SELECT crate_id FROM versions WHERE id = ?)", n, id); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}
