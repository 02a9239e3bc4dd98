package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crateyard/crateyard/registry/fault"
)

// GroupPrefix begins the login of a group where cargo names owners: `cargo owner --add group:platform`.
const GroupPrefix = "group:"

// Owner is a user or a group that owns a crate, or may read it.
type Owner struct {
	ID    int64
	Name  string // of the user or the group, without GroupPrefix
	Group bool
}

// Login is the owner as cargo names it.
func (o Owner) Login() string {
	if o.Group {
		return GroupPrefix + o.Name
	}
	return o.Name
}

func logins(owners []Owner) []string {
	list := make([]string, 0, len(owners))
	for _, o := range owners {
		list = append(list, o.Login())
	}
	return list
}

// Owners lists the owners of a crate, by its id: users first, then groups, in the order in which they were made.
func (c *Catalog) Owners(ctx context.Context, crateID int64) ([]Owner, error) {
	return listOwners(ctx, c.ro, "owners", "group_owners", crateID)
}

// listOwners reads one of the two pairs of tables: owners or readers.
func listOwners(ctx context.Context, q querier, users, groups string, crateID int64) ([]Owner, error) {
	return collect(ctx, q, func(r *sql.Rows) (o Owner, err error) {
		err = r.Scan(&o.Group, &o.ID, &o.Name)
		return o, err
	}, "SELECT 0 AS is_group, u.id, u.name FROM users u JOIN "+users+" o ON o.user_id = u.id WHERE o.crate_id = ? UNION ALL SELECT 1, g.id, g.name FROM groups g JOIN "+
		groups+" o ON o.group_id = g.id WHERE o.crate_id = ? ORDER BY 1, 2", crateID, crateID)
}

// ownerByLogin finds a user or, with its prefix, a group.
func ownerByLogin(ctx context.Context, q querier, login string) (Owner, error) {
	login = strings.TrimSpace(login)
	if name, ok := strings.CutPrefix(login, GroupPrefix); ok {
		g, err := groupByName(ctx, q, name)
		return Owner{ID: g.ID, Name: g.Name, Group: true}, err
	}
	u, err := userByName(ctx, q, login)
	if fault.KindOf(err) == fault.NotFound {
		if _, gerr := groupByName(ctx, q, login); gerr == nil {
			return Owner{}, fault.New(fault.NotFound, "user `%s` does not exist; the group of that name is `%s%s`", login, GroupPrefix, login)
		}
	}
	return Owner{ID: u.ID, Name: u.Name}, err
}

// ownerToBe is ownerByLogin for one that is to be added: where there is none, the error says how there can be. Which others there are is for
// administrators to know.
func ownerToBe(ctx context.Context, q querier, login string) (Owner, error) {
	o, err := ownerByLogin(ctx, q, login)
	fe, ok := adviceless(err)
	if !ok {
		return o, err
	}
	name, isGroup := strings.CutPrefix(strings.TrimSpace(login), GroupPrefix)
	if name == "" || strings.Contains(name, ":") { // which no name has; github:org:team is crates.io's way
		return o, fault.New(fault.NotFound, "%s; owners are users, such as `alice`, and groups, such as `%splatform`", fe.Detail, GroupPrefix)
	}
	if isGroup {
		return o, toMake(fe, "group", name, "")
	}
	return o, toMakeUser(err, name)
}

// adviceless gives the error that there is no such user or group, where it has no advice yet.
func adviceless(err error) (*fault.Error, bool) {
	fe, ok := errors.AsType[*fault.Error](err)
	return fe, ok && fe.Kind == fault.NotFound && !strings.Contains(fe.Detail, "; ")
}

// toMakeUser adds to the error that there is no such user how there can be one.
func toMakeUser(err error, name string) error {
	if fe, ok := adviceless(err); ok {
		return toMake(fe, "user", name, " --role publisher")
	}
	return err
}

func toMake(fe *fault.Error, what, name, more string) error {
	return fault.New(fault.NotFound, "%s; an administrator makes it with `crateyard %s create %s%s`, or sees which there are with `crateyard %s list`", fe.Detail, what, name, more, what)
}

// AddOwners makes users and groups owners of a crate: all of them, or none when one of them does not exist or is an owner already.
func (c *Catalog) AddOwners(ctx context.Context, by Actor, name string, logins []string, allow func(Standing) error) error {
	return c.changeOwners(ctx, by, name, logins, allow, ownerToBe, func(tx *tx, crateID int64, o Owner) error {
		is, err := has(ctx, tx, ownerTable[o.Group], crateID, o)
		if err != nil {
			return err
		}
		if is {
			return fault.New(fault.Conflict, "`%s` is already an owner", o.Login())
		}
		return insert(ctx, tx, ownerTable[o.Group], crateID, o)
	})
}

// RemoveOwners takes users and groups from the owners of a crate, all or none. The last user among them stays: groups cannot change
// owners, so nobody but an admin could mend a crate without one. So does the last group of a crate that has no user any more.
func (c *Catalog) RemoveOwners(ctx context.Context, by Actor, name string, logins []string, allow func(Standing) error) error {
	return c.changeOwners(ctx, by, name, logins, allow, ownerByLogin, func(tx *tx, crateID int64, o Owner) error {
		is, err := has(ctx, tx, ownerTable[o.Group], crateID, o)
		if err != nil {
			return err
		}
		if !is {
			return fault.New(fault.Invalid, "`%s` is not an owner", o.Login())
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+ownerTable[o.Group].in+" WHERE crate_id = ? AND "+ownerTable[o.Group].id+" = ?", crateID, o.ID); err != nil {
			return err
		}
		var user, group bool // one is left
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM owners WHERE crate_id = ?), EXISTS (SELECT 1 FROM group_owners WHERE crate_id = ?)",
			crateID, crateID).Scan(&user, &group); err != nil {
			return err
		}
		switch {
		case !o.Group && !user:
			return fault.New(fault.Invalid, "cannot remove all individual owners of a crate; add another owner first")
		case !user && !group:
			return fault.New(fault.Invalid, "cannot remove the last owner of a crate; add another owner first")
		}
		return nil
	})
}

// table is where users or groups stand to a crate in one way.
type table struct{ in, id string }

var (
	ownerTable  = map[bool]table{false: {"owners", "user_id"}, true: {"group_owners", "group_id"}}
	readerTable = map[bool]table{false: {"readers", "user_id"}, true: {"group_readers", "group_id"}}
)

// namedCrates is how many crates an error names.
const namedCrates = 3

// someCrates names crates in an error, the first few of many.
func someCrates(names []string) string {
	list := "`" + strings.Join(names[:min(len(names), namedCrates)], "`, `") + "`"
	switch more := len(names) - namedCrates; {
	case len(names) == 1:
		return "crate " + list
	case more > 0:
		return fmt.Sprintf("crates %s and %d more", list, more)
	}
	return "crates " + list
}

// owned names the crates that a user or a group owns, by name. It is never nil.
func owned(ctx context.Context, q querier, t table, id int64) ([]string, error) {
	names, err := collect(ctx, q, scanString, "SELECT c.name FROM crates c JOIN "+t.in+" o ON o.crate_id = c.id WHERE o."+t.id+
		" = ? AND c.deleted_at IS NULL ORDER BY c.name", id)
	return append([]string{}, names...), err
}

func has(ctx context.Context, q querier, t table, crateID int64, o Owner) (bool, error) {
	var one int
	err := q.QueryRowContext(ctx, "SELECT 1 FROM "+t.in+" WHERE crate_id = ? AND "+t.id+" = ?", crateID, o.ID).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func insert(ctx context.Context, tx *tx, t table, crateID int64, o Owner) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO "+t.in+" (crate_id, "+t.id+") VALUES (?, ?)", crateID, o.ID)
	return err
}

func (c *Catalog) changeOwners(ctx context.Context, by Actor, name string, names []string, allow func(Standing) error,
	find func(ctx context.Context, q querier, login string) (Owner, error), change1 func(tx *tx, crateID int64, o Owner) error) error {
	return c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		found, _, err := c.standing(ctx, tx, name, by.UserID, allow)
		if err != nil {
			return nil, err
		}
		before, err := listOwners(ctx, tx, "owners", "group_owners", found.ID)
		if err != nil {
			return nil, err
		}
		for _, login := range slices.Compact(slices.Sorted(slices.Values(names))) {
			o, err := find(ctx, tx, login)
			if err != nil {
				return nil, err
			}
			if err := change1(tx, found.ID, o); err != nil {
				return nil, err
			}
		}
		after, err := listOwners(ctx, tx, "owners", "group_owners", found.ID)
		if err != nil {
			return nil, err
		}
		return nil, c.audit(ctx, tx, by, Record{Action: ActionOwners, Crate: found.Name},
			map[string]any{"owners": logins(before)}, map[string]any{"owners": logins(after)})
	})
}

// IsOwner reports whether a user owns a crate, both by id, in person or through a group.
func (c *Catalog) IsOwner(ctx context.Context, crateID, userID int64) (bool, error) {
	var owner bool
	err := c.ro.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM crate_users WHERE crate_id = ? AND user_id = ? AND owner = 1)", crateID, userID).Scan(&owner)
	return owner, err
}
