package catalog

import (
	"context"
	"slices"

	"github.com/crateyard/crateyard/registry/index"
)

// Access says who may see a crate.
type Access struct {
	Restricted bool
	Readers    []Owner // who may see it when it is restricted, beside its owners
}

// Access gives the access list of a crate, by its id.
func (c *Catalog) Access(ctx context.Context, found Crate) (Access, error) {
	readers, err := listOwners(ctx, c.ro, "readers", "group_readers", found.ID)
	return Access{Restricted: found.Restricted, Readers: readers}, err
}

// SetAccess restricts a crate or opens it, and replaces its access list. What is nil stays as it is.
func (c *Catalog) SetAccess(ctx context.Context, by Actor, name string, restricted *bool, readers *[]string, allow func(Standing) error) (a Access, err error) {
	err = c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		found, _, err := c.standing(ctx, tx, name, by.UserID, allow)
		if err != nil {
			return nil, err
		}
		before, err := listOwners(ctx, tx, "readers", "group_readers", found.ID)
		if err != nil {
			return nil, err
		}
		a = Access{Restricted: found.Restricted, Readers: before}
		if readers != nil {
			if a.Readers, err = setReaders(ctx, tx, found.ID, *readers); err != nil {
				return nil, err
			}
		}
		var changes []change
		if restricted != nil && *restricted != found.Restricted {
			a.Restricted = *restricted
			ch, err := restrict(ctx, tx, found, a.Restricted)
			if err != nil {
				return nil, err
			}
			changes = []change{ch}
		}
		if len(changes) == 0 && slices.Equal(before, a.Readers) {
			return nil, nil
		}
		return changes, c.audit(ctx, tx, by, Record{Action: ActionAccess, Crate: found.Name},
			map[string]any{"restricted": found.Restricted, "readers": logins(before)}, map[string]any{"restricted": a.Restricted, "readers": logins(a.Readers)})
	})
	return a, err
}

func setReaders(ctx context.Context, tx *tx, crateID int64, names []string) ([]Owner, error) {
	for _, t := range readerTable {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+t.in+" WHERE crate_id = ?", crateID); err != nil {
			return nil, err
		}
	}
	for _, login := range names {
		o, err := ownerToBe(ctx, tx, login)
		if err != nil {
			return nil, err
		}
		if is, err := has(ctx, tx, readerTable[o.Group], crateID, o); err != nil || is {
			if err != nil {
				return nil, err
			}
			continue
		}
		if err := insert(ctx, tx, readerTable[o.Group], crateID, o); err != nil {
			return nil, err
		}
	}
	return listOwners(ctx, tx, "readers", "group_readers", crateID)
}

// restrict takes a crate out of the git index, which everybody who fetches it reads whole, or puts it back.
func restrict(ctx context.Context, tx *tx, found Crate, restricted bool) (change, error) {
	if _, err := tx.ExecContext(ctx, "UPDATE crates SET restricted = ? WHERE id = ?", restricted, found.ID); err != nil {
		return change{}, err
	}
	if restricted {
		return change{crate: found.Name, kind: index.KindRemoveCrate}, nil
	}
	lines, err := collect(ctx, tx, scanString, "SELECT line FROM versions WHERE crate_id = ? AND deleted_at IS NULL ORDER BY id", found.ID)
	ch := change{crate: found.Name, kind: index.KindRestore, lines: []byte{}}
	for _, line := range lines {
		ch.lines = append(ch.lines, line...)
	}
	return ch, err
}
