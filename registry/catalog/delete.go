package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
)

// NameBlock is how long the name of a deleted crate stays free, so that nobody can slip another crate under those who
// still depend on it; crates.io has the same time.
const NameBlock = 24 * time.Hour

// DeleteVersion takes a version of a crate, by its name in any spelling, out of the index, downloads and lists; the crate is shown, and found, as the newest version says that is
// left. Its number stays taken for ever, and its bytes stay until a sweep.
func (c *Catalog) DeleteVersion(ctx context.Context, by Actor, name, num string) error {
	return c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		if err := tx.lockCrate(ctx, name); err != nil {
			return nil, err
		}
		found, err := findCrate(ctx, tx, name)
		if err != nil {
			return nil, err
		}
		v, err := versionByNum(ctx, tx, found.Name, num)
		if err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE versions SET deleted_at = ? WHERE id = ?", c.now().Unix(), v.ID); err != nil {
			return nil, err
		}
		if err := c.updateMaxVersion(ctx, tx, v.CrateID); err != nil {
			return nil, err
		}
		if err := showNewest(ctx, tx, v.CrateID, v.Crate); err != nil {
			return nil, err
		}
		ch := change{crate: found.Name, kind: index.KindRemove, versionID: v.ID, hidden: v.Restricted}
		return []change{ch}, c.audit(ctx, tx, by, Record{Action: ActionDeleteVersion, Crate: found.Name, Version: num}, map[string]any{"sha256": v.SHA256, "yanked": v.Yanked}, nil)
	})
}

// showNewest has a crate shown, and found, as the newest of its versions says. One without a version says nothing; its name stays among
// the words, because a next publish that says nothing either writes none.
func showNewest(ctx context.Context, tx *tx, crateID int64, name string) error {
	var details string
	err := tx.QueryRowContext(ctx, "SELECT details FROM versions WHERE crate_id = ? AND deleted_at IS NULL ORDER BY id DESC LIMIT 1", crateID).Scan(&details)
	if errors.Is(err, sql.ErrNoRows) {
		details, err = "{}", nil
	}
	if err != nil {
		return err
	}
	var d Details
	if err := json.Unmarshal([]byte(details), &d); err != nil {
		return err
	}
	keywords, categories := lowerWords(d.Keywords), lowerWords(d.Categories)
	if _, err := tx.ExecContext(ctx, "UPDATE crates SET description = ?, keywords = ?, categories = ? WHERE id = ?",
		d.Description, keywords, categories, crateID); err != nil {
		return err
	}
	return saveSearchTerms(ctx, tx, crateID, false, name, d.Description, keywords, categories)
}

// DeleteCrate takes a crate, by its name in any spelling, and all its versions out of the registry. The name is nobody's for NameBlock, and anybody's after
// that; the bytes stay until a sweep.
func (c *Catalog) DeleteCrate(ctx context.Context, by Actor, name, message string) error {
	return c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		if err := tx.lockCrate(ctx, name); err != nil {
			return nil, err
		}
		found, err := findCrate(ctx, tx, name)
		if err != nil {
			return nil, err
		}
		now, canonical := c.now(), crate.Canonical(found.Name)
		nums, err := collect(ctx, tx, scanString, "SELECT num FROM versions WHERE crate_id = ? AND deleted_at IS NULL ORDER BY id", found.ID)
		if err != nil {
			return nil, err
		}
		owned, err := listOwners(ctx, tx, "owners", "group_owners", found.ID)
		if err != nil {
			return nil, err
		}
		for _, stmt := range []struct {
			query string
			args  []any
		}{
			{"UPDATE crates SET canonical = ?, deleted_at = ? WHERE id = ?", []any{fmt.Sprintf("%s#%d", canonical, found.ID), now.Unix(), found.ID}},
			{"DELETE FROM crate_words WHERE crate_id = ?", []any{found.ID}},
			{"DELETE FROM crate_keywords WHERE crate_id = ?", []any{found.ID}},
			{"DELETE FROM crate_categories WHERE crate_id = ?", []any{found.ID}},
			{"DELETE FROM blocked_names WHERE canonical = ? OR until < ?", []any{canonical, now.Unix()}},
			{"INSERT INTO blocked_names (canonical, until) VALUES (?, ?)", []any{canonical, now.Add(NameBlock).Unix()}},
		} {
			if _, err := tx.ExecContext(ctx, stmt.query, stmt.args...); err != nil {
				return nil, err
			}
		}
		before := map[string]any{"versions": append([]string{}, nums...), "owners": logins(owned)}
		var after any
		if message != "" {
			after = map[string]any{"message": message}
		}
		return []change{{crate: found.Name, kind: index.KindRemoveCrate, hidden: found.Restricted}},
			c.audit(ctx, tx, by, Record{Action: ActionDeleteCrate, Crate: found.Name}, before, after)
	})
}

// checkBlocked refuses a new crate under the name of one that was just deleted.
func (c *Catalog) checkBlocked(ctx context.Context, q querier, name string) error {
	return c.freeIn(q.QueryRowContext(ctx, blockedQuery, crate.Canonical(name)), name)
}

// blockedQuery asks for a name, in its canonical form, that cannot be used yet; freeIn judges the answer.
const blockedQuery = "SELECT until FROM blocked_names WHERE canonical = ?"

func (c *Catalog) freeIn(answer scanner, name string) error {
	var until int64
	err := answer.Scan(&until)
	if errors.Is(err, sql.ErrNoRows) || err == nil && until <= c.now().Unix() {
		return nil
	}
	if err != nil {
		return err
	}
	return fault.New(fault.Conflict, "a crate named `%s` was deleted; the name can be used again from %s on", name, time.Unix(until, 0).UTC().Format(time.RFC3339))
}
