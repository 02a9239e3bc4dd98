package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
)

// Publication is a version about to become visible.
type Publication struct {
	By           Actor
	Name         string
	Version      crate.Version
	SHA256       string
	Size         int64
	Line         []byte   // index line
	Metadata     []byte   // JSON as cargo sent it
	Details      Details  // what of it is shown
	Dependencies []string // crates of this registry that it depends on, as it spells them
	Restricted   bool     // should the crate be new, its owners alone see it
	Imported     *Imported
	// Durable waits until the blob is durable. The transaction asks it last, right before it commits, so that the disk works
	// on both at once. Nil: it is already.
	Durable func() error
}

// Imported says what is known of a version from the registry that it comes from. Its dependencies need not be here yet: those may
// come after it, and some never will.
type Imported struct {
	PublishedAt time.Time // zero: now
	Yanked      bool
}

// Standing says how the crate of a request stands to the user who asks, as the catalog sees it inside the transaction.
type Standing struct {
	Name     string // of the crate, as published; empty when it is new
	Exists   bool   // the crate has been published before
	Owner    bool   // the user owns it, in person or through a group
	InPerson bool   // the user owns it in person
	Visible  bool   // the user may know of it: it is not restricted, or the user has a standing with it
}

// Publish makes a version, its index line and the change visible in one transaction. allow is asked inside it, so that a
// right that was just lost is lost here too; a new crate gets the publisher as its owner. A version that exists
// already, build metadata aside, is a Conflict, and so is a name that differs from an existing one in case or '-'/'_' only.
func (c *Catalog) Publish(ctx context.Context, p Publication, allow func(Standing) error) error {
	details, err := json.Marshal(p.Details)
	if err != nil {
		return err
	}
	err = c.writeAs(ctx, p.By, func(tx *tx) ([]change, error) {
		if err := tx.lockPublish(ctx, p.Name); err != nil {
			return nil, err
		}
		old, err := c.checkPublish(ctx, tx, p, allow)
		if err != nil {
			return nil, err
		}
		if p.Imported == nil {
			missing, err := missingDependencies(ctx, tx, p)
			if err != nil || len(missing) > 0 {
				return nil, cmp.Or(err, error(fault.New(fault.Invalid, "%s", strings.Join(missing, "\n"))))
			}
		}
		now := c.now()
		published := now
		if p.Imported != nil && !p.Imported.PublishedAt.IsZero() {
			published = p.Imported.PublishedAt
		}
		crateID, restricted, err := c.saveCrate(ctx, tx, old, p, now)
		if err != nil {
			return nil, err
		}
		var versionID int64
		err = tx.QueryRowContext(ctx, `INSERT INTO versions (crate_id, num, release, sha256, size, line, published_by, publisher_id, created_at, metadata, details)
			SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM sweeping s WHERE s.crate = ? AND s.num = ? AND s.sha256 = ?) RETURNING id`,
			crateID, p.Version.String(), p.Version.Release(), p.SHA256, p.Size, string(p.Line), p.By.User, p.By.UserID, published.Unix(), string(p.Metadata),
			string(details), p.Name, p.Version.String(), p.SHA256).Scan(&versionID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, fault.New(fault.Unavailable, "the same file, of a crate that was deleted, is being removed right now; try again")
		}
		if err != nil {
			return nil, err
		}
		if deps := canonicals(p.Dependencies); len(deps) > 0 {
			if _, err := tx.ExecContext(ctx, "INSERT INTO dependencies (crate, version_id) SELECT value ->> 0, ? FROM json_each(?)", versionID, jsonRows(deps)); err != nil {
				return nil, err
			}
		}
		changes := []change{{crate: p.Name, kind: index.KindPublish, versionID: versionID, hidden: restricted}}
		action := ActionPublish
		if p.Imported != nil {
			action = ActionImport
			if p.Imported.Yanked {
				if err := c.yankImported(ctx, tx, p, crateID, versionID); err != nil {
					return nil, err
				}
				changes = append(changes, change{crate: p.Name, kind: index.KindYank, versionID: versionID, hidden: restricted})
			}
		}
		err = c.audit(ctx, tx, p.By, Record{Action: action, Crate: p.Name, Version: p.Version.String()}, nil,
			map[string]any{"sha256": p.SHA256, "size": p.Size, "new": old == nil})
		if err == nil && p.Durable != nil {
			if err = p.Durable(); err != nil {
				err = fmt.Errorf("store crate: %w", err)
			}
		}
		return changes, err
	})
	if c.d.shared && fault.KindOf(err) == fault.Conflict {
		c.tell(Change{Crate: p.Name, Kind: index.KindPublish}) // another server has just published it: who is told so here shall see it here
	}
	return err
}

// yankImported yanks a version that was yanked where it comes from.
func (c *Catalog) yankImported(ctx context.Context, tx *tx, p Publication, crateID, versionID int64) error {
	if _, err := tx.ExecContext(ctx, "UPDATE versions SET yanked = ?, line = ? WHERE id = ?", true, string(index.SetYanked(p.Line, true)), versionID); err != nil {
		return err
	}
	return c.updateMaxVersion(ctx, tx, crateID)
}

func canonicals(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, crate.Canonical(n))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// stillValid refuses a change whose token was revoked, or whose user was suspended, while the request was on its way.
func (c *Catalog) stillValid(ctx context.Context, q querier, by Actor) error {
	var role string
	var suspended bool
	var expires sql.NullInt64
	err := q.QueryRowContext(ctx, "SELECT u.role, u.suspended, t.expires_at FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.id = ?"+forShare, by.TokenID).
		Scan(&role, &suspended, &expires)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && expires.Valid && expires.Int64 <= c.now().Unix():
		return fault.New(fault.Unauthenticated, "the token was revoked or expired while the request was on its way")
	case err != nil:
		return err
	case suspended || role != by.Role:
		return fault.New(fault.Forbidden, "the rights of user `%s` changed while the request was on its way; try again", by.User)
	}
	return nil
}

// CheckPublish asks what Publish would, dependencies aside, so that a publish that cannot succeed leaves no blob behind.
func (c *Catalog) CheckPublish(ctx context.Context, p Publication, allow func(Standing) error) error {
	_, err := c.checkPublish(ctx, c.ro, p, allow)
	return err
}

// published is a crate that a publish adds a version to.
type published struct {
	id                                int64
	name, maxVersion                  string
	description, keywords, categories string
	restricted                        bool
}

// checkPublish gives the crate, or nil when it is new.
func (c *Catalog) checkPublish(ctx context.Context, q querier, p Publication, allow func(Standing) error) (*published, error) {
	var old published
	var standing Standing
	var num sql.NullString // of the version that stands in the way
	var deleted sql.NullInt64
	err := q.QueryRowContext(ctx, `SELECT c.id, c.name, c.max_version, c.description, c.keywords, c.categories, c.restricted,
		EXISTS (SELECT 1 FROM crate_users u WHERE u.crate_id = c.id AND u.user_id = ? AND u.owner = 1), v.num, v.deleted_at
		FROM crates c LEFT JOIN versions v ON v.crate_id = c.id AND v.release = ? WHERE c.canonical = ?`,
		p.By.UserID, p.Version.Release(), crate.Canonical(p.Name)).
		Scan(&old.id, &old.name, &old.maxVersion, &old.description, &old.keywords, &old.categories, &old.restricted, &standing.Owner, &num, &deleted)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		if err := c.checkBlocked(ctx, q, p.Name); err != nil {
			return nil, err
		}
		if err := allow(standing); err != nil {
			return nil, err
		}
		return nil, nil
	case err != nil:
		return nil, err
	case old.name != p.Name && (!old.restricted || standing.Owner || p.By.Role == "admin"):
		return nil, fault.New(fault.Conflict, "crate was previously named `%s`; `%s` is too close to it: publish it under the existing name or choose another", old.name, p.Name)
	}
	standing.Name, standing.Exists, standing.Visible = old.name, true, !old.restricted || standing.Owner
	if err := allow(standing); err != nil {
		return nil, err
	}
	switch {
	case deleted.Valid:
		return nil, fault.New(fault.Conflict, "crate version `%s@%s` was deleted, and a version number is never used twice: raise the version", p.Name, num.String)
	case num.Valid:
		return nil, fault.New(fault.Conflict, "crate version `%s@%s` is already uploaded; a published version never changes: raise the version", p.Name, num.String)
	}
	return &old, nil
}

// MissingDependencies asks for the crates of this registry that a version depends on, in the spelling that it uses: cargo would
// not find another. It gives a line for each that is not there. A crate that the publisher may not see does not exist for it; a
// crate may depend on itself in tests.
func (c *Catalog) MissingDependencies(ctx context.Context, p Publication) ([]string, error) {
	return missingDependencies(ctx, c.ro, p)
}

func missingDependencies(ctx context.Context, q querier, p Publication) (problems []string, err error) {
	if !slices.ContainsFunc(p.Dependencies, func(dep string) bool { return dep != p.Name }) {
		return nil, nil
	}
	names, err := collect(ctx, q, scanString, "SELECT c.name FROM crates c WHERE c.canonical IN (SELECT value ->> 0 FROM json_each(?)) AND "+visible,
		jsonRows(canonicals(p.Dependencies)), p.By.UserID, p.By.Role)
	if err != nil {
		return nil, err
	}
	known := map[string]string{} // canonical → as first published
	for _, name := range names {
		known[crate.Canonical(name)] = name
	}
	for i, dep := range p.Dependencies {
		if dep == p.Name || slices.Contains(p.Dependencies[:i], dep) {
			continue
		}
		switch name := known[crate.Canonical(dep)]; name {
		case dep:
		case "":
			problems = append(problems, fmt.Sprintf("deps: no known crate named `%s` in this registry; publish it first, or name the registry that has it", dep))
		default:
			problems = append(problems, fmt.Sprintf("deps: crate `%s` is spelled `%s` here; spell it so in Cargo.toml", dep, name))
		}
	}
	return problems, nil
}

// saveCrate makes the crate, or brings what is shown of it up to its newest version.
func (c *Catalog) saveCrate(ctx context.Context, tx *tx, old *published, p Publication, now time.Time) (id int64, restricted bool, err error) {
	keywords, categories := lowerWords(p.Details.Keywords), lowerWords(p.Details.Categories)
	if old == nil {
		err := tx.QueryRowContext(ctx, `INSERT INTO crates (name, canonical, description, keywords, categories, max_version, restricted, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`, p.Name, crate.Canonical(p.Name), p.Details.Description, keywords, categories, p.Version.String(),
			p.Restricted, now.Unix(), now.Unix()).Scan(&id)
		if err != nil {
			return 0, false, err
		}
		if p.By.UserID != 0 { // an import may have no owner to give
			if _, err = tx.ExecContext(ctx, "INSERT INTO owners (crate_id, user_id) VALUES (?, ?)", id, p.By.UserID); err != nil {
				return 0, false, err
			}
		}
		return id, p.Restricted, saveSearchTerms(ctx, tx, id, true, p.Name, p.Details.Description, keywords, categories)
	}
	if _, err = tx.ExecContext(ctx, "UPDATE crates SET description = ?, keywords = ?, categories = ?, max_version = ?, updated_at = ? WHERE id = ?",
		p.Details.Description, keywords, categories, higher(old.maxVersion, p.Version), now.Unix(), old.id); err != nil {
		return 0, false, err
	}
	if old.description != p.Details.Description || old.keywords != keywords || old.categories != categories {
		err = saveSearchTerms(ctx, tx, old.id, false, p.Name, p.Details.Description, keywords, categories)
	}
	return old.id, old.restricted, err
}

// lowerWords joins a list for its column: lower case, sorted, each once.
func lowerWords(list []string) string {
	words := make([]string, 0, len(list))
	for _, w := range list {
		words = append(words, strings.ToLower(w))
	}
	slices.Sort(words)
	return strings.Join(slices.Compact(words), " ")
}
