package registry_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/wire"
)

// must makes a call (see contract_test.go) and expects a status.
func (y *yard) must(status int, method, path, token string, body any, headers ...string) answer {
	y.t.Helper()
	a := y.call(method, path, token, body, headers...)
	if a.status != status {
		y.t.Errorf("%s %s: %d %s; want %d", method, path, a.status, clipped(a.body), status)
	}
	return a
}

// in is the same server in a part of a test.
func (y *yard) in(t *testing.T) *yard {
	part := *y
	part.t = t
	return &part
}

// refused expects a failure of a status, with a text that holds want.
func (y *yard) refused(status int, want, method, path, token string, body any) {
	y.t.Helper()
	if a := y.must(status, method, path, token, body); a.status == status && !strings.Contains(a.detail(y.t), want) {
		y.t.Errorf("%s %s: %q lacks %q", method, path, a.detail(y.t), want)
	}
}

// The reads have crates.io's shapes and say what was published.
func TestCrateReads(t *testing.T) {
	y := open(t, nil)
	dora := y.furnish()
	for _, tt := range []struct {
		path, token string
		wants       []string
	}{
		{"crates/acme-core", "", []string{"crate.id=acme-core", "crate.max_version=2.0.0-beta.1", "crate.max_stable_version=1.1.0", "crate.default_version=1.1.0",
			"crate.newest_version=1.1.0", "crate.num_versions=3", "crate.yanked=false", "crate.description=The core of ACME", "crate.homepage=https://example.com",
			"crate.documentation=https://example.com/doc", "crate.repository=https://example.com/git", `crate.keywords=["core","parser"]`,
			`crate.categories=["parsing"]`, "versions.#.num=2.0.0-beta.1,1.1.0,1.0.0", "keywords.#.id=core,parser", "categories.#.slug=parsing",
			"crate.restricted=missing", "crate.trustpub_only=false", "versions.#.published_by.github_username_matches=false,false,false", "crate.links.owners=/api/v1/crates/acme-core/owners", "crate.recent_downloads=0"}},
		{"crates/old", "", []string{"crate.yanked=true", "crate.max_version=0.0.0", "crate.default_version=0.9.0", "crate.max_stable_version=null", "crate.description=null"}},
		{"crates/acme-core/versions", "", []string{"versions.#.num=2.0.0-beta.1,1.1.0,1.0.0", "meta.total=3"}},
		{"crates/acme-core/versions?sort=date", "", []string{"versions.#.num=1.1.0,2.0.0-beta.1,1.0.0"}},
		{"crates/acme-core/versions?per_page=2&page=1", "", []string{"versions.#.num=2.0.0-beta.1,1.1.0", "meta.total=3"}},
		{"crates/acme-core/versions?per_page=2&page=2", "", []string{"versions.#.num=1.0.0", "meta.total=3"}},
		{"crates/acme-core/versions?per_page=2&page=9", "", []string{"versions=[]", "meta.total=3"}},
		{"crates/acme-core?include=", "", []string{"versions=null", "keywords=null", "categories=null", "crate.versions=null", "crate.keywords=null", "crate.categories=null",
			"crate.recent_downloads=null", "crate.max_version=2.0.0-beta.1", "crate.max_stable_version=1.1.0", "crate.num_versions=3"}},
		{"crates/acme-core?include=default_version,keywords", "", []string{"versions.#.num=1.1.0", "keywords.#.id=core,parser", "crate.max_stable_version=1.1.0", "crate.versions=null", "categories=null"}},
		{"crates/acme-core?include=versions,downloads,badges", "", []string{"versions.#.num=2.0.0-beta.1,1.1.0,1.0.0", "crate.recent_downloads=0", "keywords=null"}},
		{"crates/acme-core?include=full", "", []string{"versions.#.num=2.0.0-beta.1,1.1.0,1.0.0", "categories.#.slug=parsing"}},
		{"crates/acme-core?include=version", "", []string{"errors.#.detail=include takes versions, keywords, categories, badges, downloads, default_version and full, with commas between them, not \"version\""}},
		{"crates/acme-core/versions?nums[]=1.0.0&nums[]=1.1.0&nums[]=7.0.0", "", []string{"versions.#.num=1.1.0,1.0.0", "meta.total=2"}},
		{"crates/acme-core/versions?per_page=1&nums[]=1.0.0&nums[]=1.1.0", "", []string{"versions.#.num=1.1.0", "meta.total=2"}},
		{"crates/acme-core/versions?per_page=1&seek=x", "", []string{"errors.#.detail=seek is not known here; pages are asked for by page and per_page, and meta.next_page names the next one"}},
		{"crates/acme-core/1.0.0/downloads?before_date=2026-02-30", "", []string{"errors.#.detail=before_date must be a day since 1970, as 2026-01-31, not \"2026-02-30\""}},
		{"crates/acme-core/1.0.0", "", []string{"version.num=1.0.0", "version.crate=acme-core", "version.license=MIT OR Apache-2.0", "version.rust_version=1.70",
			"version.yanked=false", "version.yank_message=null", "version.published_by.login=alice", "version.published_by.url=" + y.url + "/api/v1/crates?user_id=2", "version.published_by.kind=user", "version.lib_links=null",
			`version.features={"default":["std"],"std":[]}`, "version.dl_path=/api/v1/crates/acme-core/1.0.0/download", "version.links.authors=/api/v1/crates/acme-core/1.0.0/authors"}},
		{"crates/acme-core/1.0.0/authors", "", []string{"users=[]", "meta.names=[]"}},
		{"crates/acme-core/9.0.0/authors", "", []string{"errors.#.detail=crate `acme-core` has no version `9.0.0`"}},
		{"crates/acme_http/0.1.0/dependencies", "", []string{"dependencies.#.crate_id=acme-core,acme-core,serde,acme-core", "dependencies.#.kind=dev,normal,normal,normal",
			"dependencies.#.req=^1.1,^1,^1.0,^1", "dependencies.#.optional=false,true,false,false", "dependencies.#.target=null,null,null,cfg(windows)",
			"dependencies.#.registry=missing,missing," + cratesIOIndex + ",missing"}},
		{"crates/acme_http/0.1.0", "", []string{`version.features={"net":["dep:kernel"]}`}},
		{"crates/acme-core/reverse_dependencies", "", []string{"versions.#.crate=acme_http,new", "dependencies.#.kind=dev,normal,normal,normal", "meta.total=2"}},
		{"crates/acme-core/reverse_dependencies", dora, []string{"versions.#.crate=acme_http,acme-secret,new", "meta.total=3"}},
		{"crates/acme-core/reverse_dependencies?per_page=1&page=2", "", []string{"versions.#.crate=new", "meta.total=2"}},
		{"crates/serde/reverse_dependencies", "", []string{"errors.#.detail=crate `serde` does not exist"}},
		{"crates/acme-core/owners", "", []string{"users.#.login=alice"}},
		{"crates/acme-core/owner_user", "", []string{"users.#.login=alice", "users.#.kind=user"}},
		{"crates/acme-core/owner_team", "", []string{"teams=[]"}},
		{"crates/acme-core/downloads", "", []string{"version_downloads=[]"}},
		{"keywords", "", []string{"keywords.#.keyword=core,http,parser", "keywords.#.crates_cnt=2,1,1", "meta.total=3"}},
		{"keywords?per_page=1&page=2", "", []string{"keywords.#.id=http", "meta.total=3"}},
		{"keywords?sort=size", "", []string{"errors.#.detail=sort must be alpha or crates, not \"size\""}},
		{"categories?sort=size", "", []string{"errors.#.detail=sort must be alpha or crates, not \"size\""}},
		{"keywords/CORE", "", []string{"keyword.id=core", "keyword.crates_cnt=2"}},
		{"keywords/none", "", []string{"errors.#.detail=no crate has the keyword `none`"}},
		{"categories", "", []string{"categories.#.slug=parsing", "categories.#.category=Parsing tools", "categories.#.subcategories=missing", "meta.total=1"}},
		{"categories/Parsing", "", []string{"category.id=parsing", "category.category=Parsing tools", "category.description=Tools to write parsers with.", "category.crates_cnt=1",
			"category.subcategories=[]", "category.parent_categories=[]"}},
		{"categories/science::bioinformatics", "", []string{"category.category=Bioinformatics", "category.crates_cnt=0", "category.parent_categories.#.slug=science",
			"category.subcategories.#.category=Genomics,Proteomics,Sequence analysis"}},
		{"categories/science::bioinformatics::genomics", "", []string{"category.parent_categories.#.category=Science,Bioinformatics"}},
		{"categories/none", "", []string{"errors.#.detail=no crate has the category `none`"}},
		{"summary", "", []string{"new_crates.#.name=old,new,acme_http,acme-core", "popular_keywords.#.id=core,http,parser", "popular_categories.#.slug=parsing"}},
		{"me", y.alice, []string{"user.login=alice", "role=publisher", "owned_crates.#.name=acme-core,acme_http,new,old"}},

		// A crate may be named as cargo's address for publishing is.
		{"crates/new", "", []string{"crate.name=new", "versions.#.num=1.0.0"}},
		{"crates/new/1.0.0", "", []string{"version.crate=new"}},
		{"crates/new/owners", "", []string{"users.#.login=alice"}},

		// Reads find a crate in any spelling, and answer in its own.
		{"crates/ACME-Http", "", []string{"crate.name=acme_http"}},
		{"crates/acme-http/versions", "", []string{"versions.#.crate=acme_http"}},
		{"crates/acme-http/0.1.0", "", []string{"version.crate=acme_http"}},
		{"crates/acme-http/0.1.0/dependencies", "", []string{"dependencies.#.crate_id=acme-core,acme-core,serde,acme-core"}},
		{"crates/Acme_Core/reverse_dependencies", "", []string{"meta.total=2"}},
		{"crates/acme-http/owners", "", []string{"users.#.login=alice"}},
		{"crates/acme-http/0.1.0/downloads", "", []string{"version_downloads=[]"}},

		{"crates/acme-core/9.9.9", "", []string{"errors.#.detail=crate `acme-core` has no version `9.9.9`"}},
		{"crates/acme-core/1.0", "", []string{"errors.#.detail=crate `acme-core` has no version `1.0`"}},
		{"crates/none/versions", "", []string{"errors.#.detail=crate `none` does not exist"}},
		{"crates/acme-core/versions?sort=size", "", []string{`errors.#.detail=sort must be semver or date, not "size"`}},
		{"crates/acme-core/versions?per_page=101", "", []string{"errors.#.detail=per_page must be a number from 1 to 100"}},
		{"keywords?page=0", "", []string{"errors.#.detail=page must be a number from 1 to 1000000"}},
	} {
		t.Run(tt.path, func(t *testing.T) {
			y.in(t).call("GET", "/api/v1/"+tt.path, tt.token, nil).says(t, tt.wants...)
		})
	}
}

// A version tells who published, yanked and unyanked it, and when; nobody's address or token. Who is gone keeps the name and has no id.
func TestAuditActionsOfVersions(t *testing.T) {
	y := open(t, nil)
	const path = "/api/v1/crates/demo"
	actions := func(path, field string, wants ...string) {
		t.Helper()
		y.call("GET", path, "", nil).says(t, field+".audit_actions.#.action="+wants[0], field+".audit_actions.#.user.login="+wants[1], field+".audit_actions.#.user.id="+wants[2])
	}
	y.ship("demo", "1.0.0")
	y.ship("demo", "1.1.0")
	y.must(200, "DELETE", path+"/1.0.0/yank", y.admin, nil)
	y.must(200, "DELETE", path+"/1.0.0/yank", y.admin, nil) // changes nothing
	y.must(200, "PUT", path+"/1.0.0/unyank", y.alice, nil)
	y.must(200, "DELETE", "/api/v1/crates/Demo/1.1.0/yank", y.alice, nil)
	actions(path+"/1.0.0", "version", "publish,yank,unyank", "alice,admin,alice", "2,1,2")
	actions(path+"/1.1.0", "version", "publish,yank", "alice,alice", "2,2")
	for _, list := range []string{path, path + "/versions"} {
		y.call("GET", list, "", nil).says(t, `versions.#.audit_actions.#.action=publish,yank,publish,yank,unyank`)
	}
	a := y.call("GET", path+"/1.0.0", "", nil)
	if strings.Contains(a.body, "127.0.0.1\"") || strings.Contains(a.body, "token") {
		t.Error(a.body)
	}
	y.must(200, "DELETE", "/api/v1/users/alice?force=true", y.admin, nil)
	actions(path+"/1.0.0", "version", "publish,yank,unyank", "alice,admin,alice", "0,1,0")
}

// All categories of crates.io can be asked for, and those that crates here have besides.
func TestCategorySlugs(t *testing.T) {
	y := open(t, nil)
	y.publish(y.upload(release{name: "demo", version: "1.0.0", more: map[string]any{"categories": []string{"os::acme-apis", "parsing"}}}))
	a := y.call("GET", "/api/v1/category_slugs", "", nil)
	for _, part := range []string{`{"id":"parsing","slug":"parsing","description":"Tools to write parsers with."},`, `{"id":"os","slug":"os","description":"What`,
		`"slug":"os","description":"What an operating system offers, and operating systems themselves."},{"id":"os::acme-apis","slug":"os::acme-apis","description":""},{"id":"os::android-apis"`} {
		if !strings.Contains(a.body, part) {
			t.Errorf("%s is not in %s", part, clipped(a.body))
		}
	}
	if n := strings.Count(a.body, `"slug"`); n != 105 {
		t.Errorf("%d slugs", n)
	}
	y.call("GET", "/api/v1/categories/os::acme-apis", "", nil).says(t, "category.category=os::acme-apis", "category.crates_cnt=1", "category.parent_categories.#.category=Operating systems")
	y.call("GET", "/api/v1/categories/os", "", nil).says(t, "category.crates_cnt=1", "category.subcategories.#.crates_cnt=1,0,0,0,0,0,0")
}

func TestSearchCrates(t *testing.T) {
	y := open(t, nil)
	dora := y.furnish()
	id := between(y.must(200, "GET", "/api/v1/me", dora, nil).body, `"user":{"id":`, ",")
	for _, tt := range []struct {
		query, token string
		wants        []string
	}{
		{"sort=alpha", "", []string{"crates.#.name=acme-core,acme_http,new,old", "meta.total=4", "meta.next_page=null", "meta.prev_page=null"}},
		{"sort=alpha", dora, []string{"crates.#.name=acme-core,acme_http,acme-secret,new,old", "meta.total=5"}},
		{"sort=alpha&per_page=2", "", []string{"crates.#.name=acme-core,acme_http", "meta.next_page=?page=2&per_page=2&sort=alpha", "meta.prev_page=null"}},
		{"page=2&per_page=2&sort=alpha", "", []string{"crates.#.name=new,old", "meta.next_page=null", "meta.prev_page=?page=1&per_page=2&sort=alpha"}},
		{"page=9&sort=new", "", []string{"crates=[]", "meta.total=4"}},
		{"include_yanked=no", "", []string{"crates.#.name=acme-core,acme_http,new", "meta.total=3"}},
		{"include_yanked=yes&q=%20", "", []string{"crates.#.name=acme-core,acme_http,new,old", "meta.total=4"}},
		{"sort=new", "", []string{"crates.#.name=old,new,acme_http,acme-core"}},
		{"q=acme&sort=alpha", "", []string{"crates.#.name=acme-core,acme_http", "crates.#.exact_match=false,false"}},
		{"q=ACME_CORE", "", []string{"crates.#.name=acme-core,acme_http", "crates.#.exact_match=true,false"}},
		{"q=http+acme", "", []string{"crates.#.name=acme_http"}},
		{"q=kern", "", []string{"crates=[]", "meta.total=0"}},
		{"q=acme%28&sort=alpha", "", []string{"crates.#.name=acme-core,acme_http", "meta.total=2"}},
		{"q=%21acme%20%20http", "", []string{"crates.#.name=acme_http", "meta.total=1"}},
		{"q=%25", "", []string{"crates=[]", "meta.total=0", "meta.next_page=null"}},
		{"q=acme%00http", "", []string{"meta.total=1"}},
		{"q=acme%FF&per_page=1", "", []string{"meta.total=2", "meta.next_page=?page=2&per_page=1&q=acme%FF"}},
		{"q=%C3%9Cber%20%E6%97%A5%E6%9C%AC", "", []string{"meta.total=0"}},
		{"keyword=%00", "", []string{"meta.total=0"}},
		{"ids[]=%00&ids[]=acme-core", "", []string{"crates.#.name=acme-core"}},
		{"q=secret", "", []string{"meta.total=0"}},
		{"q=secret", dora, []string{"crates.#.name=acme-secret", "crates.#.restricted=true"}},
		{"q=secret", y.admin, []string{"meta.total=1"}},
		{"keyword=Core&sort=alpha", "", []string{"crates.#.name=acme-core,acme_http"}},
		{"keyword=hidden", "", []string{"meta.total=0"}},
		{"category=parsing::binary", "", []string{"meta.total=0"}},
		{"category=parsing", "", []string{"crates.#.name=acme-core", "crates.#.max_version=2.0.0-beta.1"}},
		{"letter=A&sort=alpha", "", []string{"crates.#.name=acme-core,acme_http"}},
		{"letter=n&q=new", "", []string{"crates.#.name=new"}},
		{"sort=alpha", "", []string{"crates.#.num_versions=3,1,1,1", "crates.#.yanked=false,false,false,true", "crates.#.max_version=2.0.0-beta.1,0.1.0,1.0.0,0.0.0",
			"crates.#.newest_version=1.1.0,0.1.0,1.0.0,0.9.0", "crates.#.max_stable_version=1.1.0,0.1.0,1.0.0,null", "crates.#.default_version=1.1.0,0.1.0,1.0.0,0.9.0",
			"crates.#.homepage=https://example.com,null,null,null", "crates.#.documentation=https://example.com/doc,null,null,null",
			"crates.#.repository=https://example.com/git,null,null,null"}},
		{"ids[]=ACME-core&ids[]=new&ids[]=none&ids[]=acme-secret&sort=alpha", "", []string{"crates.#.name=acme-core,new", "meta.total=2"}},
		{"all_keywords=core+HTTP", "", []string{"crates.#.name=acme_http"}},
		{"all_keywords=core&keyword=parser", "", []string{"crates.#.name=acme-core"}},
		{"all_keywords=a+b+c+d+e+f+g+h+i", "", []string{"errors.#.detail=a search takes at most 8 keywords and 100 ids[]"}},
		{"team_id=1", "", []string{"meta.total=0"}},
		{"following=1", "", []string{"errors.#.detail=following is not known here; crates cannot be followed"}},
		{"user_id=" + id, "", []string{"meta.total=0"}},
		{"user_id=" + id, dora, []string{"crates.#.name=acme-secret"}},

		// Whatever is asked for is text and nothing else.
		{"q=" + url.QueryEscape(`%_*"'();-- DROP TABLE crates`), "", []string{"meta.total=0"}},
		{"q=" + url.QueryEscape("\x00\xff'"), "", []string{"meta.total=0"}},
		{"q=" + url.QueryEscape("' OR 1=1 --"), "", []string{"meta.total=0"}},
		{"q=%25", "", []string{"meta.total=0"}},
		{"q=+++", "", []string{"meta.total=4"}},
		{"keyword=" + url.QueryEscape("core' OR '1'='1"), "", []string{"meta.total=0"}},
		{"letter=" + url.QueryEscape("\U0010FFFF"), "", []string{"meta.total=0"}},
		{"letter=%25", "", []string{"meta.total=0"}},
		{"q=" + strings.Join(strings.Split("abcdefghijklmnopq", ""), "+"), "", []string{"errors.#.detail=the search has 17 different words, the limit is 16"}},
		{"q=" + strings.Repeat("a", 201), "", []string{"errors.#.detail=the search text has 201 bytes, the limit is 200"}},
		{"sort=size;drop", "", []string{"meta.total=4"}}, // net/url drops such a parameter whole
		{"sort=" + url.QueryEscape("downloads, 1"), "", []string{`errors.#.detail=sort must be relevance, downloads, recent-downloads, recent-updates, new or alpha, not "downloads, 1"`}},
		{"page=0", "", []string{"errors.#.detail=page must be a number from 1 to 1000000"}},
		{"page=-1", "", []string{"errors.#.detail=page must be a number from 1 to 1000000"}},
		{"page=99999999999999999999", "", []string{"errors.#.detail=page must be a number from 1 to 1000000"}},
		{"per_page=0x10", "", []string{"errors.#.detail=per_page must be a number from 1 to 100"}},
		{"user_id=alice", "", []string{"errors.#.detail=user_id must be a number from 1 to 4294967295"}},
	} {
		t.Run(tt.query, func(t *testing.T) {
			y.in(t).call("GET", "/api/v1/crates?"+tt.query, tt.token, nil).says(t, tt.wants...)
		})
	}
	// Each sort has an order that does not fail.
	for _, sort := range []string{"relevance", "downloads", "recent-downloads", "recent-updates", "new", "alpha", "alphabetical"} {
		y.must(200, "GET", "/api/v1/crates?sort="+sort, "", nil).says(t, "meta.total=4")
	}
}

func between(s, before, after string) string {
	_, s, _ = strings.Cut(s, before)
	s, _, _ = strings.Cut(s, after)
	return s
}

func TestReadmes(t *testing.T) {
	y := open(t, nil)
	y.furnish()
	a := y.must(200, "GET", "/api/v1/crates/acme-core/1.0.0/readme", "", nil)
	for _, part := range []string{"<h1", "<b>bold</b>", `href="https://example.com/x"`, "<table>", `src="https://example.com/i.png"`} {
		if !strings.Contains(a.body, part) {
			t.Errorf("lacks %s:\n%s", part, a.body)
		}
	}
	for _, part := range []string{"<script", "alert", "onclick", "onerror", "javascript:", "data:", "<iframe", "evil.example"} {
		if strings.Contains(a.body, part) {
			t.Errorf("has %s:\n%s", part, a.body)
		}
	}
	for name, want := range map[string]string{"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff"} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "sandbox") {
		t.Errorf("Content-Security-Policy: %q", csp)
	}
	text := y.must(200, "GET", "/api/v1/crates/acme-http/0.1.0/readme", "", nil)
	if text.body != "just <b>text</b>" || text.header.Get("Content-Type") != "text/plain; charset=utf-8" || text.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a text file: %v %q", text.header, text.body)
	}
	y.must(200, "GET", "/api/v1/crates/acme-core/1.0.0/readme", "", nil, "Accept", "application/json").
		says(t, "url="+y.url+"/api/v1/crates/acme-core/1.0.0/readme")
	y.refused(404, "version `0.9.0` of crate `old` has no readme", "GET", "/api/v1/crates/old/0.9.0/readme", "", nil)
	y.refused(404, "does not exist", "GET", "/api/v1/crates/acme-secret/1.0.0/readme", "", nil)
}

// Downloads are counted by version and day, and lead to the archive.
func TestDownloadsAreCounted(t *testing.T) {
	y := open(t, nil)
	y.furnish()
	for _, num := range []string{"1.0.0", "1.1.0", "1.1.0"} {
		lead := y.must(302, "GET", "/api/v1/crates/Acme-Core/"+num+"/download", "", nil).header.Get("Location")
		path, ok := strings.CutPrefix(lead, y.url)
		if !ok || path != "/crates/acme-core/"+num+"/download" {
			t.Fatalf("leads to %q", lead)
		}
		y.must(200, "GET", path, "", nil)
	}
	y.must(206, "GET", "/crates/acme-core/1.0.0/download", "", nil, "Range", "bytes=0-1") // a part is no download
	if err := y.stop(); err != nil {                                                      // writes the counts
		t.Fatal(err)
	}
	z := openIn(t, y.data, nil)
	a := z.must(200, "GET", "/api/v1/crates/acme-core/downloads", "", nil)
	a.says(t, "version_downloads.#.downloads=1,2")
	if strings.Count(a.body, `"date":"20`) != 2 {
		t.Error(a.body)
	}
	z.must(200, "GET", "/api/v1/crates/acme-core/1.1.0/downloads", "", nil).says(t, "version_downloads.#.downloads=2")
	z.must(200, "GET", "/api/v1/crates/acme-core/1.1.0/downloads?before_date=2020-01-31", "", nil).says(t, "version_downloads=[]")
	z.must(200, "GET", "/api/v1/crates/acme-core", "", nil).says(t, "crate.downloads=3", "crate.recent_downloads=3", "versions.#.downloads=0,2,1")
	z.must(200, "GET", "/api/v1/summary", "", nil).says(t, "num_downloads=3", "most_downloaded.#.downloads=3,0,0,0")
	z.must(200, "GET", "/api/v1/crates?sort=recent-downloads&per_page=1", "", nil).says(t, "crates.#.name=acme-core")
	z.must(200, "GET", "/api/v1/crates/acme-core/reverse_dependencies?per_page=1", "", nil).says(t, "dependencies.#.downloads=0,0,0")
	z.must(200, "PUT", "/api/v1/crates/acme-core/access", y.alice, wire.SetAccess{Restricted: new(true)})
	z.must(200, "GET", "/api/v1/summary", "", nil).says(t, "num_downloads=0")
	z.must(200, "GET", "/api/v1/summary", y.alice, nil).says(t, "num_downloads=3")
}

func TestYankWithMessage(t *testing.T) {
	y := open(t, nil)
	dora := y.furnish()
	at := "/api/v1/crates/acme-core/1.0.0"
	patch := func(yanked *bool, message *string) wire.UpdateVersion {
		return wire.UpdateVersion{Version: wire.VersionChange{Yanked: yanked, YankMessage: message}}
	}
	indexSays := func(yanked bool) {
		t.Helper()
		line, _, _ := strings.Cut(y.must(200, "GET", "/index/ac/me/acme-core", "", nil).body, "\n")
		if !strings.Contains(line, fmt.Sprintf(`"yanked":%v`, yanked)) {
			t.Errorf("the index says %s", line)
		}
	}
	y.refused(400, "a version that is not yanked has no yank_message", "PATCH", at, y.alice, patch(nil, new("why")))
	y.refused(400, "a version that is not yanked has no yank_message", "PATCH", at, y.alice, patch(new(false), new("why")))
	y.refused(400, "the limit is 1000", "PATCH", at, y.alice, patch(new(true), new(strings.Repeat("x", 1001))))
	y.refused(400, "unknown field", "PATCH", at, y.alice, `{"version":{"yank":true}}`)
	y.refused(403, "only owners of `acme-core`", "PATCH", at, dora, patch(new(true), nil))
	y.refused(401, "needs a token", "PATCH", at, "", patch(new(true), nil))
	y.refused(404, "no version `9.0.0`", "PATCH", "/api/v1/crates/acme-core/9.0.0", y.alice, patch(new(true), nil))
	y.refused(404, "crate `none` does not exist", "PATCH", "/api/v1/crates/none/1.0.0", y.alice, patch(new(true), nil))
	y.refused(404, "crate `acme-secret` does not exist", "PATCH", "/api/v1/crates/acme-secret/1.0.0", y.alice, patch(new(true), nil))
	indexSays(false)

	y.must(200, "PATCH", at, y.alice, patch(new(true), new("loses <data>"))).says(t, "version.yanked=true", "version.yank_message=loses <data>")
	indexSays(true)
	y.must(200, "PATCH", at, y.alice, patch(nil, new("use 1.1.0"))).says(t, "version.yanked=true", "version.yank_message=use 1.1.0")
	y.must(200, "DELETE", at+"/yank", y.alice, nil) // cargo's yank says no more, and leaves the message
	y.must(200, "GET", at, "", nil).says(t, "version.yank_message=use 1.1.0")
	y.must(200, "PATCH", at, y.admin, patch(new(false), nil)).says(t, "version.yanked=false", "version.yank_message=null")
	indexSays(false)
	y.must(200, "GET", "/api/v1/crates/acme-core", "", nil).says(t, "versions.#.yanked=false,false,false")
}
