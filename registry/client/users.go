package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/crateyard/crateyard/registry/wire"
)

// Users lists all users, by name.
func (c *Client) Users(ctx context.Context) ([]wire.User, error) {
	var list wire.Users
	err := c.do(ctx, http.MethodGet, "/users", nil, &list)
	return list.Users, err
}

// User gives one user.
func (c *Client) User(ctx context.Context, name string) (wire.User, error) {
	var u wire.User
	err := c.do(ctx, http.MethodGet, "/users"+segment(name), nil, &u)
	return u, err
}

// CreateUser makes a user. IsConflict of the error says that the name is taken.
func (c *Client) CreateUser(ctx context.Context, user wire.CreateUser) (wire.User, error) {
	var u wire.User
	err := c.do(ctx, http.MethodPost, "/users", user, &u)
	return u, err
}

// UpdateUser changes a user; what is nil in change stays as it is.
func (c *Client) UpdateUser(ctx context.Context, name string, change wire.UpdateUser) (wire.User, error) {
	var u wire.User
	err := c.do(ctx, http.MethodPatch, "/users"+segment(name), change, &u)
	return u, err
}

// DeleteUser removes a user and its tokens; what it published stays. IsConflict of the error says that crates would be left that nobody owns in
// person; with force they are, and the answer names them.
func (c *Client) DeleteUser(ctx context.Context, name string, force bool) (wire.DeletedUser, error) {
	q := url.Values{}
	if force {
		q.Set("force", "true")
	}
	var d wire.DeletedUser
	err := c.do(ctx, http.MethodDelete, "/users"+segment(name)+query(q), nil, &d)
	return d, err
}
