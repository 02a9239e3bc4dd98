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
	// Store has the blob begin to be stored. The transaction asks it once nothing speaks against the version, and again each time that it is
	// tried again. Nil: it has begun.
	Store func() error
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
	// Owners are the logins of those who own it, asked for where a crate is changed by a user who may know of it and is none of them.
	Owners []string
}

// Publish makes a version, its index line and the change visible in one transaction. allow is asked inside it, so that a
// right that was just lost is lost here too; a new crate gets the publisher as its owner. A version that exists
// already, build metadata aside, is a Conflict, and so is a name that differs from an existing one in case or '-'/'_' only.
func (c *Catalog) Publish(ctx context.Context, p Publication, allow func(Standing) error) error {
	details, err := json.Marshal(p.Details)
	if err != nil {
		return err
	}
	inTrips := func(tx *tx) ([]change, error) {
		if err := tx.lockPublish(ctx, p.Name); err != nil {
			return nil, err
		}
		old, err := c.checkPublish(ctx, tx, p, allow)
		if err != nil {
			return nil, err
		}
		if p.Imported == nil {
			missing, err := missingDependencies(ctx, tx, p)
			if err := cmp.Or(err, refuseMissing(missing)); err != nil {
				return nil, err
			}
		}
		if p.Store != nil {
			if err := p.Store(); err != nil {
				return nil, err
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
		err = tx.QueryRowContext(ctx, "INSERT INTO versions (crate_id, "+publishedColumns+") SELECT ?, "+publishedMarks+" WHERE "+notSwept+" RETURNING id",
			slices.Concat([]any{crateID}, p.values(published, string(details)), p.blob())...).Scan(&versionID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, errSwept()
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
		err = c.audit(ctx, tx, p.By, Record{Action: action, Crate: p.Name, Version: p.Version.String()}, nil, p.recorded(old == nil))
		if err == nil && p.Durable != nil {
			if err = p.Durable(); err != nil {
				err = fmt.Errorf("store crate: %w", err)
			}
		}
		return changes, err
	}
	err = c.again(ctx, func() ([]change, error) {
		if c.d.shared {
			if changes, err := c.publishBatched(ctx, p, string(details), allow); !errors.Is(err, errUncommon) {
				return changes, err
			}
		}
		return c.writeOnce(ctx, c.as(ctx, p.By, inTrips))
	})
	if c.d.shared && fault.KindOf(err) == fault.Conflict {
		c.tell(Change{Crate: p.Name, Kind: index.KindPublish}) // another server has just published it: who is told so here shall see it here
	}
	return err
}

// publishedColumns are what values gives of a row of versions; its crate_id stands before them.
const (
	publishedColumns = "num, release, sha256, size, line, published_by, publisher_id, created_at, metadata, details"
	publishedMarks   = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
)

func (p *Publication) values(published time.Time, details string) []any {
	return []any{p.Version.String(), p.Version.Release(), p.SHA256, p.Size, string(p.Line), p.By.User, p.By.UserID, published.Unix(), string(p.Metadata), details}
}

// notSwept is the condition under which a blob may be named; blob gives its arguments.
const notSwept = "NOT EXISTS (SELECT 1 FROM sweeping s WHERE s.crate = ? AND s.num = ? AND s.sha256 = ?)"

func (p *Publication) blob() []any { return []any{p.Name, p.Version.String(), p.SHA256} }

func errSwept() error {
	return fault.New(fault.Unavailable, "the same file, of a crate that was deleted, is being removed right now; try again")
}

// recorded is what the audit keeps of a publish.
func (p *Publication) recorded(isNew bool) map[string]any {
	return map[string]any{"sha256": p.SHA256, "size": p.Size, "new": isNew}
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
	return c.validIn(q.QueryRowContext(ctx, tokenQuery, by.TokenID), by)
}

// tokenQuery asks for a token by its id; validIn judges the answer.
const tokenQuery = "SELECT u.role, u.suspended, t.expires_at FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.id = ?" + forShare

func (c *Catalog) validIn(answer scanner, by Actor) error {
	var role string
	var suspended bool
	var expires sql.NullInt64
	err := answer.Scan(&role, &suspended, &expires)
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
	_, err := c.checkPublish(c.d.whole(ctx), c.ro, p, allow)
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
	var a crateAnswer
	if err := a.scan(q.QueryRowContext(ctx, crateQuery, p.asked()...)); err != nil {
		return nil, err
	}
	return p.judge(a, allow, func() error { return c.checkBlocked(ctx, q, p.Name) })
}

// crateQuery asks for a crateAnswer; its arguments are those of asked. It joins no versions: on a database that has no statistics yet
// PostgreSQL would look for the release among the versions of all crates. It asks twice whether there is a row, and not once for the greatest: for an
// aggregate SQLite would first list all crates of the user.
const crateQuery = `SELECT c.id, c.name, c.max_version, c.description, c.keywords, c.categories, c.restricted,
	EXISTS (SELECT 1 FROM crate_users u WHERE u.crate_id = c.id AND u.user_id = ? AND u.owner = 1),
	NOT c.restricted OR EXISTS (SELECT 1 FROM crate_users u WHERE u.crate_id = c.id AND u.user_id = ?),
	(SELECT v.num FROM versions v WHERE v.crate_id = c.id AND v.release = ?),
	(SELECT v.deleted_at FROM versions v WHERE v.crate_id = c.id AND v.release = ?) FROM crates c WHERE c.canonical = ?`

func (p *Publication) asked() []any {
	return []any{p.By.UserID, p.By.UserID, p.Version.Release(), p.Version.Release(), crate.Canonical(p.Name)}
}

// crateAnswer is a crate as the publisher of a version finds it.
type crateAnswer struct {
	published
	exists  bool
	owner   bool           // the publisher is one
	visible bool           // the publisher may know of it
	num     sql.NullString // of the version that stands in the way
	deleted sql.NullInt64  // when it was
}

func (a *crateAnswer) scan(row scanner) error {
	err := row.Scan(&a.id, &a.name, &a.maxVersion, &a.description, &a.keywords, &a.categories, &a.restricted, &a.owner, &a.visible, &a.num, &a.deleted)
	a.exists = err == nil
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// judge is what checkPublish makes of the answer. blocked asks whether the name of a new crate may be used.
func (p *Publication) judge(a crateAnswer, allow func(Standing) error, blocked func() error) (*published, error) {
	old, standing := a.published, Standing{Owner: a.owner, Visible: !a.exists || a.visible}
	switch {
	case !a.exists:
		if err := blocked(); err != nil {
			return nil, err
		}
		if err := allow(standing); err != nil {
			return nil, err
		}
		return nil, nil
	case old.name != p.Name && (standing.Visible || p.By.Role == "admin"):
		return nil, fault.New(fault.Conflict, "crate was previously named `%s`; `%s` is too close to it: publish it under the existing name or choose another", old.name, p.Name)
	}
	standing.Name, standing.Exists = old.name, true
	if err := allow(standing); err != nil {
		return nil, err
	}
	switch {
	case a.deleted.Valid:
		return nil, fault.New(fault.Conflict, "crate version `%s@%s` was deleted, and a version number is never used twice: raise the version", p.Name, a.num.String)
	case a.num.Valid:
		return nil, fault.New(fault.Conflict, "crate version `%s@%s` is already uploaded; a published version never changes: raise the version", p.Name, a.num.String)
	}
	return &old, nil
}

// MissingDependencies asks for the crates of this registry that a version depends on, in the spelling that it uses: cargo would
// not find another. It gives a line for each that is not there. A crate that the publisher may not see does not exist for it; a
// crate may depend on itself in tests.
func (c *Catalog) MissingDependencies(ctx context.Context, p Publication) ([]string, error) {
	return missingDependencies(ctx, c.ro, p)
}

func missingDependencies(ctx context.Context, q querier, p Publication) ([]string, error) {
	if !p.hasDependencies() {
		return nil, nil
	}
	names, err := collect(ctx, q, scanString, dependenciesQuery, p.dependenciesAsked()...)
	if err != nil {
		return nil, err
	}
	return missingAmong(names, p), nil
}

// dependenciesQuery asks for the names of the crates that a version depends on and its publisher may see; its arguments are those of
// dependenciesAsked.
const dependenciesQuery = "SELECT c.name FROM crates c WHERE c.canonical IN (SELECT value ->> 0 FROM json_each(?)) AND " + visible

func (p *Publication) dependenciesAsked() []any {
	return []any{jsonRows(canonicals(p.Dependencies)), p.By.UserID, p.By.Role}
}

func (p *Publication) hasDependencies() bool {
	return slices.ContainsFunc(p.Dependencies, func(dep string) bool { return dep != p.Name })
}

// refuseMissing makes an error of what missingDependencies found.
func refuseMissing(missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	return fault.New(fault.Invalid, "%s", strings.Join(missing, "\n"))
}

func missingAmong(names []string, p Publication) (problems []string) {
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
	return problems
}

// saveCrate makes the crate, or brings what is shown of it up to its newest version.
func (c *Catalog) saveCrate(ctx context.Context, tx *tx, old *published, p Publication, now time.Time) (id int64, restricted bool, err error) {
	keywords, categories := lowerWords(p.Details.Keywords), lowerWords(p.Details.Categories)
	if old == nil {
		err := tx.QueryRowContext(ctx, "INSERT INTO crates ("+newCrateColumns+") SELECT "+newCrateMarks+" RETURNING id", p.newCrate(now)...).Scan(&id)
		if err != nil {
			return 0, false, err
		}
		tx.crate = id
		if p.By.UserID != 0 { // an import may have no owner to give
			if _, err = tx.ExecContext(ctx, "INSERT INTO owners (crate_id, user_id) VALUES (?, ?)", id, p.By.UserID); err != nil {
				return 0, false, err
			}
		}
		return id, p.Restricted, saveSearchTerms(ctx, tx, id, true, p.Name, p.Details.Description, keywords, categories)
	}
	if err := tx.holds(old.id); err != nil {
		return 0, false, err
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

// newCrateColumns are what newCrate gives of a row of crates.
const (
	newCrateColumns = "name, canonical, description, keywords, categories, max_version, restricted, created_at, updated_at"
	newCrateMarks   = "?, ?, ?, ?, ?, ?, ?, ?, ?"
)

func (p *Publication) newCrate(now time.Time) []any {
	return []any{p.Name, crate.Canonical(p.Name), p.Details.Description, lowerWords(p.Details.Keywords), lowerWords(p.Details.Categories), p.Version.String(),
		p.Restricted, now.Unix(), now.Unix()}
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
