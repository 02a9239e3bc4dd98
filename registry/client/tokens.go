package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/crateyard/crateyard/registry/wire"
)

// Tokens lists the tokens of one user, or of all users when user is empty. Their secrets are not among the answer.
func (c *Client) Tokens(ctx context.Context, user string) ([]wire.Token, error) {
	path := "/tokens"
	if user != "" {
		path += "?" + url.Values{"user": {user}}.Encode()
	}
	var list wire.Tokens
	err := c.do(ctx, http.MethodGet, path, nil, &list)
	return list.Tokens, err
}

// CreateToken makes a token. The answer is the only place where its Secret ever stands.
func (c *Client) CreateToken(ctx context.Context, token wire.CreateToken) (wire.Token, error) {
	var t wire.Token
	err := c.do(ctx, http.MethodPost, "/tokens", token, &t)
	return t, err
}

// DeleteToken revokes a token. IsNotFound of the error says that it was gone already.
func (c *Client) DeleteToken(ctx context.Context, id int64) error {
	return c.do(ctx, http.MethodDelete, "/tokens/"+strconv.FormatInt(id, 10), nil, nil)
}
