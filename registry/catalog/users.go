package catalog

import (
	"context"
	"database/sql"
	"errors"
	"reflect"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
)

// User is someone or something that acts: a person, a CI pipeline, the operator.
type User struct {
	ID        int64 // cargo's owner id; fits 32 bits and is never used twice
	Name      string
	Role      string   // reader, publisher or admin (registry/auth)
	Suspended bool     // its tokens do not work; its crates stay
	Claims    []string // patterns of names that it may give to new crates; empty: any
	Groups    []string // sorted
	CreatedAt time.Time
}

const userColumns = "id, name, role, suspended, claims, created_at"

func scanUser(row interface{ Scan(...any) error }) (User, error) {
	var u User
	var created int64
	var claims string
	err := row.Scan(&u.ID, &u.Name, &u.Role, &u.Suspended, &claims, &created)
	u.Claims = strings.Fields(claims)
	u.CreatedAt = time.Unix(created, 0).UTC()
	return u, err
}

// User finds a user by name.
func (c *Catalog) User(ctx context.Context, name string) (User, error) {
	return userByName(ctx, c.ro, name)
}

func userByName(ctx context.Context, q querier, name string) (User, error) {
	u, err := scanUser(q.QueryRowContext(ctx, "SELECT "+userColumns+" FROM users WHERE name = ?", name))
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, errNone(ctx, q, "user", name)
	}
	if err != nil {
		return User{}, err
	}
	u.Groups, err = userGroups(ctx, q, u.ID)
	return u, err
}

// alike gives the user or group whose name differs from another in case alone, "" for none: what is "user" or "group". There may be more than one,
// from before there could be one only.
func alike(ctx context.Context, q querier, what, name string) (found string, err error) {
	err = q.QueryRowContext(ctx, "SELECT name FROM "+what+"s WHERE lower(name) = lower(?) AND name <> ? ORDER BY name LIMIT 1", name, name).Scan(&found)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return found, err
}

// errNone is the error for a user or group that is not there.
func errNone(ctx context.Context, q querier, what, name string) error {
	switch found, err := alike(ctx, q, what, name); {
	case err != nil:
		return err
	case found != "":
		return fault.New(fault.NotFound, "%s `%s` does not exist; there is `%s`", what, name, found)
	}
	return fault.New(fault.NotFound, "%s `%s` does not exist", what, name)
}

// checkNew refuses a name that another user or group has already, or has but for its case: nobody could tell the two apart when they are told.
func checkNew(ctx context.Context, q querier, what, name string) error {
	switch found, err := alike(ctx, q, what, name); {
	case err != nil:
		return err
	case found != "":
		return fault.New(fault.Conflict, "%s `%s` exists already, and a name that differs from it in case only, such as `%s`, cannot be another's; take another name", what, found, name)
	}
	return nil
}

// Users lists all users by name.
func (c *Catalog) Users(ctx context.Context) ([]User, error) {
	users, err := collect(ctx, c.ro, func(r *sql.Rows) (User, error) { return scanUser(r) }, "SELECT "+userColumns+" FROM users ORDER BY name")
	for i := range users {
		if err == nil {
			users[i].Groups, err = userGroups(ctx, c.ro, users[i].ID)
		}
	}
	return users, err
}

// CreateUser adds a user. A name that is taken, in any case, is a Conflict.
func (c *Catalog) CreateUser(ctx context.Context, by Actor, u User) (User, error) {
	u.CreatedAt = c.now().UTC().Truncate(time.Second)
	err := c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		if err := tx.lock(ctx, lockUsers, 0); err != nil {
			return nil, err
		}
		if _, err := userByName(ctx, tx, u.Name); err == nil {
			return nil, fault.New(fault.Conflict, "user `%s` exists already", u.Name)
		} else if fault.KindOf(err) != fault.NotFound {
			return nil, err
		}
		if err := checkNew(ctx, tx, "user", u.Name); err != nil {
			return nil, err
		}
		err := tx.QueryRowContext(ctx, "INSERT INTO users (name, role, suspended, claims, created_at) VALUES (?, ?, ?, ?, ?) RETURNING id",
			u.Name, u.Role, u.Suspended, strings.Join(u.Claims, " "), u.CreatedAt.Unix()).Scan(&u.ID)
		if err != nil {
			return nil, err
		}
		if u.Groups, err = c.setGroups(ctx, tx, by, u, u.Groups); err != nil {
			return nil, err
		}
		return nil, c.audit(ctx, tx, by, Record{Action: ActionCreateUser, Subject: u.Name}, nil, u.state())
	})
	return u, err
}

// state is what the audit tells of a user.
func (u User) state() map[string]any {
	return map[string]any{"role": u.Role, "suspended": u.Suspended, "claims": append([]string{}, u.Claims...), "groups": append([]string{}, u.Groups...)}
}

// UpdateUser has change edit a user's role, suspension, claims and groups in one transaction.
func (c *Catalog) UpdateUser(ctx context.Context, by Actor, name string, edit func(*User) error) (u User, err error) {
	err = c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		if err := tx.lockUser(ctx, name); err != nil {
			return nil, err
		}
		old, err := userByName(ctx, tx, name)
		if err != nil {
			return nil, err
		}
		u = old
		if err := edit(&u); err != nil {
			return nil, err
		}
		if _, err = tx.ExecContext(ctx, "UPDATE users SET role = ?, suspended = ?, claims = ? WHERE id = ?", u.Role, u.Suspended,
			strings.Join(u.Claims, " "), u.ID); err != nil {
			return nil, err
		}
		if u.Groups, err = c.setGroups(ctx, tx, by, u, u.Groups); err != nil || reflect.DeepEqual(old.state(), u.state()) {
			return nil, err
		}
		return nil, c.audit(ctx, tx, by, Record{Action: ActionUpdateUser, Subject: name}, old.state(), u.state())
	})
	return u, err
}

// DeleteUser deletes a user with its tokens and ownerships. A user who owns crates in person as nobody else does is a Conflict, and with force
// those crates are named: their owners can be changed by an admin only, until the admin adds one.
func (c *Catalog) DeleteUser(ctx context.Context, by Actor, name string, force bool) (ownerless []string, err error) {
	err = c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		if err := tx.lockUserAndCrates(ctx, name); err != nil {
			return nil, err
		}
		u, err := userByName(ctx, tx, name)
		if err != nil {
			return nil, err
		}
		ownerless, err = collect(ctx, tx, scanString, `SELECT c.name FROM crates c JOIN owners o ON o.crate_id = c.id WHERE o.user_id = ? AND c.deleted_at IS NULL
			AND NOT EXISTS (SELECT 1 FROM owners x WHERE x.crate_id = c.id AND x.user_id <> o.user_id) ORDER BY c.name`, u.ID)
		if err != nil {
			return nil, err
		}
		if len(ownerless) > 0 && !force {
			return nil, fault.New(fault.Conflict, "user `%s` is the last individual owner of %s; add another owner first, or delete the user with force=true (crateyard user delete --force): then only an administrator can give them one",
				name, someCrates(ownerless))
		}
		before := u.state()
		if before["owns"], err = owned(ctx, tx, ownerTable[false], u.ID); err != nil {
			return nil, err
		}
		if _, err = tx.ExecContext(ctx, "DELETE FROM users WHERE id = ?", u.ID); err != nil {
			return nil, err
		}
		return nil, c.audit(ctx, tx, by, Record{Action: ActionDeleteUser, Subject: name}, before, nil)
	})
	return ownerless, err
}
