package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
)

// Version is one published version.
type Version struct {
	ID          int64
	CrateID     int64
	Crate       string // the crate's name as published
	Restricted  bool   // the crate is
	Num         string
	SHA256      string // lower-case hex
	Size        int64  // bytes of the archive
	Yanked      bool
	YankMessage string
	Line        []byte // index line
	Downloads   int64
	PublishedBy string // user
	PublisherID int64  // 0: the user is no longer there
	CreatedAt   time.Time
	Details     Details
}

// Details are what a version's manifest says of itself beyond its index line.
type Details struct {
	Description   string   `json:"description,omitempty"`
	Homepage      string   `json:"homepage,omitempty"`
	Documentation string   `json:"documentation,omitempty"`
	Repository    string   `json:"repository,omitempty"`
	License       string   `json:"license,omitempty"`
	LicenseFile   string   `json:"license_file,omitempty"`
	RustVersion   string   `json:"rust_version,omitempty"`
	Links         string   `json:"links,omitempty"`
	Edition       string   `json:"edition,omitempty"`
	Keywords      []string `json:"keywords,omitempty"`
	Categories    []string `json:"categories,omitempty"`
	HasLib        bool     `json:"has_lib,omitempty"`
	BinNames      []string `json:"bin_names,omitempty"`
}

const versionColumns = `v.id, v.crate_id, c.name, c.restricted, v.num, v.sha256, v.size, v.yanked, v.yank_message, v.line, v.downloads,
	v.published_by, coalesce((SELECT pu.id FROM users pu WHERE pu.id = v.publisher_id), 0), v.created_at, v.details`

func scanVersion(row interface{ Scan(...any) error }) (Version, error) {
	var v Version
	var created int64
	var details string
	err := row.Scan(&v.ID, &v.CrateID, &v.Crate, &v.Restricted, &v.Num, &v.SHA256, &v.Size, &v.Yanked, &v.YankMessage, &v.Line, &v.Downloads,
		&v.PublishedBy, &v.PublisherID, &created, &details)
	v.CreatedAt = time.Unix(created, 0).UTC()
	if err == nil {
		err = json.Unmarshal([]byte(details), &v.Details)
	}
	return v, err
}

// Version finds a version by the crate's exact name and the full version, build metadata included.
func (c *Catalog) Version(ctx context.Context, name, num string) (Version, error) {
	return versionByNum(ctx, c.ro, name, num)
}

func versionByNum(ctx context.Context, q querier, name, num string) (Version, error) {
	v, err := scanVersion(q.QueryRowContext(ctx, "SELECT "+versionColumns+` FROM crates c JOIN versions v ON v.crate_id = c.id
		WHERE c.canonical = ? AND c.deleted_at IS NULL AND v.num = ? AND v.deleted_at IS NULL`, crate.Canonical(name), num))
	if errors.Is(err, sql.ErrNoRows) || err == nil && v.Crate != name {
		return Version{}, ErrNoVersion(name, num)
	}
	return v, err
}

// ErrNoVersion is the error for a version that is not there.
func ErrNoVersion(name, num string) error {
	return fault.New(fault.NotFound, "crate `%s` has no version `%s`", name, num)
}

// Versions lists the versions of a crate, by its id, in publish order.
func (c *Catalog) Versions(ctx context.Context, crateID int64) ([]Version, error) {
	return collect(ctx, c.ro, func(r *sql.Rows) (Version, error) { return scanVersion(r) },
		"SELECT "+versionColumns+` FROM versions v JOIN crates c ON c.id = v.crate_id
		WHERE v.crate_id = ? AND v.deleted_at IS NULL ORDER BY v.id`, crateID)
}

// VersionsInBrief gives the versions of crates, by their ids, in publish order, with no more of each than number and yank, and of the
// newest of a crate its details.
func (c *Catalog) VersionsInBrief(ctx context.Context, crateIDs []int64) (map[int64][]Version, error) {
	rows := make([][1]int64, 0, len(crateIDs))
	for _, id := range crateIDs {
		rows = append(rows, [1]int64{id})
	}
	list, err := collect(ctx, c.ro, func(r *sql.Rows) (v Version, err error) {
		var details string
		if err = r.Scan(&v.CrateID, &v.ID, &v.Num, &v.Yanked, &details); err == nil && details != "" {
			err = json.Unmarshal([]byte(details), &v.Details)
		}
		return v, err
	}, `SELECT v.crate_id, v.id, v.num, v.yanked, CASE WHEN v.id = max(v.id) OVER (PARTITION BY v.crate_id) THEN v.details ELSE '' END
		FROM versions v WHERE v.crate_id IN (SELECT CAST(value ->> 0 AS BIGINT) FROM json_each(?)) AND v.deleted_at IS NULL ORDER BY v.id`, toJSON(rows))
	byCrate := map[int64][]Version{}
	for _, v := range list {
		byCrate[v.CrateID] = append(byCrate[v.CrateID], v)
	}
	return byCrate, err
}

// Readme gives the text of a version's readme and the name of its file, both empty when it has none.
func (c *Catalog) Readme(ctx context.Context, versionID int64) (text, file string, err error) {
	var metadata string
	if err := c.ro.QueryRowContext(ctx, "SELECT metadata FROM versions WHERE id = ?", versionID).Scan(&metadata); err != nil {
		return "", "", err
	}
	var m struct {
		Readme     string `json:"readme"`
		ReadmeFile string `json:"readme_file"`
	}
	err = json.Unmarshal([]byte(metadata), &m)
	return m.Readme, m.ReadmeFile, err
}

// SetYanked yanks or unyanks a version; to do it twice is no error and no change. A message, where there is one, is kept for
// people. What is nil stays as it is, except that what is not yanked has no message. changed reports whether anything is another than before.
func (c *Catalog) SetYanked(ctx context.Context, by Actor, name, num string, yank *bool, message *string, allow func(Standing) error) (changed bool, err error) {
	err = c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		changed = false // the transaction may run again
		found, _, err := c.standing(ctx, tx, name, by.UserID, allow)
		if err != nil {
			return nil, err
		}
		name = found.Name
		v, err := versionByNum(ctx, tx, name, num)
		if err != nil {
			return nil, err
		}
		yanked, text := v.Yanked, v.YankMessage
		if yank != nil {
			yanked = *yank
		}
		if message != nil {
			text = *message
		}
		if !yanked && message != nil && *message != "" {
			return nil, fault.New(fault.Invalid, "a version that is not yanked has no yank_message")
		}
		if !yanked {
			text = ""
		}
		if v.Yanked == yanked && v.YankMessage == text {
			return nil, nil
		}
		changed = true
		line := string(index.SetYanked(v.Line, yanked))
		if _, err := tx.ExecContext(ctx, "UPDATE versions SET yanked = ?, yank_message = ?, line = ? WHERE id = ?", yanked, text, line, v.ID); err != nil {
			return nil, err
		}
		if err := c.updateMaxVersion(ctx, tx, found.ID); err != nil {
			return nil, err
		}
		kind, action := index.KindYank, ActionYank
		if !yanked {
			kind, action = index.KindUnyank, ActionUnyank
		}
		type state struct {
			Yanked  bool   `json:"yanked"`
			Message string `json:"message,omitempty"`
		}
		err = c.audit(ctx, tx, by, Record{Action: action, Crate: name, Version: num}, state{v.Yanked, v.YankMessage}, state{yanked, text})
		if v.Yanked == yanked {
			return nil, err
		}
		return []change{{crate: name, kind: kind, versionID: v.ID, hidden: found.Restricted}}, err
	})
	if err == nil && c.d.shared {
		// It may be so because another server did it a moment ago: who is told that it is done here shall see it here.
		c.tell(Change{Crate: name, Kind: index.KindYank})
	}
	return changed && err == nil, err
}

// updateMaxVersion finds the highest version again, after one was yanked or deleted.
func (c *Catalog) updateMaxVersion(ctx context.Context, tx *tx, crateID int64) error {
	nums, err := collect(ctx, tx, scanString, "SELECT num FROM versions WHERE crate_id = ? AND yanked = ? AND deleted_at IS NULL", crateID, false)
	if err != nil {
		return err
	}
	highest := noVersion
	for _, num := range nums {
		if v, err := crate.ParseVersion(num); err == nil {
			highest = higher(highest, v)
		}
	}
	_, err = tx.ExecContext(ctx, "UPDATE crates SET max_version = ?, updated_at = ? WHERE id = ?", highest, c.now().Unix(), crateID)
	return err
}

// higher gives the higher of a stored maximum and a new version.
func higher(stored string, v crate.Version) string {
	if old, err := crate.ParseVersion(stored); err == nil && stored != noVersion && old.Compare(v) >= 0 {
		return stored
	}
	return v.String()
}

// noVersion is what cargo search shows of a crate whose versions are all yanked, as on crates.io.
const noVersion = "0.0.0"

func scanString(r *sql.Rows) (s string, err error) {
	err = r.Scan(&s)
	return s, err
}
