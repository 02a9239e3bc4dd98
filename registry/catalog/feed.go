package catalog

import (
	"context"
	"database/sql"
	"time"

	"github.com/crateyard/crateyard/registry/index"
)

// Change is one committed change to what a crate's readers see.
type Change struct {
	Crate string // the crate's name as published
	Kind  index.Kind
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
	_, err := tx.ExecContext(ctx, "INSERT INTO changes (crate, kind, version_id, lines, hidden, at) VALUES (?, ?, ?, ?, ?, ?)",
		ch.crate, ch.kind, sql.NullInt64{Int64: ch.versionID, Valid: ch.versionID != 0},
		sql.NullString{String: string(ch.lines), Valid: ch.lines != nil}, ch.hidden, c.now().Unix())
	return err
}

// IndexChanges gives at most limit changes with a number above after, in ascending order. Those of restricted crates are not
// among them: whoever follows the feed this way, as the git index does, cannot ask who reads.
func (c *Catalog) IndexChanges(ctx context.Context, after int64, limit int) ([]index.Change, error) {
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
		FROM changes ch LEFT JOIN versions v ON v.id = ch.version_id WHERE ch.seq > ? AND ch.hidden = 0 ORDER BY ch.seq LIMIT ?`, after, limit)
}
