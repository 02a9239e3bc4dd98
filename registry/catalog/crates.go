package catalog

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
)

// Crate is one crate.
type Crate struct {
	ID          int64
	Name        string // as first published
	Description string // of the newest publish that is not deleted, like keywords and categories
	Keywords    []string
	Categories  []string
	MaxVersion  string // highest that is not yanked; 0.0.0 when all are
	Restricted  bool   // seen by owners, readers and admins only
	Downloads   int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

const crateColumns = "c.id, c.name, c.description, c.keywords, c.categories, c.max_version, c.restricted, c.downloads, c.created_at, c.updated_at"

func scanCrate(row interface{ Scan(...any) error }) (Crate, error) {
	var c Crate
	var keywords, categories string
	var created, updated int64
	err := row.Scan(&c.ID, &c.Name, &c.Description, &keywords, &categories, &c.MaxVersion, &c.Restricted, &c.Downloads, &created, &updated)
	c.Keywords, c.Categories = strings.Fields(keywords), strings.Fields(categories)
	c.CreatedAt, c.UpdatedAt = time.Unix(created, 0).UTC(), time.Unix(updated, 0).UTC()
	return c, err
}

// Crate finds a crate by its exact name.
func (c *Catalog) Crate(ctx context.Context, name string) (Crate, error) {
	return crateByName(ctx, c.ro, name)
}

// FindCrate finds a crate by its name in any spelling: case, '-' and '_' do not count, as in crates.io's API.
func (c *Catalog) FindCrate(ctx context.Context, name string) (Crate, error) {
	return findCrate(ctx, c.ro, name)
}

func findCrate(ctx context.Context, q querier, name string) (Crate, error) {
	found, err := scanCrate(q.QueryRowContext(ctx, "SELECT "+crateColumns+" FROM crates c WHERE c.canonical = ? AND c.deleted_at IS NULL", crate.Canonical(name)))
	if errors.Is(err, sql.ErrNoRows) {
		return Crate{}, errNoCrate(name)
	}
	return found, err
}

func crateByName(ctx context.Context, q querier, name string) (Crate, error) {
	found, err := findCrate(ctx, q, name)
	if err == nil && found.Name != name {
		return Crate{}, errNoCrate(name)
	}
	return found, err
}

func errNoCrate(name string) error {
	return fault.New(fault.NotFound, "crate `%s` does not exist", name)
}

// Lines is the file of a crate in the index.
type Lines struct {
	Text       []byte // the lines in publish order
	CrateID    int64
	Restricted bool // the crate is: ask MaySee before showing it
}

// IndexFile gives the lines of a crate by the lower-case name that stands in the path of its index file. An unknown crate, and
// one without a version left, is fault.NotFound.
func (c *Catalog) IndexFile(ctx context.Context, lower string) (f Lines, err error) {
	rows, err := c.ro.QueryContext(ctx, `SELECT c.id, c.restricted, c.name, v.line FROM crates c JOIN versions v ON v.crate_id = c.id
		WHERE c.canonical = ? AND c.deleted_at IS NULL AND v.deleted_at IS NULL ORDER BY v.id`, crate.Canonical(lower))
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name, line sql.RawBytes
		if err := rows.Scan(&f.CrateID, &f.Restricted, &name, &line); err != nil {
			return f, err
		}
		if strings.ToLower(string(name)) != lower {
			break // foo_bar is not foo-bar: cargo asks for both spellings and must find one
		}
		f.Text = append(f.Text, line...)
	}
	if err := rows.Err(); err != nil {
		return f, err
	}
	if f.Text == nil {
		return f, errNoCrate(lower)
	}
	return f, nil
}

// MaySee reports whether a user, by id and role, may know of a restricted crate.
func (c *Catalog) MaySee(ctx context.Context, crateID, userID int64, role string) (bool, error) {
	var one int
	err := c.ro.QueryRowContext(ctx, "SELECT 1 FROM crates c WHERE c.id = ? AND "+visible, crateID, userID, role).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// standing finds a crate by its name in any spelling, which stays as it is until the transaction ends, and asks allow about the user.
func (c *Catalog) standing(ctx context.Context, tx *tx, name string, userID int64, allow func(Standing) error) (Crate, Standing, error) {
	if err := tx.lockCrate(ctx, name); err != nil {
		return Crate{}, Standing{}, err
	}
	return standing(ctx, tx, name, userID, allow)
}

func standing(ctx context.Context, q querier, name string, userID int64, allow func(Standing) error) (Crate, Standing, error) {
	found, err := findCrate(ctx, q, name)
	if err != nil {
		return Crate{}, Standing{}, err
	}
	s := Standing{Name: found.Name, Exists: true}
	var known bool
	err = q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM crate_users WHERE crate_id = ? AND user_id = ?),
		EXISTS (SELECT 1 FROM crate_users WHERE crate_id = ? AND user_id = ? AND owner = 1), EXISTS (SELECT 1 FROM owners WHERE crate_id = ? AND user_id = ?)`,
		found.ID, userID, found.ID, userID, found.ID, userID).Scan(&known, &s.Owner, &s.InPerson)
	if err != nil {
		return Crate{}, Standing{}, err
	}
	s.Visible = !found.Restricted || known
	if s.Visible && !s.Owner {
		owners, err := listOwners(ctx, q, "owners", "group_owners", found.ID)
		if err != nil {
			return Crate{}, Standing{}, err
		}
		s.Owners = logins(owners)
	}
	return found, s, allow(s)
}

// Dependents lists the highest versions of the crates of this registry that depend on a crate, the most downloaded first, as far as a
// user, by id and role, may see them. It gives one page and the total.
func (c *Catalog) Dependents(ctx context.Context, name string, userID int64, role string, limit, offset int) (page []Version, total int, err error) {
	const from = ` FROM dependencies d JOIN versions v ON v.id = d.version_id JOIN crates c ON c.id = v.crate_id
		WHERE d.crate = ? AND v.num = c.max_version AND v.deleted_at IS NULL AND c.deleted_at IS NULL AND ` + visible
	canonical := crate.Canonical(name)
	if err := c.ro.QueryRowContext(ctx, "SELECT count(*)"+from, canonical, userID, role).Scan(&total); err != nil {
		return nil, 0, err
	}
	page, err = collect(ctx, c.ro, func(r *sql.Rows) (Version, error) { return scanVersion(r) },
		"SELECT "+versionColumns+from+" ORDER BY c.downloads DESC, c.canonical LIMIT ? OFFSET ?", canonical, userID, role, limit, offset)
	return page, total, err
}

// Counts are the sizes that the status shows.
type Counts struct{ Crates, Versions, Users int64 }

// Counts counts what the catalog holds.
func (c *Catalog) Counts(ctx context.Context) (n Counts, err error) {
	err = c.ro.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM crates WHERE deleted_at IS NULL),
		(SELECT count(*) FROM versions v JOIN crates c ON c.id = v.crate_id WHERE v.deleted_at IS NULL AND c.deleted_at IS NULL),
		(SELECT count(*) FROM users)`).Scan(&n.Crates, &n.Versions, &n.Users)
	return n, err
}

// VisibleDownloads counts the downloads of the crates that a user, by id and role, may see. Those of deleted crates are in it, so that it never
// falls when one goes; who may see a deleted crate is as it was.
func (c *Catalog) VisibleDownloads(ctx context.Context, userID int64, role string) (n int64, err error) {
	err = c.ro.QueryRowContext(ctx, "SELECT CAST(coalesce(sum(c.downloads), 0) AS BIGINT) FROM crates c WHERE "+visible, userID, role).Scan(&n)
	return n, err
}
