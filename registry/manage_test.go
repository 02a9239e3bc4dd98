package registry_test

import (
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// A deleted version is gone everywhere, also where it was just served from memory, and its number is never used again.
func TestDeleteVersion(t *testing.T) {
	y := open(t, nil)
	y.furnish()
	at := "/api/v1/crates/acme-core/1.1.0"
	gone := []string{"/crates/acme-core/1.1.0/download", at, at + "/dependencies", at + "/readme", at + "/download", at + "/downloads"}
	for _, path := range gone {
		y.call("GET", path, "", nil)
	}
	before := y.must(200, "GET", "/index/ac/me/acme-core", "", nil)
	y.refused(403, "lacks the right admin", "DELETE", at, y.alice, nil)
	y.refused(403, "lacks the scope admin", "DELETE", at, y.token("admin", []string{"yank", "publish-update"}), nil)
	y.refused(401, "needs a token", "DELETE", at, "", nil)
	y.must(204, "DELETE", at, y.admin, nil)
	for _, path := range gone {
		y.must(404, "GET", path, "", nil)
	}
	after := y.must(200, "GET", "/index/ac/me/acme-core", "", nil)
	if !strings.Contains(before.body, `"vers":"1.1.0"`) || strings.Contains(after.body, `"vers":"1.1.0"`) || strings.Count(after.body, "\n") != 2 ||
		before.header.Get("Etag") == after.header.Get("Etag") {
		t.Errorf("index before\n%s\nand after\n%s", before.body, after.body)
	}
	y.must(200, "GET", "/api/v1/crates/acme-core", "", nil).says(t, "versions.#.num=2.0.0-beta.1,1.0.0", "crate.max_stable_version=1.0.0", "crate.num_versions=2")
	y.refused(404, "no version `1.1.0`", "DELETE", at, y.admin, nil)
	y.refused(404, "no version `1.1.0`", "PATCH", at, y.alice, wire.UpdateVersion{Version: wire.VersionChange{Yanked: new(true)}})
	for _, num := range []string{"1.1.0", "1.1.0+again"} {
		y.refused(409, "crate version `acme-core@1.1.0` was deleted, and a version number is never used twice: raise the version", "PUT", "/api/v1/crates/new", y.alice,
			y.upload(release{name: "acme-core", version: num}))
	}
	y.release(y.alice, release{name: "acme-core", version: "1.1.1"})

	// Without a version left, a crate stays its owners'.
	y.must(204, "DELETE", "/api/v1/crates/old/0.9.0", y.admin, nil)
	y.must(404, "GET", "/index/3/o/old", "", nil)
	y.must(200, "GET", "/api/v1/crates/old", "", nil).says(t, "versions=[]", "crate.num_versions=0")
	y.must(200, "GET", "/api/v1/crates?q=old", "", nil).says(t, "meta.total=0")
	y.release(y.alice, release{name: "old", version: "1.0.0"})
	y.must(200, "GET", "/index/3/o/old", "", nil)
	y.must(200, "GET", "/api/v1/crates?q=old", "", nil).says(t, "meta.total=1")
}

// So is a deleted crate, whose name is nobody's for a while.
func TestDeleteCrate(t *testing.T) {
	y := open(t, nil)
	dora := y.furnish()
	c := "/api/v1/crates/acme_http"
	gone := []string{"/index/ac/me/acme_http", "/crates/acme_http/0.1.0/download", c, c + "/versions", c + "/0.1.0", c + "/0.1.0/readme", c + "/owners",
		c + "/downloads", c + "/reverse_dependencies", "/api/v1/crates/acme-http", "/api/v1/keywords/http"}
	for _, path := range gone {
		y.must(200, "GET", path, "", nil)
	}
	y.refused(403, "lacks the right admin", "DELETE", c, y.alice, nil)
	y.refused(400, "the limit is 1000", "DELETE", c+"?message="+strings.Repeat("x", 1001), y.admin, nil)
	y.refused(404, "does not exist", "DELETE", "/api/v1/crates/acme-htt", y.admin, nil)
	y.must(204, "DELETE", "/api/v1/crates/ACME-http?message=by+mistake", y.admin, nil)
	for _, path := range gone {
		y.must(404, "GET", path, "", nil)
	}
	y.must(404, "GET", c+"/access", y.admin, nil)
	y.refused(404, "crate `acme_http` does not exist", "DELETE", c, y.admin, nil)
	y.refused(404, "crate `acme_http` does not exist", "PUT", c+"/owners", y.alice, map[string]any{"users": []string{"dora"}})
	y.must(200, "GET", "/api/v1/crates?q=http", "", nil).says(t, "meta.total=0")
	y.must(200, "GET", "/api/v1/keywords", "", nil).says(t, "keywords.#.keyword=core,parser", "keywords.#.crates_cnt=1,1")
	y.must(200, "GET", "/api/v1/crates/acme-core/reverse_dependencies", "", nil).says(t, "versions.#.crate=new")
	y.must(200, "GET", "/api/v1/me", y.alice, nil).says(t, "owned_crates.#.name=acme-core,new,old")
	for _, who := range []string{y.alice, dora, y.admin} {
		for _, name := range []string{"acme_http", "acme-http", "ACME_http"} {
			y.refused(409, "was deleted; the name can be used again from 20", "PUT", "/api/v1/crates/new", who,
				y.upload(release{name: name, version: "9.0.0"}))
		}
	}
}

// Who holds a token can make others that do no more, and revoke its own.
func TestMyTokens(t *testing.T) {
	y := open(t, nil)
	make1 := func(token string, scopes, crates []string, until any) answer {
		return y.call("PUT", "/api/v1/me/tokens", token, map[string]any{"api_token": map[string]any{"name": "made", "endpoint_scopes": scopes, "crate_scopes": crates, "expired_at": until}})
	}
	narrow := make1(y.alice, []string{"yank", "publish-update"}, []string{"acme-*"}, "2099-01-01T00:00:00Z")
	narrow.says(t, "api_token.name=made", "api_token.endpoint_scopes.#=yank,publish-update", "api_token.crate_scopes.#=acme-*", "api_token.expired_at=2099-01-01T00:00:00Z")
	secret := between(narrow.body, `"token":"`, `"`)
	if narrow.header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(secret, "cy_") {
		t.Fatalf("%v %s", narrow.header, narrow.body)
	}
	for name, tt := range map[string]struct {
		scopes, crates []string
		until          any
		status         int
		want           string
	}{
		"the same":         {[]string{"yank", "publish-update"}, []string{"acme-*"}, "2099-01-01T00:00:00Z", 200, ""},
		"narrower":         {[]string{"yank"}, []string{"acme-core", "acme-x-*"}, "2098-01-01T00:00:00Z", 200, ""},
		"all scopes":       {nil, []string{"acme-*"}, "2098-01-01T00:00:00Z", 403, "has the scopes"},
		"another scope":    {[]string{"yank", "publish-new"}, []string{"acme-*"}, "2098-01-01T00:00:00Z", 403, "has the scopes"},
		"admin":            {[]string{"admin"}, []string{"acme-*"}, "2098-01-01T00:00:00Z", 403, "has the scopes"},
		"all crates":       {[]string{"yank"}, nil, "2098-01-01T00:00:00Z", 403, "is for the crates"},
		"wider pattern":    {[]string{"yank"}, []string{"acme*"}, "2098-01-01T00:00:00Z", 403, "is for the crates"},
		"widest pattern":   {[]string{"yank"}, []string{"acme-x", "*"}, "2098-01-01T00:00:00Z", 403, "is for the crates"},
		"longer":           {[]string{"yank"}, []string{"acme-*"}, "2099-01-01T00:00:01Z", 403, "must not live longer"},
		"for ever":         {[]string{"yank"}, []string{"acme-*"}, nil, 403, "must not live longer"},
		"ended already":    {[]string{"yank"}, []string{"acme-*"}, "2020-01-01T00:00:00Z", 400, "is in the past"},
		"scope of nothing": {[]string{"fly"}, []string{"acme-*"}, "2098-01-01T00:00:00Z", 403, "has the scopes"},
	} {
		a := make1(secret, tt.scopes, tt.crates, tt.until)
		if a.status != tt.status || tt.want != "" && !strings.Contains(a.detail(t), tt.want) {
			t.Errorf("%s: %d %s; want %d %q", name, a.status, a.body, tt.status, tt.want)
		}
	}
	y.refused(400, "a token needs a name", "PUT", "/api/v1/me/tokens", y.alice, `{"api_token":{"name":""}}`)
	y.refused(400, "unknown scope", "PUT", "/api/v1/me/tokens", y.alice, `{"api_token":{"name":"x","endpoint_scopes":["fly"]}}`)
	y.refused(400, "unknown field", "PUT", "/api/v1/me/tokens", y.alice, `{"api_token":{"name":"x","scopes":["yank"]}}`) // would widen it
	y.refused(403, "", "POST", "/api/v1/tokens", y.alice, wire.CreateToken{User: "alice", Name: "x"})

	list := y.must(200, "GET", "/api/v1/me/tokens", y.alice, nil)
	list.says(t, "api_tokens.#.name=test,made,made,made", "api_tokens.#.token=missing,missing,missing,missing")
	if strings.Contains(list.body, "cy_") {
		t.Errorf("a list holds a token: %s", list.body)
	}
	id := between(narrow.body, `"id":`, ",")
	y.must(200, "GET", "/api/v1/me/tokens/"+id, y.alice, nil).says(t, "api_token.id="+id)
	other := y.user(wire.CreateUser{Name: "otto", Role: "publisher"})
	y.refused(404, "you have no token", "GET", "/api/v1/me/tokens/"+id, other, nil)
	y.refused(404, "no token "+id, "DELETE", "/api/v1/me/tokens/"+id, other, nil)
	y.must(200, "GET", "/api/v1/me", secret, nil).says(t, "user.login=alice")

	// Revoked is revoked at once, though it was just believed.
	y.must(204, "DELETE", "/api/v1/tokens/current", secret, nil)
	y.refused(401, "not known here", "GET", "/api/v1/me", secret, nil)
	y.refused(404, "no token "+id, "DELETE", "/api/v1/me/tokens/"+id, y.alice, nil)
	y.must(200, "GET", "/api/v1/me/tokens", y.alice, nil).says(t, "api_tokens.#.name=test") // those that it had made went with it
	again := make1(y.alice, nil, nil, nil)
	y.must(200, "DELETE", "/api/v1/me/tokens/"+between(again.body, `"id":`, ","), y.alice, nil)

	// The token of the start stays, whoever asks in whatever way.
	y.refused(403, "the token that the server was started with cannot revoke itself", "DELETE", "/api/v1/tokens/current", y.admin, nil)
	y.refused(404, "no token 1 ", "DELETE", "/api/v1/me/tokens/1", y.admin, nil)
	y.refused(404, "no token 1 ", "DELETE", "/api/v1/tokens/1", y.admin, nil)
	y.refused(400, "give this one another name", "PUT", "/api/v1/me/tokens", y.admin, `{"api_token":{"name":"bootstrap"}}`)
	second := y.token("admin", nil)
	y.must(204, "DELETE", "/api/v1/tokens/current", second, nil)
	y.must(200, "GET", "/api/v1/status", y.admin, nil)
}

// A group owns a crate for its members: they publish and yank, and do not choose owners.
func TestGroupsOwnCrates(t *testing.T) {
	y := open(t, nil)
	dora := y.furnish()
	c := "/api/v1/crates/acme-core"
	names := func(logins ...string) map[string]any { return map[string]any{"users": logins} }

	y.must(201, "POST", "/api/v1/groups", y.admin, wire.CreateGroup{Name: "release", Members: []string{"dora", "alice", "dora"}}).says(t, "name=release", "members.#=alice,dora")
	y.must(200, "GET", "/api/v1/groups", y.admin, nil).says(t, "groups.#.name=platform,release", `groups.#.members=["dora"],["alice","dora"]`)
	y.must(200, "PATCH", "/api/v1/groups/release", y.admin, wire.UpdateGroup{Members: []string{"alice"}}).says(t, "members.#=alice")
	y.must(200, "GET", "/api/v1/groups/release", y.admin, nil).says(t, "members.#=alice")
	y.must(200, "GET", "/api/v1/users/alice", y.admin, nil).says(t, "groups.#=release")
	for _, tt := range []struct {
		status             int
		want, method, path string
		body               any
	}{
		{409, "group `release` exists already", "POST", "", wire.CreateGroup{Name: "release"}},
		{400, `invalid group name "../x"`, "POST", "", wire.CreateGroup{Name: "../x"}},
		{400, `invalid group name ""`, "POST", "", wire.CreateGroup{}},
		{404, "user `nobody` does not exist", "POST", "", wire.CreateGroup{Name: "other", Members: []string{"nobody"}}},
		{404, "user `nobody` does not exist", "PATCH", "/release", wire.UpdateGroup{Members: []string{"nobody"}}},
		{400, "name the members", "PATCH", "/release", `{}`},
		{400, "unknown field", "PATCH", "/release", `{"member":["alice"]}`},
		{400, "at most 1000 members, not 1001", "PATCH", "/release", wire.UpdateGroup{Members: make([]string, 1001)}},
		{404, "group `none` does not exist", "PATCH", "/none", wire.UpdateGroup{Members: []string{}}},
		{404, "group `none` does not exist", "GET", "/none", nil},
		{404, "group `none` does not exist", "DELETE", "/none", nil},
	} {
		y.refused(tt.status, tt.want, tt.method, "/api/v1/groups"+tt.path, y.admin, tt.body)
		y.must(403, tt.method, "/api/v1/groups"+tt.path, y.alice, tt.body)
		y.must(401, tt.method, "/api/v1/groups"+tt.path, "", tt.body)
	}
	y.must(404, "GET", "/api/v1/groups/other", y.admin, nil) // all or nothing

	y.refused(403, "you don't own it", "PUT", "/api/v1/crates/new", dora, y.upload(release{name: "acme-core", version: "3.0.0"}))
	y.refused(400, "users and owners are the same; say one of them", "PUT", c+"/owners", y.alice, map[string]any{"users": []string{"dora"}, "owners": []string{"dora"}})
	y.refused(404, "the group of that name is `group:platform`", "PUT", c+"/owners", y.alice, names("platform"))
	y.refused(404, "group `none` does not exist", "PUT", c+"/owners", y.alice, names("group:none"))
	y.must(200, "PUT", c+"/owners", y.alice, names("group:platform")).says(t, "ok=true", "msg=group:platform added as an owner of crate acme-core")
	y.refused(409, "already an owner", "PUT", c+"/owners", y.alice, names("group:platform"))
	y.must(200, "GET", c+"/owners", "", nil).says(t, "users.#.login=alice,group:platform", "users.#.kind=user,team")
	y.must(200, "GET", c+"/owner_team", "", nil).says(t, "teams.#.login=group:platform")
	y.must(200, "GET", c+"/owner_user", "", nil).says(t, "users.#.login=alice")
	y.release(dora, release{name: "acme-core", version: "3.0.0"})
	y.must(200, "DELETE", c+"/3.0.0/yank", dora, nil)
	y.refused(403, "only owners in person", "PUT", c+"/owners", dora, names("dora"))
	y.refused(403, "only owners in person", "DELETE", c+"/owners", dora, names("alice"))
	y.refused(403, "only owners in person", "PUT", c+"/access", dora, wire.SetAccess{Restricted: new(true)})
	y.refused(400, "cannot remove all individual owners", "DELETE", c+"/owners", y.alice, names("alice"))
	y.refused(400, "`dora` is not an owner", "DELETE", c+"/owners", y.alice, names("dora"))

	// Who leaves the group has lost its rights at once.
	y.must(200, "PATCH", "/api/v1/users/dora", y.admin, wire.UpdateUser{Groups: &[]string{"release"}}).says(t, "groups.#=release")
	y.must(200, "GET", "/api/v1/groups/platform", y.admin, nil).says(t, "members=[]")
	y.refused(403, "you don't own it", "PUT", "/api/v1/crates/new", dora, y.upload(release{name: "acme-core", version: "3.0.1"}))

	// The last owner of a crate cannot go unless it is an admin who deletes the user.
	for _, query := range []string{"", "?force=false"} {
		y.refused(409, "user `alice` is the last individual owner of crates `acme-core`, `acme_http`, `new` and 1 more; add another owner first, or delete the user with force=true (crateyard user delete --force)",
			"DELETE", "/api/v1/users/alice"+query, y.admin, nil)
	}
	y.refused(400, "force must be true or false", "DELETE", "/api/v1/users/alice?force=yes", y.admin, nil)
	y.must(200, "GET", "/api/v1/me", y.alice, nil) // nothing of it was done
	y.must(200, "DELETE", "/api/v1/users/alice?force=true", y.admin, nil).says(t, "ownerless_crates.#=acme-core,acme_http,new,old")
	y.refused(409, "group `platform` is the only owner of crate `acme-core`", "DELETE", "/api/v1/groups/platform", y.admin, nil)
	y.refused(400, "cannot remove the last owner", "DELETE", c+"/owners", y.admin, names("group:platform"))
	y.must(200, "PUT", c+"/owners", y.admin, names("dora"))
	y.must(204, "DELETE", "/api/v1/groups/platform", y.admin, nil)
	y.must(200, "GET", c+"/owners", "", nil).says(t, "users.#.login=dora")
	y.must(200, "GET", c+"/1.0.0", "", nil).says(t, "version.published_by=null")
}

// Claims bound the names of new crates, not what a user owns already.
func TestClaims(t *testing.T) {
	y := open(t, nil)
	y.furnish()
	carol := y.user(wire.CreateUser{Name: "carol", Role: "publisher", Groups: []string{"made-here"}, Claims: []string{"acme-*", "tool"}})
	y.must(200, "GET", "/api/v1/users/carol", y.admin, nil).says(t, "claims.#=acme-*,tool", "groups.#=made-here", "role=publisher", "suspended=false")
	y.must(200, "GET", "/api/v1/groups/made-here", y.admin, nil).says(t, "members.#=carol")
	y.release(carol, release{name: "acme-carol", version: "1.0.0"})
	y.release(carol, release{name: "tool", version: "1.0.0"})
	for _, name := range []string{"tools", "acme", "acme_x", "ACME-x"} {
		y.refused(403, "user `carol` may make new crates only under the names acme-*, tool; ask an administrator", "PUT", "/api/v1/crates/new", carol,
			y.upload(release{name: name, version: "1.0.0"}))
	}
	y.must(200, "PUT", "/api/v1/crates/old/owners", y.alice, map[string]any{"users": []string{"carol"}})
	y.release(carol, release{name: "old", version: "1.0.0"})
	y.must(200, "PATCH", "/api/v1/users/carol", y.admin, wire.UpdateUser{Claims: &[]string{}}).says(t, "claims=[]", "groups.#=made-here")
	y.release(carol, release{name: "anything", version: "1.0.0"})

	for _, body := range []any{wire.CreateUser{Name: "x", Role: "publisher", Claims: []string{"a*b"}}, wire.CreateUser{Name: "x", Role: "publisher", Claims: []string{""}},
		wire.CreateUser{Name: "x", Role: "publisher", Groups: []string{"a b"}}, wire.CreateUser{Name: "x", Role: "publisher", Groups: make([]string, 101)},
		wire.CreateUser{Name: "x", Role: "owner"}, wire.CreateUser{Name: "x y", Role: "reader"}, `{"name":"x","role":"reader","claim":["a"]}`} {
		y.must(400, "POST", "/api/v1/users", y.admin, body)
	}
	if _, err := client.New(y.url, y.admin).User(t.Context(), "x"); !client.IsNotFound(err) {
		t.Errorf("a user was made all the same: %v", err)
	}
}
