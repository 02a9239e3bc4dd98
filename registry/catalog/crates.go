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
	Description string // of the newest publish
	MaxVersion  string // highest that is not yanked; 0.0.0 when all are
	Downloads   int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

const crateColumns = "id, name, description, max_version, downloads, created_at, updated_at"

func scanCrate(row interface{ Scan(...any) error }) (Crate, error) {
	var c Crate
	var created, updated int64
	err := row.Scan(&c.ID, &c.Name, &c.Description, &c.MaxVersion, &c.Downloads, &created, &updated)
	c.CreatedAt, c.UpdatedAt = time.Unix(created, 0).UTC(), time.Unix(updated, 0).UTC()
	return c, err
}

// Crate finds a crate by its exact name.
func (c *Catalog) Crate(ctx context.Context, name string) (Crate, error) {
	return crateByName(ctx, c.ro, name)
}

func crateByName(ctx context.Context, q querier, name string) (Crate, error) {
	found, err := scanCrate(q.QueryRowContext(ctx, "SELECT "+crateColumns+" FROM crates WHERE canonical = ?", crate.Canonical(name)))
	if errors.Is(err, sql.ErrNoRows) || err == nil && found.Name != name {
		return Crate{}, fault.New(fault.NotFound, "crate `%s` does not exist", name)
	}
	return found, err
}

// IndexFile gives the lines of a crate in publish order, by the lower-case name that stands in the path of its index file.
// An unknown crate is fault.NotFound.
func (c *Catalog) IndexFile(ctx context.Context, lower string) (lines []byte, err error) {
	rows, err := c.ro.QueryContext(ctx, `SELECT c.name, v.line FROM crates c JOIN versions v ON v.crate_id = c.id
		WHERE c.canonical = ? ORDER BY v.id`, crate.Canonical(lower))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name, line sql.RawBytes
		if err := rows.Scan(&name, &line); err != nil {
			return nil, err
		}
		if strings.ToLower(string(name)) != lower {
			break // foo_bar is not foo-bar: cargo asks for both spellings and must find one
		}
		lines = append(lines, line...)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if lines == nil {
		return nil, fault.New(fault.NotFound, "crate `%s` does not exist", lower)
	}
	return lines, nil
}

// Search finds crates whose name, with '-' and '_' alike, or description contains the text: an exact name first, then by
// downloads. An empty text finds all. It gives one page and the total.
func (c *Catalog) Search(ctx context.Context, text string, limit, offset int) (page []Crate, total int, err error) {
	name, plain := like(crate.Canonical(text)), like(text)
	const where = ` FROM crates WHERE canonical LIKE ? ESCAPE '\' OR description LIKE ? ESCAPE '\'`
	if err := c.ro.QueryRowContext(ctx, "SELECT count(*)"+where, name, plain).Scan(&total); err != nil {
		return nil, 0, err
	}
	page, err = collect(ctx, c.ro, func(r *sql.Rows) (Crate, error) { return scanCrate(r) },
		"SELECT "+crateColumns+where+" ORDER BY canonical = ? DESC, downloads DESC, canonical LIMIT ? OFFSET ?",
		name, plain, crate.Canonical(text), limit, offset)
	return page, total, err
}

// like makes a LIKE pattern that finds text anywhere and takes each of its characters for itself.
func like(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}

// Counts are the sizes that status and metrics show.
type Counts struct{ Crates, Versions, Users int64 }

// Counts counts what the catalog holds.
func (c *Catalog) Counts(ctx context.Context) (n Counts, err error) {
	err = c.ro.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM crates), (SELECT count(*) FROM versions), (SELECT count(*) FROM users)").
		Scan(&n.Crates, &n.Versions, &n.Users)
	return n, err
}
