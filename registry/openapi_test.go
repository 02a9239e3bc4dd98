package registry_test

import (
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/wire"
)

// Every operation that the API's description names is asked for once, and its answer is what the description says (see call).
func TestOpenAPIHoldsForEveryOperation(t *testing.T) {
	y := open(t, nil)
	dora := y.furnish()
	passing := y.token("dora", nil)
	c := "/api/v1/crates/acme-core"
	jsonOnly := []string{"Accept", "application/json"}
	owners := map[string]any{"users": []string{"dora", "group:platform"}}
	mine := map[string]any{"api_token": map[string]any{"name": "new", "endpoint_scopes": []string{"yank"}, "crate_scopes": []string{"acme-*"}, "expired_at": "2099-01-01T00:00:00Z"}}
	for _, tt := range []struct {
		method, path, token string
		body                any
		status              int
		headers             []string
	}{
		{"GET", "/index/config.json", "", nil, 200, nil},
		{"GET", "/index/ac/me/acme-core", "", nil, 200, nil},
		{"GET", "/index/ac/me/acme-none", "", nil, 404, nil},
		{"GET", "/crates/acme-core/1.0.0/download", "", nil, 200, nil},
		{"GET", "/crates/acme-core/1.0.0/download", "", nil, 206, []string{"Range", "bytes=0-9"}},
		{"GET", "/crates/acme-core/9.0.0/download", "", nil, 404, nil},
		{"GET", "/api/v1/crates?q=acme&sort=alpha&page=1&per_page=2", "", nil, 200, nil},
		{"GET", "/api/v1/crates", dora, nil, 200, nil},
		{"GET", "/api/v1/crates?sort=size", "", nil, 400, nil},
		{"GET", "/api/v1/crates?include_yanked=no", "", nil, 200, nil},
		{"GET", c, "", nil, 200, nil},
		{"GET", c + "?include=", "", nil, 200, nil},
		{"GET", c + "?include=default_version", "", nil, 200, nil},
		{"GET", c + "/versions?nums[]=1.0.0", "", nil, 200, nil},
		{"GET", c + "/1.0.0/downloads?before_date=2026-01-31", "", nil, 200, nil},
		{"GET", "/api/v1/keywords?sort=crates", "", nil, 200, nil},
		{"GET", "/api/v1/categories?sort=alpha", "", nil, 200, nil},
		{"GET", "/api/v1/crates/old", "", nil, 200, nil},
		{"GET", "/api/v1/crates/acme-secret", dora, nil, 200, nil},
		{"GET", "/api/v1/crates/acme-secret", "", nil, 404, nil},
		{"GET", c + "/versions?sort=date&page=1&per_page=2", "", nil, 200, nil},
		{"GET", c + "/1.0.0", "", nil, 200, nil},
		{"GET", c + "/1.0.0/authors", "", nil, 200, nil},
		{"GET", "/api/v1/crates/acme_http/0.1.0/dependencies", "", nil, 200, nil},
		{"GET", c + "/reverse_dependencies", "", nil, 200, nil},
		{"GET", c + "/1.0.0/readme", "", nil, 200, nil},
		{"GET", c + "/1.0.0/readme", "", nil, 200, jsonOnly},
		{"GET", "/api/v1/crates/acme_http/0.1.0/readme", "", nil, 200, nil},
		{"GET", c + "/1.0.0/download", "", nil, 302, nil},
		{"GET", c + "/1.0.0/download", "", nil, 200, jsonOnly},
		{"GET", c + "/downloads", "", nil, 200, nil},
		{"GET", c + "/1.0.0/downloads", "", nil, 200, nil},
		{"GET", "/api/v1/keywords", "", nil, 200, nil},
		{"GET", "/api/v1/keywords/parser", "", nil, 200, nil},
		{"GET", "/api/v1/categories", "", nil, 200, nil},
		{"GET", "/api/v1/categories/parsing", "", nil, 200, nil},
		{"GET", "/api/v1/category_slugs", "", nil, 200, nil},
		{"GET", "/api/v1/summary", "", nil, 200, nil},
		{"GET", "/api/openapi.json", "", nil, 200, nil},
		{"GET", "/api/v1/me", y.alice, nil, 200, nil},
		{"GET", "/api/v1/me", "", nil, 401, nil},
		{"PUT", c + "/owners", y.alice, owners, 200, nil},
		{"GET", c + "/owners", "", nil, 200, nil},
		{"GET", c + "/owner_user", "", nil, 200, nil},
		{"GET", c + "/owner_team", "", nil, 200, nil},
		{"DELETE", c + "/owners", y.alice, owners, 200, nil},
		{"PUT", c + "/owners", y.alice, map[string]any{"owners": []string{"dora"}}, 200, nil},
		{"DELETE", c + "/owners", y.alice, map[string]any{"owners": []string{"dora"}}, 200, nil},
		{"PUT", c + "/access", y.alice, wire.SetAccess{Restricted: new(true), Readers: &[]string{"group:platform"}}, 200, nil},
		{"GET", c + "/access", y.alice, nil, 200, nil},
		{"PUT", c + "/access", y.alice, wire.SetAccess{Restricted: new(false)}, 200, nil},
		{"DELETE", c + "/1.0.0/yank", y.alice, nil, 200, nil},
		{"PUT", c + "/1.0.0/unyank", y.alice, nil, 200, nil},
		{"PATCH", c + "/1.0.0", y.alice, wire.UpdateVersion{Version: wire.VersionChange{Yanked: new(true), YankMessage: new("no")}}, 200, nil},
		{"DELETE", c + "/1.0.0", y.admin, nil, 204, nil},
		{"DELETE", "/api/v1/crates/old?message=rubbish", y.admin, nil, 204, nil},
		{"PUT", "/api/v1/me/tokens", dora, mine, 200, nil},
		{"GET", "/api/v1/me/tokens", dora, nil, 200, nil},
		{"GET", "/api/v1/me/tokens/5", dora, nil, 200, nil},
		{"DELETE", "/api/v1/me/tokens/5", dora, nil, 200, nil},
		{"DELETE", "/api/v1/tokens/current", passing, nil, 204, nil},
		{"POST", "/api/v1/groups", y.admin, wire.CreateGroup{Name: "g", Members: []string{"alice"}}, 201, nil},
		{"POST", "/api/v1/groups", y.admin, wire.CreateGroup{Name: "g"}, 409, nil},
		{"GET", "/api/v1/groups", y.admin, nil, 200, nil},
		{"GET", "/api/v1/groups/g", y.admin, nil, 200, nil},
		{"PATCH", "/api/v1/groups/g", y.admin, wire.UpdateGroup{Members: []string{}}, 200, nil},
		{"DELETE", "/api/v1/groups/g", y.admin, nil, 204, nil},
		{"POST", "/api/v1/users", y.admin, wire.CreateUser{Name: "u", Role: "reader", Groups: []string{"g2"}, Claims: []string{"a-*"}}, 201, nil},
		{"GET", "/api/v1/users", y.admin, nil, 200, nil},
		{"GET", "/api/v1/users/u", y.admin, nil, 200, nil},
		{"PATCH", "/api/v1/users/u", y.admin, wire.UpdateUser{Suspended: new(true)}, 200, nil},
		{"POST", "/api/v1/tokens", y.admin, wire.CreateToken{User: "u", Name: "x", Scopes: []string{"read"}}, 201, nil},
		{"GET", "/api/v1/tokens?user=u", y.admin, nil, 200, nil},
		{"GET", "/api/v1/tokens", y.admin, nil, 200, nil},
		{"DELETE", "/api/v1/tokens/6", y.admin, nil, 204, nil},
		{"DELETE", "/api/v1/users/u?force=false", y.admin, nil, 200, nil},
		{"GET", "/api/v1/audit?limit=5&since=2020-01-01T00:00:00Z", y.admin, nil, 200, nil},
		{"GET", "/api/v1/audit", y.admin, nil, 200, []string{"Accept", "application/x-ndjson"}},
		{"GET", "/api/v1/audit?format=jsonl", y.admin, nil, 200, nil},
		{"GET", "/api/v1/audit", y.alice, nil, 403, nil},
		{"GET", "/api/v1/status", y.admin, nil, 200, nil},
		{"GET", "/api/v1/nothing", "", nil, 404, nil},
	} {
		if a := y.call(tt.method, tt.path, tt.token, tt.body, tt.headers...); a.status != tt.status {
			t.Errorf("%s %s: %d %s; want %d", tt.method, tt.path, a.status, clipped(a.body), tt.status)
		}
	}
	up := open(t, nil)
	up.ship("acme", "1.0.0")
	m := "/api/v1/mirrors/m"
	for _, tt := range []struct {
		method, path string
		body         any
		status       int
	}{
		{"PUT", m, wire.MirrorChange{Spec: wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + up.url + "/index/"}, Crates: []wire.MirrorCrate{{Name: "none"}}}, Token: new(up.admin)}, 200},
		{"PUT", m, wire.MirrorChange{Spec: wire.MirrorSpec{Mode: "Pined"}}, 400},
		{"PUT", m + "/lockfiles/app", "version = 4\n\n[[package]]\nname = \"acme\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n", 200},
		{"GET", "/api/v1/mirrors", nil, 200},
		{"POST", m + "/sync", nil, 202},
		{"GET", "/mirrors/m/config.json", nil, 200},
		{"GET", "/mirrors/m/ac/me/acme", nil, 200},
		{"GET", "/mirrors/m/crates/acme/1.0.0/download", nil, 200},
		{"GET", "/mirrors/m/crates/acme/9.0.0/download", nil, 404},
		{"POST", m + "/crates/acme/1.0.0", nil, 200},
		{"PUT", m + "/crates/acme/1.0.0", string(crateFile(t, "acme", "1.0.0")), 200},
		{"PUT", m + "/crates/acme/1.0.0", "other bytes", 400},
		{"GET", m + "/crates/acme", nil, 200},
		{"POST", m + "/policy", wire.MirrorPolicy{Deny: []string{"ac*"}}, 200},
		{"GET", m + "/bundle", nil, 200},
		{"DELETE", m + "/crates/acme", nil, 204},
		{"DELETE", m + "/lockfiles/app", nil, 204},
		{"GET", m, nil, 200},
		{"GET", "/api/v1/mirrors/none", nil, 404},
	} {
		a := y.call(tt.method, tt.path, y.admin, tt.body)
		if a.status != tt.status {
			t.Errorf("%s %s: %d %s; want %d", tt.method, tt.path, a.status, clipped(a.body), tt.status)
		}
		if strings.HasSuffix(tt.path, "/bundle") {
			if in := y.call("PUT", tt.path, y.admin, a.body); in.status != 200 {
				t.Errorf("import of the bundle: %d %s", in.status, in.body)
			}
		}
	}
	if a := y.call("DELETE", m, y.admin, nil); a.status != 204 {
		t.Errorf("delete the mirror: %d %s", a.status, a.body)
	}
	old := frame(metadata("imported", "1.0.0"), crateFile(t, "imported", "1.0.0"))
	if a := y.call("PUT", "/api/v1/import?yanked=true&published_at=2020-01-02T03:04:05Z", y.admin, old); a.status != 200 {
		t.Errorf("import: %d %s", a.status, a.body)
	}
	rules := y.contract()
	for path, item := range rules.doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !rules.seen[op.OperationID] {
				t.Errorf("nothing asked for %s %s with success", method, path)
			}
		}
	}
}

// The checks above can fail: answers that break the description are found.
func TestContractFindsWhatIsWrong(t *testing.T) {
	y := open(t, nil)
	header := map[string][]string{"Content-Type": {"application/json"}}
	for name, tt := range map[string]struct {
		method, path, sent string
		answer             answer
		want               string
	}{
		"unknown field":   {"GET", "/api/v1/crates/x/owners", "", answer{200, header, `{"users":[],"more":1}`}, "more"},
		"missing field":   {"GET", "/api/v1/crates/x/owners", "", answer{200, header, `{}`}, "users"},
		"deep":            {"GET", "/api/v1/crates/x/owners", "", answer{200, header, `{"users":[{"id":"1","login":"a","kind":"user","url":null,"name":null,"avatar":null}]}`}, "integer"},
		"null":            {"GET", "/api/v1/users", "", answer{200, header, `{"users":null}`}, "array"},
		"status":          {"GET", "/api/v1/users", "", answer{202, header, `{"users":[]}`}, "status 202"},
		"error shape":     {"GET", "/api/v1/users", "", answer{500, header, `{"error":"x"}`}, "errors"},
		"content type":    {"GET", "/api/v1/users", "", answer{200, nil, `{"users":[]}`}, "content of type"},
		"route":           {"GET", "/api/v1/unknown", "", answer{200, header, `{}`}, "no such operation"},
		"parameter":       {"GET", "/api/v1/users?x=1", "", answer{200, header, `{"users":[]}`}, "parameter x"},
		"body":            {"POST", "/api/v1/groups", `{"name":"g","x":1}`, answer{201, header, `{"id":1,"name":"g","members":[],"created_at":"2026-01-01T00:00:00Z"}`}, "x"},
		"time":            {"POST", "/api/v1/groups", `{"name":"g"}`, answer{201, header, `{"id":1,"name":"g","members":[],"created_at":"yesterday"}`}, "date-time"},
		"body of nothing": {"DELETE", "/api/v1/groups/g", "", answer{204, header, `{}`}, "body"},
	} {
		err := y.contract().check(tt.method, tt.path, []byte(tt.sent), tt.answer)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}

// The document names the address of the registry, says what is open, and is not sent twice.
func TestOpenAPIDocument(t *testing.T) {
	for _, tt := range []struct{ anonymous, security string }{{"Enabled", `[{},{"token":[]}]`}, {"Disabled", `[{"token":[]}]`}} {
		y := openIn(t, t.TempDir(), func(c *registry.Config) {
			c.Access.AnonymousRead, c.URL = tt.anonymous, "https://crates.example.com/prefix"
		})
		a := y.do("GET", "/prefix/api/openapi.json", "", nil)
		if a.status != 200 || a.header.Get("Content-Type") != "application/json" {
			t.Fatalf("%d %v", a.status, a.header)
		}
		a.says(t, "servers.#.url=https://crates.example.com/prefix", "security="+tt.security, "openapi=3.1.0")
		etag := a.header.Get("Etag")
		if again := y.do("GET", "/prefix/api/openapi.json", "", nil, "If-None-Match", etag); etag == "" || again.status != 304 || again.body != "" {
			t.Errorf("with ETag %s: %d %q", etag, again.status, clipped(again.body))
		}
	}
}
