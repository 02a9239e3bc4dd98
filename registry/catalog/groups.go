package catalog

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
)

// Group is a number of users that can own crates, and read restricted ones, together.
type Group struct {
	ID        int64 // cargo's owner id, too; above 2³¹, apart from those of users
	Name      string
	Members   []string // names of users, sorted
	CreatedAt time.Time
}

const groupColumns = "g.id, g.name, g.created_at"

func scanGroup(row interface{ Scan(...any) error }) (Group, error) {
	var g Group
	var created int64
	err := row.Scan(&g.ID, &g.Name, &created)
	g.CreatedAt = time.Unix(created, 0).UTC()
	return g, err
}

// Groups lists all groups by name.
func (c *Catalog) Groups(ctx context.Context) ([]Group, error) {
	list, err := collect(ctx, c.ro, func(r *sql.Rows) (Group, error) { return scanGroup(r) }, "SELECT "+groupColumns+" FROM groups g ORDER BY g.name")
	for i := range list {
		if err == nil {
			list[i].Members, err = members(ctx, c.ro, list[i].ID)
		}
	}
	return list, err
}

// Group finds a group by name.
func (c *Catalog) Group(ctx context.Context, name string) (Group, error) {
	return groupByName(ctx, c.ro, name)
}

func groupByName(ctx context.Context, q querier, name string) (Group, error) {
	g, err := scanGroup(q.QueryRowContext(ctx, "SELECT "+groupColumns+" FROM groups g WHERE g.name = ?", name))
	if errors.Is(err, sql.ErrNoRows) {
		return Group{}, errNone(ctx, q, "group", name)
	}
	if err != nil {
		return Group{}, err
	}
	g.Members, err = members(ctx, q, g.ID)
	return g, err
}

func members(ctx context.Context, q querier, groupID int64) ([]string, error) {
	return collect(ctx, q, scanString, "SELECT u.name FROM group_members m JOIN users u ON u.id = m.user_id WHERE m.group_id = ? ORDER BY u.name", groupID)
}

// CreateGroup adds a group of users. A name that is taken, in any case, is a Conflict.
func (c *Catalog) CreateGroup(ctx context.Context, by Actor, name string, users []string) (g Group, err error) {
	err = c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		if err := tx.lock(ctx, lockGroups, 0); err != nil {
			return nil, err
		}
		if _, err := groupByName(ctx, tx, name); err == nil {
			return nil, fault.New(fault.Conflict, "group `%s` exists already", name)
		} else if fault.KindOf(err) != fault.NotFound {
			return nil, err
		}
		if g, err = c.insertGroup(ctx, tx, by, name); err != nil {
			return nil, err
		}
		g, err = c.setMembers(ctx, tx, by, g, users)
		return nil, err
	})
	return g, err
}

// insertGroup adds a group that is not there; lockGroups is held.
func (c *Catalog) insertGroup(ctx context.Context, tx *tx, by Actor, name string) (Group, error) {
	if err := checkNew(ctx, tx, "group", name); err != nil {
		return Group{}, err
	}
	g := Group{Name: name, CreatedAt: c.now().UTC().Truncate(time.Second)}
	if err := tx.QueryRowContext(ctx, "INSERT INTO groups (name, created_at) VALUES (?, ?) RETURNING id", name, g.CreatedAt.Unix()).Scan(&g.ID); err != nil {
		return g, err
	}
	return g, c.audit(ctx, tx, by, Record{Action: ActionCreateGroup, Subject: name}, nil, nil)
}

// SetMembers makes users the members of a group, and nobody else.
func (c *Catalog) SetMembers(ctx context.Context, by Actor, name string, users []string) (g Group, err error) {
	err = c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		if err := tx.lock(ctx, lockGroups, 0); err != nil {
			return nil, err
		}
		if g, err = groupByName(ctx, tx, name); err != nil {
			return nil, err
		}
		g, err = c.setMembers(ctx, tx, by, g, users)
		return nil, err
	})
	return g, err
}

func (c *Catalog) setMembers(ctx context.Context, tx *tx, by Actor, g Group, users []string) (Group, error) {
	users = slices.Compact(slices.Sorted(slices.Values(users)))
	if slices.Equal(users, g.Members) {
		return g, nil
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM group_members WHERE group_id = ?", g.ID); err != nil {
		return g, err
	}
	for _, name := range users {
		u, err := userByName(ctx, tx, name)
		if err != nil {
			return g, toMakeUser(err, name)
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO group_members (group_id, user_id) VALUES (?, ?)", g.ID, u.ID); err != nil {
			return g, err
		}
	}
	before := g.Members
	g.Members = users
	return g, c.audit(ctx, tx, by, Record{Action: ActionUpdateGroup, Subject: g.Name},
		map[string]any{"members": append([]string{}, before...)}, map[string]any{"members": append([]string{}, users...)})
}

// DeleteGroup deletes a group; what it owned it owns no longer. A group that owns a crate alone is a Conflict.
func (c *Catalog) DeleteGroup(ctx context.Context, by Actor, name string) error {
	return c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		if err := tx.lockGroupCrates(ctx, name); err != nil {
			return nil, err
		}
		if err := tx.lock(ctx, lockGroups, 0); err != nil {
			return nil, err
		}
		g, err := groupByName(ctx, tx, name)
		if err != nil {
			return nil, err
		}
		alone, err := collect(ctx, tx, scanString, `SELECT c.name FROM crates c JOIN group_owners o ON o.crate_id = c.id WHERE o.group_id = ? AND c.deleted_at IS NULL
			AND NOT EXISTS (SELECT 1 FROM owners x WHERE x.crate_id = c.id)
			AND NOT EXISTS (SELECT 1 FROM group_owners y WHERE y.crate_id = c.id AND y.group_id <> o.group_id) ORDER BY c.name`, g.ID)
		if err != nil {
			return nil, err
		}
		if len(alone) > 0 {
			return nil, fault.New(fault.Conflict, "group `%s` is the only owner of %s; add another owner first", name, someCrates(alone))
		}
		owns, err := owned(ctx, tx, ownerTable[true], g.ID)
		if err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM groups WHERE id = ?", g.ID); err != nil {
			return nil, err
		}
		return nil, c.audit(ctx, tx, by, Record{Action: ActionDeleteGroup, Subject: name}, map[string]any{"members": append([]string{}, g.Members...), "owns": owns}, nil)
	})
}

// setGroups makes a user a member of groups, and of no others. Groups that do not exist are made.
func (c *Catalog) setGroups(ctx context.Context, tx *tx, by Actor, u User, names []string) ([]string, error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if err := tx.lock(ctx, lockGroups, 0); err != nil {
		return nil, err
	}
	have, err := userGroups(ctx, tx, u.ID)
	if err != nil || slices.Equal(have, names) {
		return names, err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM group_members WHERE user_id = ?", u.ID); err != nil {
		return nil, err
	}
	for _, name := range names {
		g, err := groupByName(ctx, tx, name)
		if fault.KindOf(err) == fault.NotFound {
			g, err = c.insertGroup(ctx, tx, by, name)
		}
		if err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO group_members (group_id, user_id) VALUES (?, ?)", g.ID, u.ID); err != nil {
			return nil, err
		}
	}
	return names, nil
}

func userGroups(ctx context.Context, q querier, userID int64) ([]string, error) {
	return collect(ctx, q, scanString, "SELECT g.name FROM group_members m JOIN groups g ON g.id = m.group_id WHERE m.user_id = ? ORDER BY g.name", userID)
}
