package client

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/crateyard/crateyard/registry/wire"
)

// Mirrors lists the mirrors by name.
func (c *Client) Mirrors(ctx context.Context) ([]wire.Mirror, error) {
	var list wire.Mirrors
	err := c.do(ctx, http.MethodGet, "/mirrors", nil, &list)
	return list.Mirrors, err
}

// Mirror gives a mirror, and how it stands.
func (c *Client) Mirror(ctx context.Context, name string) (wire.Mirror, error) {
	var m wire.Mirror
	err := c.do(ctx, http.MethodGet, "/mirrors"+segment(name), nil, &m)
	return m, err
}

// MirrorUpstream asks which index a mirror is of, as cargo would: an admin's token is not needed, and none where everybody may read. IsNotFound of the
// error says that there is no such mirror; empty: the server is of a version that does not say.
func (c *Client) MirrorUpstream(ctx context.Context, name string) (index string, err error) {
	h, err := c.get(ctx, strings.TrimSuffix(c.base, "/api/v1"), "/mirrors"+segment(name)+"/config.json", nil)
	return h.Get(wire.UpstreamHeader), err
}

// PutMirror makes a mirror, or makes it what change says from now on. To put what is there already changes nothing.
func (c *Client) PutMirror(ctx context.Context, name string, change wire.MirrorChange) (wire.Mirror, error) {
	var m wire.Mirror
	err := c.do(ctx, http.MethodPut, "/mirrors"+segment(name), change, &m)
	return m, err
}

// DeleteMirror removes a mirror and all that it cached.
func (c *Client) DeleteMirror(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "/mirrors"+segment(name), nil, nil)
}

// SyncMirror has a mirror look at what it is to have in its cache now, and does not wait for it.
func (c *Client) SyncMirror(ctx context.Context, name string) (wire.Mirror, error) {
	var m wire.Mirror
	err := c.do(ctx, http.MethodPost, "/mirrors"+segment(name)+"/sync", nil, &m)
	return m, err
}

// PutLockfile has a mirror keep the versions that a Cargo.lock names. To put the same file again changes nothing.
func (c *Client) PutLockfile(ctx context.Context, mirror, name string, lockfile io.Reader) (wire.MirrorLockfile, error) {
	var l wire.MirrorLockfile
	err := c.upload(ctx, http.MethodPut, "/mirrors"+segment(mirror)+"/lockfiles"+segment(name), "text/plain", lockfile, -1, &l)
	return l, err
}

// DeleteLockfile has a mirror no longer keep what a Cargo.lock names.
func (c *Client) DeleteLockfile(ctx context.Context, mirror, name string) error {
	return c.do(ctx, http.MethodDelete, "/mirrors"+segment(mirror)+"/lockfiles"+segment(name), nil, nil)
}

// CacheCrate has a mirror fetch one version now, and waits for it.
func (c *Client) CacheCrate(ctx context.Context, mirror, crate, version string) (wire.MirroredCrate, error) {
	var m wire.MirroredCrate
	err := c.upload(ctx, http.MethodPost, "/mirrors"+segment(mirror)+"/crates"+segment(crate)+segment(version), "application/json", nil, 0, &m)
	return m, err
}

// StoredCrate lists what a mirror has stored of a crate, which is to be spelled as upstream spells it.
func (c *Client) StoredCrate(ctx context.Context, mirror, crate string) ([]wire.MirroredCrate, error) {
	var list wire.MirroredCrates
	err := c.do(ctx, http.MethodGet, "/mirrors"+segment(mirror)+"/crates"+segment(crate), nil, &list)
	return list.Crates, err
}

// AddCrate gives a mirror the archive of one version, which is held against upstream's index.
func (c *Client) AddCrate(ctx context.Context, mirror, crate, version string, archive []byte) (wire.MirroredCrate, error) {
	var m wire.MirroredCrate
	err := c.upload(ctx, http.MethodPut, "/mirrors"+segment(mirror)+"/crates"+segment(crate)+segment(version), "application/gzip", bytes.NewReader(archive), int64(len(archive)), &m)
	return m, err
}

// ForgetCrate has a mirror drop what it cached of a crate, index file and archives, and fetch it anew when it is asked for.
func (c *Client) ForgetCrate(ctx context.Context, mirror, crate string) error {
	return c.do(ctx, http.MethodDelete, "/mirrors"+segment(mirror)+"/crates"+segment(crate), nil, nil)
}

// TryPolicy says what a policy would deny of what a mirror knows.
func (c *Client) TryPolicy(ctx context.Context, mirror string, p wire.MirrorPolicy) (wire.MirrorDryRun, error) {
	var d wire.MirrorDryRun
	err := c.do(ctx, http.MethodPost, "/mirrors"+segment(mirror)+"/policy", p, &d)
	return d, err
}

// ExportMirror writes a bundle of what a mirror has cached to w, and gives its length in bytes. An error means that what w got is not whole.
func (c *Client) ExportMirror(ctx context.Context, mirror string, w io.Writer) (int64, error) {
	patient := *c.http
	patient.Timeout = 0 // ctx bounds it
	path := "/mirrors" + segment(mirror) + "/bundle"
	resp, err := c.send(ctx, &patient, http.MethodGet, path, "application/x-tar", nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return 0, c.decode(resp, http.MethodGet, path, nil)
	}
	return io.Copy(w, resp.Body)
}

// ImportMirror loads a bundle of size bytes, or of an unknown number when size is -1, into a mirror.
func (c *Client) ImportMirror(ctx context.Context, mirror string, bundle io.Reader, size int64) (wire.MirrorImport, error) {
	var r wire.MirrorImport
	err := c.stream(ctx, http.MethodPut, "/mirrors"+segment(mirror)+"/bundle", "application/x-tar", bundle, size, &r)
	return r, err
}
