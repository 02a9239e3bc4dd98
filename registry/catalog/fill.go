package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
)

// fillSearchTerms makes the crates of a catalog that knew no search words findable by them, as a publish makes a new one. A later publish
// that changes nothing of what a crate says would not do it.
func fillSearchTerms(ctx context.Context, db *sql.DB) error {
	sqlTx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = sqlTx.Rollback() }() // after a commit it does nothing
	t := &tx{Tx: sqlTx, stmts: &statements{db: db, d: &sqliteDialect}}
	type shown struct {
		id                int64
		name, description string
		newest            Details
	}
	crates, err := collect(ctx, t, func(r *sql.Rows) (s shown, err error) {
		var details string
		if err = r.Scan(&s.id, &s.name, &s.description, &details); err == nil {
			err = json.Unmarshal([]byte(details), &s.newest)
		}
		return s, err
	}, `SELECT c.id, c.name, c.description, coalesce((SELECT v.details FROM versions v WHERE v.crate_id = c.id ORDER BY v.id DESC LIMIT 1), '{}')
		FROM crates c WHERE c.deleted_at IS NULL`)
	if err != nil {
		return err
	}
	for _, s := range crates {
		keywords, categories := lowerWords(s.newest.Keywords), lowerWords(s.newest.Categories)
		if _, err := t.ExecContext(ctx, "UPDATE crates SET keywords = ?, categories = ? WHERE id = ?", keywords, categories, s.id); err != nil {
			return err
		}
		if err := saveSearchTerms(ctx, t, s.id, false, s.name, s.description, keywords, categories); err != nil {
			return err
		}
	}
	return t.Commit()
}
