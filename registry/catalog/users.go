package catalog

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
)

// User is someone or something that acts: a person, a CI pipeline, the operator.
type User struct {
	ID        int64 // cargo's owner id; fits 32 bits and is never used twice
	Name      string
	Role      string // reader, publisher or admin (registry/auth)
	Suspended bool   // its tokens do not work; its crates stay
	CreatedAt time.Time
}

const userColumns = "id, name, role, suspended, created_at"

func scanUser(row interface{ Scan(...any) error }) (User, error) {
	var u User
	var created int64
	err := row.Scan(&u.ID, &u.Name, &u.Role, &u.Suspended, &created)
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
		return User{}, fault.New(fault.NotFound, "user `%s` does not exist", name)
	}
	return u, err
}

// Users lists all users by name.
func (c *Catalog) Users(ctx context.Context) ([]User, error) {
	return collect(ctx, c.ro, func(r *sql.Rows) (User, error) { return scanUser(r) }, "SELECT "+userColumns+" FROM users ORDER BY name")
}

// CreateUser adds a user. A name that is taken is a Conflict.
func (c *Catalog) CreateUser(ctx context.Context, u User) (User, error) {
	u.CreatedAt = c.now().UTC().Truncate(time.Second)
	err := c.write(ctx, func(tx *tx) ([]Change, error) {
		if _, err := userByName(ctx, tx, u.Name); err == nil {
			return nil, fault.New(fault.Conflict, "user `%s` exists already", u.Name)
		} else if fault.KindOf(err) != fault.NotFound {
			return nil, err
		}
		res, err := tx.ExecContext(ctx, "INSERT INTO users (name, role, suspended, created_at) VALUES (?, ?, ?, ?)",
			u.Name, u.Role, u.Suspended, u.CreatedAt.Unix())
		if err != nil {
			return nil, err
		}
		u.ID, err = res.LastInsertId()
		return nil, err
	})
	return u, err
}

// UpdateUser has change edit a user's role and suspension in one transaction.
func (c *Catalog) UpdateUser(ctx context.Context, name string, change func(*User) error) (u User, err error) {
	err = c.write(ctx, func(tx *tx) ([]Change, error) {
		if u, err = userByName(ctx, tx, name); err != nil {
			return nil, err
		}
		if err := change(&u); err != nil {
			return nil, err
		}
		_, err = tx.ExecContext(ctx, "UPDATE users SET role = ?, suspended = ? WHERE id = ?", u.Role, u.Suspended, u.ID)
		return nil, err
	})
	return u, err
}

// DeleteUser deletes a user with its tokens and ownerships, and names the crates that have no owner left: those can be
// changed by an admin only, until the admin adds an owner.
func (c *Catalog) DeleteUser(ctx context.Context, name string) (ownerless []string, err error) {
	err = c.write(ctx, func(tx *tx) ([]Change, error) {
		u, err := userByName(ctx, tx, name)
		if err != nil {
			return nil, err
		}
		ownerless, err = collect(ctx, tx, scanString, `SELECT c.name FROM crates c JOIN owners o ON o.crate_id = c.id WHERE o.user_id = ?
			AND NOT EXISTS (SELECT 1 FROM owners x WHERE x.crate_id = c.id AND x.user_id <> o.user_id) ORDER BY c.name`, u.ID)
		if err != nil {
			return nil, err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM users WHERE id = ?", u.ID)
		return nil, err
	})
	return ownerless, err
}
