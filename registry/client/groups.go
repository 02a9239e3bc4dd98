package client

import (
	"context"
	"net/http"

	"github.com/crateyard/crateyard/registry/wire"
)

// Groups lists all groups with their members, by name.
func (c *Client) Groups(ctx context.Context) ([]wire.Group, error) {
	var list wire.Groups
	err := c.do(ctx, http.MethodGet, "/groups", nil, &list)
	return list.Groups, err
}

// Group gives one group.
func (c *Client) Group(ctx context.Context, name string) (wire.Group, error) {
	var g wire.Group
	err := c.do(ctx, http.MethodGet, "/groups"+segment(name), nil, &g)
	return g, err
}

// CreateGroup makes a group. IsConflict of the error says that the name is taken.
func (c *Client) CreateGroup(ctx context.Context, group wire.CreateGroup) (wire.Group, error) {
	var g wire.Group
	err := c.do(ctx, http.MethodPost, "/groups", group, &g)
	return g, err
}

// SetGroupMembers makes users, by name, the members of a group, and nobody else; with none of them the group is empty.
func (c *Client) SetGroupMembers(ctx context.Context, name string, users []string) (wire.Group, error) {
	var g wire.Group
	body := wire.UpdateGroup{Members: append([]string{}, users...)} // null would mean that the members were forgotten
	err := c.do(ctx, http.MethodPatch, "/groups"+segment(name), body, &g)
	return g, err
}

// DeleteGroup deletes a group. IsConflict of the error says that a crate would be left without an owner.
func (c *Client) DeleteGroup(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "/groups"+segment(name), nil, nil)
}
