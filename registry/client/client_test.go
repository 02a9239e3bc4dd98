package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

const token = "cy_0123456789012345678901234567890123456789abc"

// serve answers every request with one status and body, and gives what was asked.
func serve(t *testing.T, status int, body string) (*client.Client, *http.Request, *[]byte) {
	t.Helper()
	var asked http.Request
	var sent []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = *r
		sent, _ = io.ReadAll(r.Body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return client.New(s.URL+"/prefix/", token, client.WithVersion("v1")), &asked, &sent
}

func TestRequests(t *testing.T) {
	yes := true
	for _, tt := range []struct {
		want string
		body string // of the answer
		sent string
		call func(context.Context, *client.Client) error
	}{
		{"GET /prefix/api/v1/status", `{"version":"v2"}`, "", func(ctx context.Context, c *client.Client) error {
			s, err := c.Status(ctx)
			if s.Version != "v2" {
				return fmt.Errorf("status %+v, %w", s, err)
			}
			return err
		}},
		{"GET /prefix/api/v1/users", `{"users":[{"name":"a"}]}`, "", func(ctx context.Context, c *client.Client) error {
			u, err := c.Users(ctx)
			if len(u) != 1 || u[0].Name != "a" {
				return fmt.Errorf("users %+v, %w", u, err)
			}
			return err
		}},
		{"GET /prefix/api/v1/users/a%2F..%2Fb", `{}`, "", func(ctx context.Context, c *client.Client) error {
			_, err := c.User(ctx, "a/../b")
			return err
		}},
		{"POST /prefix/api/v1/users", `{}`, `{"name":"a","role":"reader"}`, func(ctx context.Context, c *client.Client) error {
			_, err := c.CreateUser(ctx, wire.CreateUser{Name: "a", Role: "reader"})
			return err
		}},
		{"PATCH /prefix/api/v1/users/a", `{}`, `{"suspended":true}`, func(ctx context.Context, c *client.Client) error {
			_, err := c.UpdateUser(ctx, "a", wire.UpdateUser{Suspended: &yes})
			return err
		}},
		{"DELETE /prefix/api/v1/users/a", `{"ownerless_crates":["x"]}`, "", func(ctx context.Context, c *client.Client) error {
			_, err := c.DeleteUser(ctx, "a", false)
			return err
		}},
		{"DELETE /prefix/api/v1/users/a?force=true", `{"ownerless_crates":["x"]}`, "", func(ctx context.Context, c *client.Client) error {
			d, err := c.DeleteUser(ctx, "a", true)
			if len(d.Ownerless) != 1 {
				return fmt.Errorf("deleted %+v, %w", d, err)
			}
			return err
		}},
		{"GET /prefix/api/v1/tokens?user=a%26b", `{"tokens":[]}`, "", func(ctx context.Context, c *client.Client) error {
			_, err := c.Tokens(ctx, "a&b")
			return err
		}},
		{"POST /prefix/api/v1/tokens", `{"token":"cy_new"}`, `{"user":"a","name":"ci"}`, func(ctx context.Context, c *client.Client) error {
			tok, err := c.CreateToken(ctx, wire.CreateToken{User: "a", Name: "ci"})
			if tok.Secret != "cy_new" {
				return fmt.Errorf("token %+v, %w", tok, err)
			}
			return err
		}},
		{"GET /prefix/api/v1/groups", `{"groups":[{"name":"g","members":["a"]}]}`, "", func(ctx context.Context, c *client.Client) error {
			g, err := c.Groups(ctx)
			if len(g) != 1 || g[0].Members[0] != "a" {
				return fmt.Errorf("groups %+v, %w", g, err)
			}
			return err
		}},
		{"GET /prefix/api/v1/groups/g%2Fh", `{}`, "", func(ctx context.Context, c *client.Client) error {
			_, err := c.Group(ctx, "g/h")
			return err
		}},
		{"POST /prefix/api/v1/groups", `{}`, `{"name":"g","members":["a"]}`, func(ctx context.Context, c *client.Client) error {
			_, err := c.CreateGroup(ctx, wire.CreateGroup{Name: "g", Members: []string{"a"}})
			return err
		}},
		{"PATCH /prefix/api/v1/groups/g", `{"members":[]}`, `{"members":[]}`, func(ctx context.Context, c *client.Client) error {
			_, err := c.SetGroupMembers(ctx, "g", nil)
			return err
		}},
		{"DELETE /prefix/api/v1/groups/g", ``, "", func(ctx context.Context, c *client.Client) error { return c.DeleteGroup(ctx, "g") }},
		{"GET /prefix/api/v1/crates?page=2&per_page=5&q=a+b&sort=new", `{"crates":[{"name":"x"}],"meta":{"total":7}}`, "", func(ctx context.Context, c *client.Client) error {
			found, err := c.Crates(ctx, client.Search{Text: "a b", Sort: "new", Page: 2, PerPage: 5})
			if len(found.Crates) != 1 || found.Meta.Total != 7 {
				return fmt.Errorf("crates %+v, %w", found, err)
			}
			return err
		}},
		{"GET /prefix/api/v1/crates", `{}`, "", func(ctx context.Context, c *client.Client) error {
			_, err := c.Crates(ctx, client.Search{})
			return err
		}},
		{"GET /prefix/api/v1/crates/x", `{"crate":{"name":"x"},"versions":[{"num":"1.0.0"}]}`, "", func(ctx context.Context, c *client.Client) error {
			found, err := c.Crate(ctx, "x")
			if found.Crate.Name != "x" || len(found.Versions) != 1 {
				return fmt.Errorf("crate %+v, %w", found, err)
			}
			return err
		}},
		{"GET /prefix/api/v1/crates/x/owners", `{"users":[{"login":"group:g"}]}`, "", func(ctx context.Context, c *client.Client) error {
			o, err := c.Owners(ctx, "x")
			if len(o) != 1 || o[0].Login != "group:g" {
				return fmt.Errorf("owners %+v, %w", o, err)
			}
			return err
		}},
		{"GET /prefix/api/v1/crates/x/access", `{"restricted":true}`, "", func(ctx context.Context, c *client.Client) error {
			a, err := c.Access(ctx, "x")
			if !a.Restricted {
				return fmt.Errorf("access %+v, %w", a, err)
			}
			return err
		}},
		{"PUT /prefix/api/v1/crates/x/access", `{}`, `{"restricted":true,"readers":[]}`, func(ctx context.Context, c *client.Client) error {
			_, err := c.SetAccess(ctx, "x", wire.SetAccess{Restricted: &yes, Readers: &[]string{}})
			return err
		}},
		{"PATCH /prefix/api/v1/crates/x/1.0.0+b", `{"version":{"num":"1.0.0"}}`, `{"version":{"yanked":true,"yank_message":"broken"}}`, func(ctx context.Context, c *client.Client) error {
			v, err := c.Yank(ctx, "x", "1.0.0+b", "broken")
			if v.Num != "1.0.0" {
				return fmt.Errorf("version %+v, %w", v, err)
			}
			return err
		}},
		{"PATCH /prefix/api/v1/crates/x/1.0.0", `{}`, `{"version":{"yanked":true}}`, func(ctx context.Context, c *client.Client) error {
			_, err := c.Yank(ctx, "x", "1.0.0", "")
			return err
		}},
		{"PATCH /prefix/api/v1/crates/x/1.0.1", `{}`, `{"version":{"yanked":false}}`, func(ctx context.Context, c *client.Client) error {
			_, err := c.Unyank(ctx, "x", "1.0.1")
			return err
		}},
		{"DELETE /prefix/api/v1/crates/x/1.0.0", ``, "", func(ctx context.Context, c *client.Client) error { return c.DeleteVersion(ctx, "x", "1.0.0") }},
		{"DELETE /prefix/api/v1/crates/x?message=not+ours", ``, "", func(ctx context.Context, c *client.Client) error { return c.DeleteCrate(ctx, "x", "not ours") }},
		{"GET /prefix/api/v1/audit?action=crate.yank&address=192.0.2.1&before_id=9&crate=x&limit=5&since=2026-01-02T02%3A04%3A05Z&token=ci&token_id=4&user=a&version=1.0.0", `{"records":[{"id":8}],"next":8}`, "", func(ctx context.Context, c *client.Client) error {
			page, err := c.Audit(ctx, client.AuditQuery{User: "a", Crate: "x", Version: "1.0.0", Action: "crate.yank", Token: "ci", TokenID: 4, Address: "192.0.2.1", Before: 9, Limit: 5,
				Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))})
			if len(page.Records) != 1 || page.Next != 8 {
				return fmt.Errorf("audit %+v, %w", page, err)
			}
			return err
		}},
		{"DELETE /prefix/api/v1/tokens/7", ``, "", func(ctx context.Context, c *client.Client) error { return c.DeleteToken(ctx, 7) }},
	} {
		t.Run(tt.want, func(t *testing.T) {
			status := http.StatusOK
			if tt.body == "" {
				status = http.StatusNoContent
			}
			c, asked, sent := serve(t, status, tt.body)
			if err := tt.call(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if got := asked.Method + " " + asked.RequestURI; got != tt.want {
				t.Errorf("asked %s", got)
			}
			if string(*sent) != tt.sent {
				t.Errorf("sent %s, want %s", *sent, tt.sent)
			}
			if asked.Header.Get("Authorization") != "Bearer "+token || asked.Header.Get("User-Agent") != "crateyard/v1" {
				t.Errorf("header %v", asked.Header)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	detail := func(d string) string {
		b, _ := json.Marshal(wire.Errors{Errors: []wire.Detail{{Detail: d}}})
		return string(b)
	}
	for _, tt := range []struct {
		status int
		body   string
		is     func(error) bool
		want   string
	}{
		{404, detail("no user `a`"), client.IsNotFound, "no user `a` (HTTP 404)"},
		{404, "404 page not found", client.IsNotFound, "no Crateyard registry answers at http://127.0.0.1:"},
		{404, "", client.IsNotFound, "/prefix; is that its address, with its port and path? (HTTP 404)"},
		{409, detail("there is one"), client.IsConflict, "there is one (HTTP 409)"},
		{401, detail("unknown token"), client.IsUnauthorized, "unknown token (HTTP 401)"},
		{403, detail("no"), client.IsForbidden, "no (HTTP 403)"},
		{400, detail("bad"), client.IsInvalid, "bad (HTTP 400)"},
		{502, "<html>some proxy</html>", func(error) bool { return true }, "bad gateway (HTTP 502)"},
		{500, detail(strings.Repeat("é", 5000)), func(error) bool { return true }, "…"},
		{200, "<html>", func(error) bool { return true }, "not what a Crateyard registry says"},
		{302, "", func(error) bool { return true }, "found (HTTP 302)"},
	} {
		c, _, _ := serve(t, tt.status, tt.body)
		_, err := c.Status(t.Context())
		if err == nil || !tt.is(err) || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 2000 {
			t.Errorf("%d: %v, want %s", tt.status, err, tt.want)
		}
	}
}

func TestTokenStaysSecret(t *testing.T) {
	for _, base := range []string{"http://127.0.0.1:1", "http://me:pass-word@127.0.0.1:1", "http://[bad", "://" + token} {
		_, err := client.New(base, token).Status(t.Context())
		if err == nil {
			t.Fatalf("%s answered", base)
		}
		if strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "pass-word") {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}

func TestRedirectToAnotherHostGetsNothing(t *testing.T) {
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	defer thief.Close()
	s := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer s.Close()
	if _, err := client.New(s.URL, token).Status(t.Context()); err == nil {
		t.Error("a redirect counts as an answer")
	}
}

func TestAnswersAreBounded(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := []byte(strings.Repeat(" ", 1<<20))
		for range 64 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	if _, err := client.New(s.URL, token).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("64 MiB of answer: %v", err)
	}
}

func TestStuckServer(t *testing.T) {
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer s.Close()
	defer close(done)
	c := client.New(s.URL, token, client.WithHTTPClient(&http.Client{Timeout: 50 * time.Millisecond}))
	if _, err := c.Status(t.Context()); err == nil {
		t.Error("a server that is stuck answered")
	}
}

// A name that is empty or made of dots is none, and no request is made with it: on the way it would become the address of something else.
func TestNamesThatAreNone(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the server was asked %s %s", r.Method, r.URL) }))
	defer s.Close()
	c, ctx := client.New(s.URL, token), t.Context()
	for _, name := range []string{"", ".", ".."} {
		for what, err := range map[string]error{
			"forget":         c.ForgetCrate(ctx, "m", name),
			"mirror":         c.DeleteMirror(ctx, name),
			"lockfile":       c.DeleteLockfile(ctx, "m", name),
			"version":        c.DeleteVersion(ctx, "demo", name),
			"crate":          c.DeleteCrate(ctx, name, ""),
			"group":          c.DeleteGroup(ctx, name),
			"user":           func() error { _, err := c.DeleteUser(ctx, name, false); return err }(),
			"lockfile to be": func() error { _, err := c.PutLockfile(ctx, "m", name, strings.NewReader("")); return err }(),
			"upstream":       func() error { _, err := c.MirrorUpstream(ctx, name); return err }(),
		} {
			if want := fmt.Sprintf("%q is no name of anything", name); err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %s", what, err, want)
			}
		}
	}
}
