package catalog

import (
	"context"
	"database/sql"
	"time"

	"github.com/crateyard/crateyard/registry/index"
)

// Change is one committed change to what a crate's readers see.
type Change struct {
	Crate string     // the crate's name as published
	Kind  index.Kind // empty: any crate may have changed, in any way; Crate is empty, too
}

// change is a row of the feed before it has its number.
type change struct {
	crate     string
	kind      index.Kind
	versionID int64  // 0: of the whole crate
	lines     []byte // of index.KindRestore
	hidden    bool   // from the git index
}

func (c *Catalog) insertChange(ctx context.Context, tx *tx, ch change) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO changes ("+changeColumns+") SELECT "+changeMarks+", ?",
		append(c.changeValues(ch), sql.NullInt64{Int64: ch.versionID, Valid: ch.versionID != 0})...)
	return err
}

// changeColumns are what changeValues gives of a row of changes, and then the version's id.
const (
	changeColumns = "crate, kind, lines, hidden, at, version_id"
	changeMarks   = "?, ?, ?, ?, ?"
)

func (c *Catalog) changeValues(ch change) []any {
	return []any{ch.crate, string(ch.kind), sql.NullString{String: string(ch.lines), Valid: ch.lines != nil}, ch.hidden, c.now().Unix()}
}

// IndexChanges gives at most limit changes with a number above after, in ascending order. Those of restricted crates are not
// among them: whoever follows the feed this way, as the git index does, cannot ask who reads. What was acknowledged before the call,
// by any server, is in the feed.
func (c *Catalog) IndexChanges(ctx context.Context, after int64, limit int) ([]index.Change, error) {
	if c.feed != nil {
		if err := c.feed.numberAll(ctx); err != nil {
			return nil, err
		}
	}
	return collect(ctx, c.ro, func(r *sql.Rows) (index.Change, error) {
		var ch index.Change
		var at int64
		var num, line, lines sql.NullString
		err := r.Scan(&ch.Seq, &at, &ch.Crate, &ch.Kind, &num, &line, &lines)
		ch.At, ch.Num = time.Unix(at, 0).UTC(), num.String
		switch ch.Kind {
		case index.KindPublish:
			ch.Lines = index.SetYanked([]byte(line.String), false)
		case index.KindRestore:
			ch.Lines = []byte(lines.String)
		}
		return ch, err
	}, `SELECT ch.seq, ch.at, ch.crate, ch.kind, v.num, CASE WHEN ch.kind = 'publish' THEN v.line END, ch.lines
		FROM changes ch LEFT JOIN versions v ON v.id = ch.version_id WHERE ch.seq > ? AND NOT ch.hidden ORDER BY ch.seq LIMIT ?`, after, limit)
}

// FeedLag is how long ago this server last knew of all changes that others had made. It is some 500 ms at most while PostgreSQL answers
// and gives changes their numbers, and 0 on SQLite, where nobody else makes any.
func (c *Catalog) FeedLag() time.Duration {
	if c.feed == nil {
		return 0
	}
	return c.feed.lag()
}
