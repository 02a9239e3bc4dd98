// Package client is the Go client of the management API: users, groups, tokens, crates, audit and status of one registry. The
// operator and the command line use it; it knows HTTP and registry/wire, and nothing of the server.
//
// A Client is safe for use by many goroutines. Every call ends after Timeout at the latest and reads at most maxAnswer bytes,
// so that a server that is stuck or not ours cannot hold up a caller; AuditLines alone reads on, a bounded line at a time. The
// token is in no error and no log line.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/wire"
)

// Timeout is the longest that one call takes, unless WithHTTPClient says otherwise.
const Timeout = 15 * time.Second

// maxAnswer is the most that is read of an answer. A list of 10,000 tokens at 400 bytes each is 4 MB.
const maxAnswer = 16 << 20

// Client speaks to the management API of one registry.
type Client struct {
	base      string
	token     string
	userAgent string
	http      *http.Client
}

// Option changes how a Client works.
type Option func(*Client)

// WithHTTPClient makes calls over h, for a CA of one's own or a longer timeout.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithVersion tells the server which version of Crateyard calls, in the User-Agent.
func WithVersion(version string) Option {
	return func(c *Client) { c.userAgent = "crateyard/" + version }
}

// New makes a client for the registry whose public address is baseURL, such as https://crates.acme.dev. An empty token is
// sent as none.
func New(baseURL, token string, opts ...Option) *Client {
	c := &Client{
		base:      strings.TrimRight(baseURL, "/") + "/api/v1",
		token:     strings.TrimSpace(token),
		userAgent: "crateyard",
		http:      &http.Client{Timeout: Timeout, CheckRedirect: sameHost},
	}
	for _, o := range opts {
		o(c)
	}
	return c
}

// sameHost refuses redirects to another host: the management API never sends one, so it would be somebody else's.
func sameHost(r *http.Request, via []*http.Request) error {
	if len(via) > 3 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// Status asks how the registry is: its version, addresses and counts.
func (c *Client) Status(ctx context.Context) (wire.Status, error) {
	var s wire.Status
	err := c.do(ctx, http.MethodGet, "/status", nil, &s)
	return s, err
}

// Identity is how cargo knows a registry.
type Identity struct {
	Name string // in configurations; empty: the server is of a version that does not say
	URL  string // its public address, which its own crates and every Cargo.lock name
}

// Identity asks how cargo knows the registry, which takes no token.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	var doc struct {
		Servers []struct{ URL, Description string }
	}
	_, err := c.get(ctx, strings.TrimSuffix(c.base, "/v1"), "/openapi.json", &doc)
	if err != nil || len(doc.Servers) == 0 {
		return Identity{}, err
	}
	return Identity{Name: doc.Servers[0].Description, URL: doc.Servers[0].URL}, nil
}

// get asks for what is not below the base of the management API, and gives the header of the answer, too.
func (c *Client) get(ctx context.Context, base, path string, out any) (http.Header, error) {
	req, err := c.request(ctx, http.MethodGet, base, path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, withoutUserinfo(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.Header, c.decode(resp, http.MethodGet, base+path, out)
}

// do sends in as JSON, if it is not nil, and decodes the answer into out, if it is not nil.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, c.http, method, path, "application/json", in)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return c.decode(resp, method, path, out)
}

// uploadTimeout bounds a call that sends much, or has the server fetch it: files may be large and lines slow.
const uploadTimeout = 10 * time.Minute

// upload sends a body of size bytes, or of an unknown number when size is -1, and decodes the answer into out, if it is not nil.
func (c *Client) upload(ctx context.Context, method, path, contentType string, body io.Reader, size int64, out any) error {
	ctx, cancel := context.WithTimeout(ctx, uploadTimeout)
	defer cancel()
	return c.stream(ctx, method, path, contentType, body, size, out)
}

// stream is upload for what may take as long as ctx lets it.
func (c *Client) stream(ctx context.Context, method, path, contentType string, body io.Reader, size int64, out any) error {
	req, err := c.request(ctx, method, c.base, path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", contentType)
	req.ContentLength = size
	patient := *c.http
	patient.Timeout = 0 // ctx bounds it
	resp, err := patient.Do(req)
	if err != nil {
		return withoutUserinfo(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return c.decode(resp, method, path, out)
}

// decode reads an answer to its end, and into out, if it is not nil.
func (c *Client) decode(resp *http.Response, method, path string, out any) error {
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%s %s: reading the answer: %w", method, path, err)
	}
	if len(answer) > maxAnswer {
		return fmt.Errorf("%s %s: the answer is longer than %d bytes; is this a Crateyard registry?", method, path, maxAnswer)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return newError(resp, answer)
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not what a Crateyard registry says: %w", method, path, err)
	}
	return nil
}

// send makes one request over h and gives the answer, whatever its status. The caller closes its body.
func (c *Client) send(ctx context.Context, h *http.Client, method, path, accept string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := c.request(ctx, method, c.base, path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := h.Do(req)
	if err != nil {
		return nil, withoutUserinfo(err) // says method and address itself
	}
	return resp, nil
}

// request makes a request that says who asks. The path, made of segments, is refused where one of them is empty, `.` or `..`: a proxy or server on the way would
// take it out, and what is left may be the address of something else. To forget a crate `..` of a mirror would delete the mirror.
func (c *Client) request(ctx context.Context, method, base, path string, body io.Reader) (*http.Request, error) {
	names, _, _ := strings.Cut(path, "?")
	for name := range strings.SplitSeq(strings.TrimPrefix(names, "/"), "/") {
		if name == "" || name == "." || name == ".." {
			return nil, fmt.Errorf("%q is no name of anything", name)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, withoutUserinfo(err))
	}
	req.Header.Set("User-Agent", c.userAgent)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// segment makes a name fit for one part of a path; request refuses those that cannot be one.
func segment(name string) string { return "/" + url.PathEscape(name) }
