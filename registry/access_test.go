package registry_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// A restricted crate is not there for who may not see it, in no answer and in no other words than a crate that does not exist.
func TestRestrictedCrates(t *testing.T) {
	y := open(t, nil)
	dora := y.furnish()
	rita := y.user(wire.CreateUser{Name: "rita", Role: "reader"})
	erin := y.user(wire.CreateUser{Name: "erin", Role: "reader", Groups: []string{"guests"}})
	c := "/api/v1/crates/acme-secret"
	reads := []string{"/index/ac/me/acme-secret", "/crates/acme-secret/1.0.0/download", c, c + "/versions", c + "/1.0.0", c + "/1.0.0/dependencies",
		c + "/reverse_dependencies", c + "/1.0.0/readme", c + "/1.0.0/download", c + "/downloads", c + "/1.0.0/downloads", c + "/owners", c + "/owner_user",
		c + "/owner_team", "/api/v1/crates/ACME_secret"}
	json := []string{"Accept", "application/json"} // an address instead of a redirect, and of a readme that is not there
	seen := func(who string, yes bool) {
		t.Helper()
		want, found := 404, "0"
		if yes {
			want, found = 200, "1"
		}
		for _, path := range reads {
			a := y.must(want, "GET", path, who, nil, json...)
			if like := y.call("GET", strings.NewReplacer("secret", "absent").Replace(path), who, nil); !yes && strings.ReplaceAll(like.body, "absent", "secret") != a.body {
				t.Errorf("%s: %q tells it from one that does not exist: %q", path, a.body, like.body)
			}
		}
		y.must(200, "GET", "/api/v1/crates?q=secret", who, nil).says(t, "meta.total="+found)
		y.must(200, "GET", "/api/v1/crates?keyword=hidden", who, nil).says(t, "meta.total="+found)
		summary := y.must(200, "GET", "/api/v1/summary", who, nil)
		if strings.Contains(summary.body, "acme-secret") != yes {
			t.Errorf("the summary: %s", summary.body)
		}
		if dependents := y.must(200, "GET", "/api/v1/crates/acme-core/reverse_dependencies", who, nil); strings.Contains(dependents.body, "acme-secret") != yes {
			t.Errorf("dependents: %s", dependents.body)
		}
		y.must(200, "GET", "/api/v1/keywords/core", who, nil).says(t, "keyword.crates_cnt=2") // those that everybody may see
	}
	seen(dora, true) // first, so that answers lie in memory
	for _, who := range []string{"", y.alice, rita, erin} {
		seen(who, false)
	}
	seen(y.admin, true)
	seen(dora, true)
	y.must(404, "GET", "/api/v1/keywords/hidden", "", nil)
	y.must(404, "GET", "/api/v1/categories/hidden-things", "", nil)
	for _, list := range []string{"keywords", "categories", "category_slugs"} {
		if a := y.must(200, "GET", "/api/v1/"+list, "", nil); strings.Contains(a.body, "hidden") {
			t.Errorf("%s: %s", list, a.body)
		}
	}

	// Nor do changes tell of it.
	for _, tt := range []struct {
		method, path string
		body         any
	}{
		{"PUT", c + "/owners", map[string]any{"users": []string{"alice"}}}, {"DELETE", c + "/owners", map[string]any{"users": []string{"dora"}}},
		{"DELETE", c + "/1.0.0/yank", nil}, {"PUT", c + "/1.0.0/unyank", nil}, {"GET", c + "/access", nil}, {"PUT", c + "/access", wire.SetAccess{Restricted: new(false)}},
	} {
		y.refused(404, "crate `acme-secret` does not exist", tt.method, tt.path, y.alice, tt.body)
	}
	y.refused(403, "is taken by a crate that you cannot see", "PUT", "/api/v1/crates/new", y.alice, y.upload(release{name: "acme-secret", version: "2.0.0"}))
	y.refused(400, "no known crate named `acme-secret`", "PUT", "/api/v1/crates/new", y.alice, y.upload(release{name: "spy", version: "1.0.0", deps: []dep{{name: "acme-secret", req: "^1"}}}))

	// Readers see it from the next request on, in person or in a group, and lose it as fast.
	set := func(token string, body wire.SetAccess) answer { return y.must(200, "PUT", c+"/access", token, body) }
	a := set(dora, wire.SetAccess{Readers: &[]string{"rita", "group:guests", "rita"}})
	a.says(t, "restricted=true", "readers.#=rita,group:guests")
	if !strings.Contains(a.body, "access.anonymousRead") {
		t.Errorf("a registry that is open does not warn: %s", a.body)
	}
	seen(rita, true)
	seen(erin, true)
	seen(y.alice, false)
	y.refused(403, "only owners of `acme-secret` may see its access list", "GET", c+"/access", rita, nil)
	y.refused(403, "lacks the right change-owners", "PUT", c+"/access", rita, wire.SetAccess{Restricted: new(false)})
	y.refused(403, "lacks the scope change-owners", "PUT", c+"/access", y.token("dora", []string{"yank"}), wire.SetAccess{Restricted: new(false)})
	y.refused(404, "user `nobody` does not exist", "PUT", c+"/access", dora, wire.SetAccess{Readers: &[]string{"nobody"}})
	y.must(200, "GET", c+"/access", dora, nil).says(t, "readers.#=rita,group:guests")
	y.must(200, "PATCH", "/api/v1/groups/guests", y.admin, wire.UpdateGroup{Members: []string{}})
	seen(erin, false)
	set(y.admin, wire.SetAccess{Readers: &[]string{}}).says(t, "restricted=true", "readers=[]")
	seen(rita, false)

	// Who may read it and publishes one of its name hears whose it is, and how it is spelled.
	set(dora, wire.SetAccess{Readers: &[]string{"alice"}})
	y.refused(403, "this crate exists and you don't own it", "PUT", "/api/v1/crates/new", y.alice, y.upload(release{name: "acme-secret", version: "2.0.0"}))
	y.refused(409, "crate was previously named `acme-secret`", "PUT", "/api/v1/crates/new", y.alice, y.upload(release{name: "Acme_Secret", version: "2.0.0"}))

	set(dora, wire.SetAccess{Restricted: new(false)}).says(t, "restricted=false", "warnings=missing")
	y.must(200, "GET", "/index/ac/me/acme-secret", "", nil)
	y.must(200, "GET", "/api/v1/crates/acme-core/reverse_dependencies", "", nil).says(t, "meta.total=3")
	y.must(200, "GET", "/api/v1/keywords/core", "", nil).says(t, "keyword.crates_cnt=3")
	set(dora, wire.SetAccess{Restricted: new(true)})
	seen("", false)
}

// A registry that asks for a token has no reason to warn, but of the history of its git index.
func TestRestrictedInPrivateRegistry(t *testing.T) {
	y := open(t, func(c *registry.Config) { c.Access.AnonymousRead, c.GitIndex = "Disabled", "Disabled" })
	y.release(y.alice, release{name: "mine", version: "1.0.0"})
	y.must(200, "PUT", "/api/v1/crates/mine/access", y.alice, wire.SetAccess{Restricted: new(true)}).says(t, "restricted=true", "warnings=missing")
	y.must(401, "GET", "/api/v1/crates/mine", "", nil)
	y.must(401, "GET", "/api/v1/summary", "", nil)
}

// What a crate was before it was restricted, or deleted, is in no history of the git index from then on.
func TestRestrictedCratesLeaveTheGitIndex(t *testing.T) {
	y := open(t, nil)
	y.release(y.alice, release{name: "open", version: "1.0.0"})
	y.release(y.alice, release{name: "acme-secret", version: "1.0.0"})
	y.release(y.alice, release{name: "acme-gone", version: "1.0.0"})
	git := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	says := func() string {
		t.Helper()
		dir := t.TempDir()
		git(dir, "clone", "-q", "--bare", y.url+"/git/index", ".")
		return git(dir, "log", "-p", "--format=%B", "--root")
	}
	if s := says(); !strings.Contains(s, "acme-secret") || !strings.Contains(s, "acme-gone") {
		t.Errorf("%s", s)
	}
	a := y.must(200, "PUT", "/api/v1/crates/acme-secret/access", y.alice, wire.SetAccess{Restricted: new(true)})
	if !strings.Contains(a.body, "the history of the git index begins anew without the crate") {
		t.Errorf("no word of what was fetched before: %s", a.body)
	}
	if s := says(); strings.Contains(s, "acme-secret") || !strings.Contains(s, "acme-gone") {
		t.Errorf("%s", s)
	}
	y.must(204, "DELETE", "/api/v1/crates/acme-gone", y.admin, nil)
	if s := says(); strings.Contains(s, "acme-") || !strings.Contains(s, `"name":"open"`) {
		t.Errorf("%s", s)
	}
}

// Each change leaves one record that says who made it, with what token, from where, and what was before and after.
func TestAudit(t *testing.T) {
	y := open(t, nil)
	begin := time.Now().Add(-time.Second)
	secrets := []string{y.admin, y.alice}
	y.release(y.alice, release{name: "demo", version: "1.0.0"})
	y.must(201, "POST", "/api/v1/users", y.admin, wire.CreateUser{Name: "bob", Role: "reader", Claims: []string{"b-*"}})
	y.must(200, "PATCH", "/api/v1/users/bob", y.admin, wire.UpdateUser{Role: new("publisher")})
	y.must(200, "PATCH", "/api/v1/users/bob", y.admin, wire.UpdateUser{Role: new("publisher")}) // no change, no record
	token := y.must(201, "POST", "/api/v1/tokens", y.admin, wire.CreateToken{User: "bob", Name: "ci", Scopes: []string{"yank"}})
	secrets = append(secrets, between(token.body, `"token":"`, `"`))
	y.must(201, "POST", "/api/v1/groups", y.admin, wire.CreateGroup{Name: "g", Members: []string{"bob"}})
	y.must(200, "PUT", "/api/v1/crates/demo/owners", y.alice, map[string]any{"users": []string{"group:g"}})
	y.must(200, "PATCH", "/api/v1/crates/demo/1.0.0", secrets[2], wire.UpdateVersion{Version: wire.VersionChange{Yanked: new(true), YankMessage: new("bad")}})
	y.must(200, "DELETE", "/api/v1/crates/demo/1.0.0/yank", y.alice, nil) // likewise
	y.must(200, "PUT", "/api/v1/crates/demo/1.0.0/unyank", y.alice, nil)
	y.must(200, "PUT", "/api/v1/crates/demo/access", y.alice, wire.SetAccess{Restricted: new(true), Readers: &[]string{"bob"}})
	y.must(200, "DELETE", "/api/v1/crates/demo/owners", y.alice, map[string]any{"users": []string{"group:g"}})
	y.must(204, "DELETE", "/api/v1/groups/g", y.admin, nil, "X-Forwarded-For", "203.0.113.9") // of nobody who is trusted
	y.must(204, "DELETE", "/api/v1/tokens/current", secrets[2], nil)
	y.must(204, "DELETE", "/api/v1/crates/demo/1.0.0", y.admin, nil)
	y.must(204, "DELETE", "/api/v1/crates/demo?message=over", y.admin, nil)
	y.must(200, "DELETE", "/api/v1/users/bob", y.admin, nil)
	y.must(403, "DELETE", "/api/v1/users/bob", y.alice, nil) // refused, no record

	lines := y.must(200, "GET", "/api/v1/audit?format=jsonl", y.admin, nil)
	var got []string
	var ids []int64
	for line := range strings.Lines(lines.body) {
		var r wire.AuditRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.At.Before(begin.Truncate(time.Second)) || r.At.After(time.Now().Add(time.Second)) || r.Actor != "crateyard" && (r.Address != "127.0.0.1" || r.TokenID == 0) {
			t.Errorf("record %+v", r)
		}
		what := strings.Trim(r.Crate+"@"+r.Version, "@") + r.Subject
		got = append(got, fmt.Sprintf("%s/%s %s %s %s → %s", r.Actor, r.Token, r.Action, what, r.Before, r.After))
		ids = append(ids, r.ID)
	}
	slices.Reverse(got)
	user := func(role string) string {
		return `{"claims":["b-*"],"groups":[],"role":"` + role + `","suspended":false}`
	}
	want := []string{
		`crateyard/ user.create admin  → {"claims":[],"groups":[],"role":"admin","suspended":false}`,
		`crateyard/ token.create admin/bootstrap  → {"crates":[],"expires_at":null,"id":1,"scopes":[]}`,
		`admin/bootstrap user.create alice  → {"claims":[],"groups":[],"role":"publisher","suspended":false}`,
		`admin/bootstrap token.create alice/test  → {"crates":[],"expires_at":null,"id":2,"scopes":[]}`,
		`alice/test crate.publish demo@1.0.0  → {"new":true,"sha256":"…","size":…}`,
		`admin/bootstrap user.create bob  → ` + user("reader"),
		`admin/bootstrap user.update bob ` + user("reader") + ` → ` + user("publisher"),
		`admin/bootstrap token.create bob/ci  → {"crates":[],"expires_at":null,"id":3,"scopes":["yank"]}`,
		`admin/bootstrap group.create g  → `,
		`admin/bootstrap group.update g {"members":[]} → {"members":["bob"]}`,
		`alice/test crate.owners demo {"owners":["alice"]} → {"owners":["alice","group:g"]}`,
		`bob/ci crate.yank demo@1.0.0 {"yanked":false} → {"yanked":true,"message":"bad"}`,
		`alice/test crate.unyank demo@1.0.0 {"yanked":true,"message":"bad"} → {"yanked":false}`,
		`alice/test crate.access demo {"readers":[],"restricted":false} → {"readers":["bob"],"restricted":true}`,
		`alice/test crate.owners demo {"owners":["alice","group:g"]} → {"owners":["alice"]}`,
		`admin/bootstrap group.delete g {"members":["bob"],"owns":[]} → `,
		`bob/ci token.delete bob/ci {"crates":[],"expires_at":null,"id":3,"scopes":["yank"]} → `,
		`admin/bootstrap version.delete demo@1.0.0 {"sha256":"…","yanked":false} → `,
		`admin/bootstrap crate.delete demo {"owners":["alice"],"versions":[]} → {"message":"over"}`,
		`admin/bootstrap user.delete bob ` + strings.Replace(user("publisher"), `"role"`, `"owns":[],"role"`, 1) + ` → `,
	}
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
			for name, end := range map[string]string{`"sha256":"`: `"`, `"size":`: "}"} {
				if value := between(g, name, end); value != "" {
					g = strings.Replace(g, name+value, name+"…", 1)
				}
			}
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("record %d is\n%s\nwant\n%s", i+1, g, w)
		}
	}
	for _, secret := range append(secrets, "cy_") {
		if strings.Contains(lines.body, secret) {
			t.Error("the audit holds a token")
		}
	}
	y.auditPages(ids)
	y.auditFilters(begin)
}

// auditPages reads the audit page by page and finds the same records.
func (y *yard) auditPages(ids []int64) {
	y.t.Helper()
	c := client.New(y.url, y.admin)
	var got []int64
	for before, pages := int64(0), 0; pages == 0 || before != 0; pages++ {
		page, err := c.Audit(y.t.Context(), client.AuditQuery{Limit: 3, Before: before})
		if err != nil || pages > len(ids) {
			y.t.Fatal(err)
		}
		for _, r := range page.Records {
			got = append(got, r.ID)
		}
		before = page.Next
	}
	if !slices.Equal(got, ids) {
		y.t.Errorf("pages have %v, lines %v", got, ids)
	}
	got = nil
	for r, err := range c.AuditLines(y.t.Context(), client.AuditQuery{Before: ids[1]}) {
		if err != nil {
			y.t.Fatal(err)
		}
		got = append(got, r.ID)
	}
	if !slices.Equal(got, ids[2:]) {
		y.t.Errorf("lines before %d: %v, want %v", ids[1], got, ids[2:])
	}
}

func (y *yard) auditFilters(begin time.Time) {
	y.t.Helper()
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	for query, want := range map[string]string{
		"user=bob":                                 "token.delete,crate.yank",
		"user=crateyard":                           "token.create,user.create",
		"crate=demo&user=admin":                    "crate.delete,version.delete",
		"action=crate.owners":                      "crate.owners,crate.owners",
		"subject=bob":                              "user.delete,user.update,user.create",
		"subject=bob/ci":                           "token.delete,token.create",
		"subject=g&action=group.update":            "group.update",
		"user=' OR 1=1":                            "",
		"user=nobody":                              "",
		"actor=bob":                                "token.delete,crate.yank",
		"actor=bob&format=json":                    "token.delete,crate.yank",
		"crate=DEMO&action=crate.yank":             "crate.yank",
		"version=1.0.0&action=crate.yank":          "crate.yank",
		"version=9.9.9":                            "",
		"token=no-such":                            "",
		"token_id=999999":                          "",
		"address=192.0.2.1":                        "",
		"address=127.0.0.1&actor=bob":              "token.delete,crate.yank",
		"until=" + at(begin.Add(-time.Hour)):       "",
		"since=" + at(time.Now().Add(2*time.Hour)): "",
		"crate=demo&action=crate.yank&since=" + at(begin.Add(-time.Minute)) + "&until=" + at(time.Now().Add(time.Hour)): "crate.yank",
	} {
		query = strings.ReplaceAll(query, " ", "+")
		y.must(200, "GET", "/api/v1/audit?"+query, y.admin, nil).says(y.t, "records.#.action="+want, "next=missing")
	}
	for query, want := range map[string]string{
		"since=yesterday": "since must be a time such as 2026-01-31T00:00:00Z", "until=2026-01-31": "until must be a time", "before_id=x": "before_id must be the number of a record",
		"before_id=-1": "before_id must be", "limit=0": "limit must be a number from 1 to 1000", "limit=1001": "limit must be a number from 1 to 1000",
		"snice=24h": `the audit does not know "snice"; it can be asked for actor, user, crate, version`, "User=bob": "does not know", "format=xml": "format must be json or jsonl",
		"token_id=x": "token_id must be the number of a token", "user=bob&user=alice": "user stands in the query 2 times", "actor=bob&user=bob": "say one of them",
		"action=crate.yanked": `there is no action "crate.yanked"; these are: crate.publish, crate.import, crate.yank,`, "user=%zz": "cannot be read", "format=jsonl&limit=0": "limit must be",
	} {
		y.refused(400, want, "GET", "/api/v1/audit?"+query, y.admin, nil)
	}
	y.refused(401, "needs a token", "GET", "/api/v1/audit", "", nil)
	y.refused(403, "lacks the right admin", "GET", "/api/v1/audit", y.alice, nil)
	y.refused(403, "lacks the scope admin", "GET", "/api/v1/audit", y.token("admin", []string{"read"}), nil)
	if a := y.must(200, "GET", "/api/v1/audit?format=jsonl&limit=2", y.admin, nil); strings.Count(a.body, "\n") != 2 {
		y.t.Errorf("not two lines: %s", a.body)
	}
	a := y.must(200, "GET", "/api/v1/audit", y.admin, nil, "Accept", "application/x-ndjson")
	if a.header.Get("Content-Type") != "application/x-ndjson" || a.header.Get("Cache-Control") != "no-store" {
		y.t.Errorf("headers of the lines: %v", a.header)
	}
}

// A token for some crates changes no others, by whichever way and in whichever spelling.
func TestCratePatternsOnChanges(t *testing.T) {
	y := open(t, nil)
	y.user(wire.CreateUser{Name: "bob", Role: "publisher"})
	y.release(y.alice, release{name: "acme-x", version: "1.0.0"})
	tokenFor := func(user string, pattern string) string {
		t.Helper()
		tok, err := client.New(y.url, y.admin).CreateToken(t.Context(), wire.CreateToken{User: user, Name: pattern, Crates: []string{pattern}})
		if err != nil {
			t.Fatal(err)
		}
		return tok.Secret
	}
	for _, name := range []string{"acme-x", "ACME_x"} {
		c := "/api/v1/crates/" + name
		for _, change := range []struct {
			method, path string
			body         any
		}{
			{"DELETE", c + "/1.0.0/yank", nil}, {"PUT", c + "/1.0.0/unyank", nil}, {"PATCH", c + "/1.0.0", map[string]any{"version": map[string]any{"yanked": false}}},
			{"PUT", c + "/owners", map[string]any{"users": []string{"bob"}}}, {"DELETE", c + "/owners", map[string]any{"users": []string{"bob"}}},
			{"PUT", c + "/access", wire.SetAccess{Restricted: new(false)}},
		} {
			y.refused(403, "this token is not for crate `acme-x`", change.method, change.path, tokenFor("alice", "other-*"), change.body)
			y.refused(403, "this token is not for crate `acme-x`", change.method, change.path, tokenFor("alice", "ACME*"), change.body)
			y.must(200, change.method, change.path, tokenFor("alice", "acme-*"), change.body)
		}
	}
	a := y.must(200, "GET", "/api/v1/audit?crate=acme-x&limit=1000", y.admin, nil)
	for action, n := range map[string]int{"crate.yank": 2, "crate.unyank": 2, "crate.owners": 4} {
		if got := strings.Count(a.body, `"`+action+`"`); got != n {
			t.Errorf("%d of %s under the crate's own name, want %d", got, action, n)
		}
	}
	y.refused(404, "crate `ACME_y` does not exist", "DELETE", "/api/v1/crates/ACME_y/1.0.0/yank", y.alice, nil)
}

// What few may read no shared cache may keep: neither in a registry that asks for a token, nor of a restricted crate.
func TestDownloadsThatAreNotPublic(t *testing.T) {
	const forever = ", max-age=31536000, immutable"
	get := func(y *yard, token, want string) {
		t.Helper()
		if a := y.must(200, "GET", "/crates/demo/1.0.0/download", token, nil); a.header.Get("Cache-Control") != want+forever {
			t.Errorf("%q; want %s", a.header.Get("Cache-Control"), want)
		}
	}
	y := open(t, func(c *registry.Config) { c.Access.AnonymousRead = "Disabled" })
	y.release(y.alice, release{name: "demo", version: "1.0.0"})
	get(y, y.alice, "private")
	y = open(t, nil)
	y.release(y.alice, release{name: "demo", version: "1.0.0"})
	get(y, "", "public")
	get(y, y.alice, "public")
	y.must(200, "PUT", "/api/v1/crates/demo/access", y.alice, wire.SetAccess{Restricted: new(true)})
	get(y, y.alice, "private")
}

// What goes with a user, a group or a token is in the audit, too: crates that lose an owner, and tokens that were made with the token.
func TestAuditOfWhatGoesAlong(t *testing.T) {
	y := open(t, nil)
	bob := y.user(wire.CreateUser{Name: "bob", Role: "publisher", Groups: []string{"g"}})
	for _, name := range []string{"two", "one"} {
		y.release(bob, release{name: name, version: "1.0.0"})
	}
	y.must(200, "PUT", "/api/v1/crates/one/owners", bob, map[string]any{"users": []string{"group:g", "alice"}})
	makeToken := func(token, name string) string {
		t.Helper()
		return between(y.must(200, "PUT", "/api/v1/me/tokens", token, map[string]any{"api_token": map[string]any{"name": name}}).body, `"token":"`, `"`)
	}
	makeToken(makeToken(makeToken(bob, "child"), "grandchild"), "last")
	y.must(204, "DELETE", "/api/v1/tokens/current", bob, nil)
	y.must(200, "GET", "/api/v1/audit?action=token.delete", y.admin, nil).says(t, "records.#.subject=bob/last,bob/grandchild,bob/child,bob/test", "records.#.actor=bob,bob,bob,bob")
	c := client.New(y.url, y.admin)
	if err := c.DeleteGroup(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteUser(t.Context(), "bob", true); err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]string{"group.delete": `"owns":["one"]`, "user.delete": `"owns":["one","two"]`} {
		if a := y.must(200, "GET", "/api/v1/audit?action="+action, y.admin, nil); !strings.Contains(a.body, want) {
			t.Errorf("%s: %s; want %s", action, a.body, want)
		}
	}
}
