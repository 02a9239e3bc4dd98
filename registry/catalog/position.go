package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/crateyard/crateyard/registry/index"
)

// Position is the newest change that a catalog had at some time. A catalog that does not have it any more was set back to an earlier time, also where it
// has gone on since, and another change has its number. The zero Position is that of a catalog without changes.
type Position struct {
	Change int64      `json:"change"` // its number in the table changes, which ascends as changes are made; a load gives others
	Crate  string     `json:"crate,omitempty"`
	Kind   index.Kind `json:"kind,omitempty"`
	Num    string     `json:"version,omitempty"` // empty: of the whole crate
	At     int64      `json:"at,omitempty"`      // Unix time, seconds
}

// String is for people. It names no crate: readiness and conditions are read by some who may not know of a restricted one.
func (p Position) String() string {
	return fmt.Sprintf("change %d (%s, at %s)", p.Change, p.Kind, time.Unix(p.At, 0).UTC().Format(time.RFC3339))
}

const selectPosition = "SELECT ch.id_, ch.crate, ch.kind, coalesce(v.num, ''), ch.at FROM changes ch LEFT JOIN versions v ON v.id = ch.version_id"

// Position gives the newest change.
func (c *Catalog) Position(ctx context.Context) (Position, error) {
	return c.position(ctx, selectPosition+" ORDER BY ch.id_ DESC LIMIT 1")
}

// Has reports whether the catalog has a position that it had once.
func (c *Catalog) Has(ctx context.Context, p Position) (bool, error) {
	have, err := c.position(ctx, selectPosition+" WHERE ch.id_ = ?", p.Change)
	return have == p, err
}

func (c *Catalog) position(ctx context.Context, query string, args ...any) (p Position, err error) {
	err = c.ro.QueryRowContext(ctx, c.changeID(query), args...).Scan(&p.Change, &p.Crate, &p.Kind, &p.Num, &p.At)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return p, err
}
