package registry_test

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

const cratesIOIndex = "https://github.com/rust-lang/crates.io-index"

// release is a version to publish; its metadata and its manifest say the same, as cargo has it.
type release struct {
	name, version string
	deps          []dep
	features      map[string][]string
	more          map[string]any // of the metadata, such as description
}

// dep is a dependency; alias is what the manifest calls it, where that is another name.
type dep struct {
	name, alias, req, kind, target, registry string
	optional                                 bool
}

// upload gives what cargo would send for a release.
func (y *yard) upload(r release) []byte {
	y.t.Helper()
	meta := map[string]any{"name": r.name, "vers": r.version, "authors": []string{}, "deps": []any{}, "features": map[string][]string{}}
	if r.features != nil {
		meta["features"] = r.features
	}
	for name, value := range r.more {
		meta[name] = value
	}
	toml := manifest(r.name, r.version)
	for key, v := range r.more {
		switch key = strings.ReplaceAll(key, "_", "-"); key {
		case "readme":
			continue // the text of it
		case "readme-file":
			key = "readme"
		}
		data, _ := json.Marshal(v) // texts and lists of them, which TOML writes alike
		toml += fmt.Sprintf("%s = %s\n", key, data)
	}
	deps := []any{}
	var tables strings.Builder
	for _, d := range r.deps {
		m := map[string]any{"name": d.name, "version_req": d.req, "features": []string{}, "optional": d.optional, "default_features": true,
			"target": nil, "kind": firstOf(d.kind, "normal"), "registry": nil, "explicit_name_in_toml": nil}
		table, key, index := map[string]string{"": "dependencies", "dev": "dev-dependencies", "build": "build-dependencies"}[d.kind], d.name, "sparse+"+y.url+"/index/"
		if d.target != "" {
			m["target"] = d.target
			table = "target.'" + d.target + "'." + table
		}
		if d.alias != "" {
			m["explicit_name_in_toml"] = d.alias
			key = d.alias
		}
		if d.registry != "" {
			m["registry"] = d.registry
			index = d.registry
		}
		deps = append(deps, m)
		fmt.Fprintf(&tables, "[%s.%s]\nversion = %q\npackage = %q\nregistry-index = %q\noptional = %v\n", table, key, d.req, d.name, index, d.optional)
	}
	meta["deps"] = deps
	if len(r.features) > 0 {
		tables.WriteString("[features]\n")
		for name, values := range r.features {
			list, _ := json.Marshal(values) // strings
			fmt.Fprintf(&tables, "%q = %s\n", name, list)
		}
	}
	data, err := json.Marshal(meta)
	if err != nil {
		y.t.Fatal(err)
	}
	dir := r.name + "-" + r.version + "/"
	return frame(string(data), archive(y.t, file(dir+"Cargo.toml", toml+tables.String()), file(dir+"src/lib.rs", "pub fn f() {}\n")))
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// release publishes as the holder of a token and expects it to work.
func (y *yard) release(token string, r release) {
	y.t.Helper()
	if a := y.call("PUT", "/api/v1/crates/new", token, y.upload(r)); a.status != 200 {
		y.t.Fatalf("publish %s@%s: %d %s", r.name, r.version, a.status, a.body)
	}
}

// user makes a user and gives a token of it.
func (y *yard) user(u wire.CreateUser) string {
	y.t.Helper()
	if _, err := client.New(y.url, y.admin).CreateUser(y.t.Context(), u); err != nil {
		y.t.Fatal(err)
	}
	return y.token(u.Name, nil)
}

const readme = `# Core

<script>alert("script")</script><b onclick="alert(1)">bold</b>
[good](https://example.com/x) [bad](javascript:alert(2)) <a href="data:text/html;base64,PHNjcmlwdD4=">data</a>
<img src="https://example.com/i.png" onerror="alert(3)"><iframe src="https://evil.example"></iframe>

| a | b |
|---|---|
| 1 | 2 |
`

// furnish fills a registry. alice owns acme-core in three versions, acme_http and new, which depend on it, and old, all of
// whose versions are yanked; dora, who is in the group platform, owns acme-secret, which is restricted.
func (y *yard) furnish() (dora string) {
	y.t.Helper()
	dora = y.user(wire.CreateUser{Name: "dora", Role: "publisher", Groups: []string{"platform"}})
	core := map[string]any{"description": "The core of ACME", "keywords": []string{"Parser", "core"}, "categories": []string{"parsing"},
		"license": "MIT OR Apache-2.0", "homepage": "https://example.com", "documentation": "https://example.com/doc",
		"repository": "https://example.com/git", "rust_version": "1.70", "readme": readme, "readme_file": "README.md"}
	y.release(y.alice, release{name: "acme-core", version: "1.0.0", more: core, features: map[string][]string{"default": {"std"}, "std": {}}})
	y.release(y.alice, release{name: "acme-core", version: "2.0.0-beta.1", more: core})
	y.release(y.alice, release{name: "acme-core", version: "1.1.0", more: core})
	y.release(y.alice, release{name: "acme_http", version: "0.1.0", deps: []dep{
		{name: "acme-core", alias: "kernel", req: "^1", optional: true},
		{name: "acme-core", req: "^1.1", kind: "dev"},
		{name: "acme-core", alias: "windows_core", req: "^1", target: "cfg(windows)"},
		{name: "serde", req: "^1.0", registry: cratesIOIndex},
	}, features: map[string][]string{"net": {"dep:kernel"}},
		more: map[string]any{"description": "HTTP for ACME", "keywords": []string{"http", "core"}, "readme": "just <b>text</b>", "readme_file": "README.txt"}})
	y.release(y.alice, release{name: "new", version: "1.0.0", deps: []dep{{name: "acme-core", req: "^1"}}})
	y.release(y.alice, release{name: "old", version: "0.9.0"})
	if a := y.call("DELETE", "/api/v1/crates/old/0.9.0/yank", y.alice, nil); a.status != 200 {
		y.t.Fatal(a.body)
	}
	y.release(dora, release{name: "acme-secret", version: "1.0.0", deps: []dep{{name: "acme-core", req: "^1"}},
		more: map[string]any{"description": "not for all", "keywords": []string{"core", "hidden"}, "categories": []string{"hidden-things"}}})
	if a := y.call("PUT", "/api/v1/crates/acme-secret/access", dora, wire.SetAccess{Restricted: new(true)}); a.status != 200 {
		y.t.Fatal(a.body)
	}
	return dora
}
