package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/crateyard/crateyard/registry/wire"
)

// Search says which crates to list. Its zero value lists the first page of all of them.
type Search struct {
	Text     string // words, each the beginning of one in a crate's name, keywords or description
	Keyword  string
	Category string
	Sort     string // relevance, downloads, recent-downloads, recent-updates, new or alpha; empty: relevance
	Page     int    // from 1; 0: the first
	PerPage  int    // 1 to 100; 0: 10
}

// Crates gives one page of the crates that a search finds.
func (c *Client) Crates(ctx context.Context, s Search) (wire.Crates, error) {
	q := url.Values{}
	for name, value := range map[string]string{"q": s.Text, "keyword": s.Keyword, "category": s.Category, "sort": s.Sort} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, value := range map[string]int{"page": s.Page, "per_page": s.PerPage} {
		if value != 0 {
			q.Set(name, strconv.Itoa(value))
		}
	}
	var page wire.Crates
	err := c.do(ctx, http.MethodGet, "/crates"+query(q), nil, &page)
	return page, err
}

// Crate gives a crate with its versions, the highest first.
func (c *Client) Crate(ctx context.Context, name string) (wire.CrateWithVersions, error) {
	var found wire.CrateWithVersions
	err := c.do(ctx, http.MethodGet, "/crates"+segment(name), nil, &found)
	return found, err
}

// Owners lists the owners of a crate: users, then groups as group:NAME.
func (c *Client) Owners(ctx context.Context, name string) ([]wire.Owner, error) {
	var list wire.Owners
	err := c.do(ctx, http.MethodGet, "/crates"+segment(name)+"/owners", nil, &list)
	return list.Users, err
}

// Access says who may see a crate.
func (c *Client) Access(ctx context.Context, name string) (wire.Access, error) {
	var a wire.Access
	err := c.do(ctx, http.MethodGet, "/crates"+segment(name)+"/access", nil, &a)
	return a, err
}

// SetAccess restricts or opens a crate, or replaces its access list; what is nil in change stays as it is.
func (c *Client) SetAccess(ctx context.Context, name string, change wire.SetAccess) (wire.Access, error) {
	var a wire.Access
	err := c.do(ctx, http.MethodPut, "/crates"+segment(name)+"/access", change, &a)
	return a, err
}

// Yank takes a version out of what cargo chooses from; who has it in a lockfile still builds with it. The message is for
// people, at most 1000 bytes; an empty one leaves the one that is there.
func (c *Client) Yank(ctx context.Context, name, version, message string) (wire.Version, error) {
	yes := true
	body := wire.UpdateVersion{Version: wire.VersionChange{Yanked: &yes}}
	if message != "" {
		body.Version.YankMessage = &message
	}
	return c.updateVersion(ctx, name, version, body)
}

// Unyank undoes Yank; the message goes with it.
func (c *Client) Unyank(ctx context.Context, name, version string) (wire.Version, error) {
	no := false
	return c.updateVersion(ctx, name, version, wire.UpdateVersion{Version: wire.VersionChange{Yanked: &no}})
}

func (c *Client) updateVersion(ctx context.Context, name, version string, body wire.UpdateVersion) (wire.Version, error) {
	var v wire.OneVersion
	err := c.do(ctx, http.MethodPatch, "/crates"+segment(name)+segment(version), body, &v)
	return v.Version, err
}

// DeleteVersion takes a version out of the registry. Its number can never be used again.
func (c *Client) DeleteVersion(ctx context.Context, name, version string) error {
	return c.do(ctx, http.MethodDelete, "/crates"+segment(name)+segment(version), nil, nil)
}

// DeleteCrate takes a crate with all its versions out of the registry, and keeps its name from being used for a day. The
// message, which may be empty, goes to the audit.
func (c *Client) DeleteCrate(ctx context.Context, name, message string) error {
	q := url.Values{}
	if message != "" {
		q.Set("message", message)
	}
	return c.do(ctx, http.MethodDelete, "/crates"+segment(name)+query(q), nil, nil)
}

// query makes the end of an address.
func query(q url.Values) string {
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}
