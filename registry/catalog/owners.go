package catalog

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/crateyard/crateyard/registry/fault"
)

// Owners lists the owners of a crate in the order in which they were made users.
func (c *Catalog) Owners(ctx context.Context, name string) ([]User, error) {
	found, err := crateByName(ctx, c.ro, name)
	if err != nil {
		return nil, err
	}
	return owners(ctx, c.ro, found.ID)
}

func owners(ctx context.Context, q querier, crateID int64) ([]User, error) {
	return collect(ctx, q, func(r *sql.Rows) (User, error) { return scanUser(r) },
		"SELECT "+userColumns+" FROM users WHERE id IN (SELECT user_id FROM owners WHERE crate_id = ?) ORDER BY id", crateID)
}

func isOwner(ctx context.Context, q querier, crateID, userID int64) (bool, error) {
	var one int
	err := q.QueryRowContext(ctx, "SELECT 1 FROM owners WHERE crate_id = ? AND user_id = ?", crateID, userID).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// AddOwners makes users owners of a crate: all of them, or none when one of them does not exist or is an owner already.
func (c *Catalog) AddOwners(ctx context.Context, name string, logins []string, userID int64, allow func(Standing) error) error {
	return c.changeOwners(ctx, name, logins, userID, allow, func(tx *tx, crateID int64, u User, owner bool) error {
		if owner {
			return fault.New(fault.Conflict, "`%s` is already an owner", u.Name)
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO owners (crate_id, user_id) VALUES (?, ?)", crateID, u.ID)
		return err
	})
}

// RemoveOwners takes users from the owners of a crate, all or none. The last owner stays: a crate without one could be
// changed by nobody but an admin.
func (c *Catalog) RemoveOwners(ctx context.Context, name string, logins []string, userID int64, allow func(Standing) error) error {
	return c.changeOwners(ctx, name, logins, userID, allow, func(tx *tx, crateID int64, u User, owner bool) error {
		if !owner {
			return fault.New(fault.Invalid, "`%s` is not an owner", u.Name)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM owners WHERE crate_id = ? AND user_id = ?", crateID, u.ID); err != nil {
			return err
		}
		left, err := owners(ctx, tx, crateID)
		if err == nil && len(left) == 0 {
			err = fault.New(fault.Invalid, "cannot remove all owners of a crate; add another owner first")
		}
		return err
	})
}

func (c *Catalog) changeOwners(ctx context.Context, name string, logins []string, userID int64, allow func(Standing) error,
	change func(tx *tx, crateID int64, u User, owner bool) error) error {
	return c.write(ctx, func(tx *tx) ([]Change, error) {
		found, err := c.standing(ctx, tx, name, userID, allow)
		if err != nil {
			return nil, err
		}
		for _, login := range logins {
			u, err := userByName(ctx, tx, strings.TrimSpace(login))
			if err != nil {
				return nil, err
			}
			owner, err := isOwner(ctx, tx, found.ID, u.ID)
			if err != nil {
				return nil, err
			}
			if err := change(tx, found.ID, u, owner); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}
