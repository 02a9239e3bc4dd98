package catalog

import (
	"context"
	"database/sql"
	"strings"
)

// notePrefix sets notes apart from what else meta holds.
const notePrefix = "note/"

// SetNote keeps a text under a name, for all servers of the registry: what one of them found out or did for all.
func (c *Catalog) SetNote(ctx context.Context, name, text string) error {
	return c.write(ctx, func(tx *tx) ([]change, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", notePrefix+name, text)
		return nil, err
	})
}

// Notes gives all notes by their names.
func (c *Catalog) Notes(ctx context.Context) (map[string]string, error) {
	rows, err := c.ro.QueryContext(ctx, "SELECT key, value FROM meta WHERE key >= ? AND key < ?", notePrefix, notePrefix+"\U0010FFFF")
	if err != nil {
		return nil, err
	}
	notes := map[string]string{}
	_, err = scanAll(rows, func(r *sql.Rows) (struct{}, error) {
		var key, value string
		err := r.Scan(&key, &value)
		notes[strings.TrimPrefix(key, notePrefix)] = value
		return struct{}{}, err
	})
	return notes, err
}
