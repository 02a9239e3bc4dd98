package crate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const fullManifest = `cargo-features = []
[package]
name = "a"
version = "1.0.0"
edition = "2021"
rust-version = "1.70"
links = "z"
readme = false
keywords = ["k"]
[dependencies]
one = "1.0"
[dependencies.two]
version = ">=1, <2"
package = "real-two"
optional = true
default-features = false
features = ["b", "a"]
registry-index = "sparse+https://own/index/"
[build-dependencies.one]
version = "1"
[dev-dependencies.one]
version = "=1.0.0"
[target."cfg( unix )".dependencies.one]
version = "1"
default_features = false
[features]
default = ["dep:two"]
[lib]
proc-macro = true
[[bin]]
name = "tool"
`

const fullMetadata = `{"name":"a","vers":"1.0.0","links":"z","rust_version":"1.70","deps":[
	{"name":"one","version_req":"^1","kind":"normal","target":"cfg(unix)","default_features":false,"features":[],"optional":false,"registry":"https://github.com/rust-lang/crates.io-index"},
	{"name":"one","version_req":"=1.0.0","kind":"dev","target":null,"registry":"https://github.com/rust-lang/crates.io-index"},
	{"name":"one","version_req":"^1","kind":"build","registry":"https://github.com/rust-lang/crates.io-index"},
	{"name":"one","version_req":"^1.0","kind":"normal","registry":"https://github.com/rust-lang/crates.io-index"},
	{"name":"real-two","explicit_name_in_toml":"two","version_req":">=1, <2","kind":"normal","optional":true,"default_features":false,"features":["a","b"]}],
	"features":{"default":["dep:two"]}}`

func isOwnInTests(url string) bool { return url == "sparse+https://own/index/" }

func mayBeOwnInTests(url string) bool {
	return strings.HasSuffix(url, "/index/") || url == CratesIOIndex
}

// Each change to one of two accounts that agree is told, by field and with both values.
func TestCheckMetadata(t *testing.T) {
	change := func(text, old, now string) string {
		if strings.Count(text, old) == 0 {
			t.Fatalf("%q is not there", old)
		}
		return strings.Replace(text, old, now, 1)
	}
	for name, tc := range map[string]struct{ in, old, now, want string }{
		"none":             {},
		"links":            {"toml", `links = "z"`, ``, `links: "z" in the metadata, "" in the Cargo.toml`},
		"rust-version":     {"toml", `"1.70"`, `"1.71"`, `rust_version: "1.70" in the metadata, "1.71" in the Cargo.toml`},
		"no rust_version":  {"meta", `"rust_version":"1.70",`, ``, ""}, // as from old cargos
		"requirement":      {"toml", `">=1, <2"`, `">=1, <3"`, `deps: two: version: ">=1, <2" in the metadata, ">=1, <3" in the Cargo.toml`},
		"same requirement": {"toml", `">=1, <2"`, `" >= 1 ,<2"`, ""},
		"real name":        {"toml", `"real-two"`, `"other"`, `deps: two: package: "real-two" in the metadata, "other" in the Cargo.toml`},
		"alias":            {"meta", `"explicit_name_in_toml":"two"`, `"explicit_name_in_toml":"three"`, "features: \"default\" includes"},
		"optional":         {"meta", `"optional":false`, `"optional":true`, `deps: one for cfg(unix): optional: "true" in the metadata, "false" in the Cargo.toml`},
		"default features": {"toml", `default_features = false`, ``, `deps: one for cfg(unix): default-features: "false" in the metadata, "true" in the Cargo.toml`},
		"features of one":  {"toml", `["b", "a"]`, `["b", "c"]`, `deps: two: features: the metadata has ["a"], the Cargo.toml in the archive has not`},
		"kind":             {"meta", `"kind":"dev"`, `"kind":"build"`, `deps: one (dev) stands in the Cargo.toml in the archive and not in the metadata`},
		"target":           {"meta", `"cfg(unix)"`, `"cfg(windows)"`, `deps: one for cfg(windows) stands in the metadata and not in the Cargo.toml`},
		"own registry":     {"toml", `sparse+https://own/index/`, `sparse+https://forwarded/index/`, ""}, // under another address of it
		"crates.io":        {"meta", `,"kind":"dev","target":null,"registry":"https://github.com/rust-lang/crates.io-index"`, `,"kind":"dev"`, `deps: one (dev): registry: "this registry" in the metadata, "https://github.com/rust-lang/crates.io-index" in the Cargo.toml`},
		"feature":          {"toml", "[features]\n", "[features]\nf = []\n", `features: f stands in the Cargo.toml in the archive and not in the metadata`},
		"feature's value":  {"toml", `["dep:two"]`, `["dep:two", "one/x"]`, `features: default: the Cargo.toml in the archive has ["one/x"], the metadata has not`},
	} {
		toml, json := fullManifest, fullMetadata
		switch tc.in {
		case "toml":
			toml = change(toml, tc.old, tc.now)
		case "meta":
			json = change(json, tc.old, tc.now)
		}
		m, err := ParseManifest([]byte(toml))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		meta, err := ParseMetadata([]byte(json))
		if err == nil {
			err = m.CheckMetadata(meta, isOwnInTests, mayBeOwnInTests)
		}
		checkError(t, name, err, tc.want)
	}
}

// One address may be another name for the registry that is published to. Two are not, nor is one that the metadata sets apart.
func TestCheckMetadataOfOtherAddresses(t *testing.T) {
	const head = "[package]\nname = \"a\"\nversion = \"1.0.0\"\n"
	dep := func(name, registry string) string {
		if registry != "" {
			registry = ", registry-index = \"" + registry + "\""
		}
		return "[dependencies." + name + "]\nversion = \"1\"" + strings.ReplaceAll(registry, ", ", "\n") + "\n"
	}
	meta := func(registries ...string) string {
		var deps []string
		for i, r := range registries {
			if r != "" {
				r = `,"registry":"` + r + `"`
			}
			deps = append(deps, `{"name":"d`+string(rune('0'+i))+`","version_req":"^1","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal"`+r+`}`)
		}
		return `{"name":"a","vers":"1.0.0","deps":[` + strings.Join(deps, ",") + `],"features":{},"authors":[]}`
	}
	for name, tc := range map[string]struct{ toml, meta, want string }{
		"forwarded":            {dep("d0", "sparse+http://127.0.0.1:9/index/"), meta(""), ""},
		"stands for crates.io": {dep("d0", "") + dep("d1", ""), meta("", ""), ""},
		"foreign":              {dep("d0", "sparse+http://evil.example/x/"), meta(""), `deps: d0: registry: "this registry" in the metadata, "sparse+http://evil.example/x/" in the Cargo.toml`},
		"crates.io, sparse":    {dep("d0", cratesIOSparse), meta(CratesIOIndex), ""},
		"crates.io, sent so":   {dep("d0", ""), meta(cratesIOSparse), ""},
		"two addresses":        {dep("d0", "sparse+http://x/index/") + dep("d1", "sparse+http://y/index/"), meta("", ""), `deps: d0: registry: "this registry" in the metadata`},
		"set apart":            {dep("d0", "") + dep("d1", ""), meta("", CratesIOIndex), `deps: d0: registry: "this registry" in the metadata`},
	} {
		m, err := ParseManifest([]byte(head + tc.toml))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		parsed, err := ParseMetadata([]byte(tc.meta))
		if err == nil {
			err = m.CheckMetadata(parsed, isOwnInTests, mayBeOwnInTests)
		}
		checkError(t, name, err, tc.want)
	}
}

// A few bytes of text may not become a hundred times as much in memory.
func TestManifestValuesAreBounded(t *testing.T) {
	const head = "[package]\nname = \"a\"\nversion = \"1.0.0\"\n[package.metadata]\nx = ["
	for n, want := range map[int]string{1000: "", maxManifestValues + 2: "more than 50000 values"} {
		_, err := ParseManifest([]byte(head + strings.Repeat("[],", n/2) + "]\n"))
		checkError(t, fmt.Sprint(n), err, want)
	}
}

func TestParseManifestRefuses(t *testing.T) {
	const pkg = "[package]\nname = \"a\"\nversion = \"1.0.0\"\n"
	for text, want := range map[string]string{
		"":                               "no [package]",
		"a = ":                           "Cargo.toml in the archive: ",
		"[package]\n[package]\n":         "Cargo.toml in the archive: ",
		"[Package]\nname = \"a\"\n":      "no [package]",
		"[project]\nname = \"a\"\n":      "[project] is an old name of [package]",
		"package = 1":                    "package must be a table",
		"[package]\nversion = \"1.0.0\"": "[package]: it has no name",
		"[package]\nname = 5\nversion = \"1.0.0\"":                         "name must be a text",
		"[package]\nName = \"a\"\nversion = \"1\"":                         "it has no name",
		"[package]\nname = \"a\"\nversion = {workspace = true}":            "version is inherited from a workspace",
		pkg + "include.workspace = true":                                   "include is inherited",
		pkg + "keywords = \"k\"":                                           "keywords must be a list",
		pkg + "keywords = [1]":                                             "keywords must be a list",
		pkg + "[replace]\nx = 1":                                           "[replace] cannot stand",
		pkg + "[dev_dependencies]\nx = \"1\"":                              "[dev_dependencies] is an old name",
		pkg + "[target.x.dev_dependencies]\ny = \"1\"":                     "[target.x]: [dev_dependencies] is an old name",
		pkg + "[target.x.build_dependencies]\ny = \"1\"":                   "[target.x]: [build_dependencies] is an old name",
		pkg + "rust-version = \"\"":                                        "rust-version \"\" must be one to three numbers",
		pkg + "[lints]\nworkspace = true":                                  "lints is inherited from a workspace",
		pkg + "[dependencies.\"\"]\nversion = \"1\"\npackage = \"x\"":      "[dependencies]: a dependency has no name",
		pkg + "[dependencies.x]\nversion = \"1\"\npackage = \"\"":          "[dependencies.x]: package is empty",
		pkg + "[dependencies]\nx = 1":                                      "x must be a table",
		pkg + "[dependencies]\nx = {}":                                     "[dependencies.x]: it has no version",
		pkg + "[dependencies.x]\nworkspace = true":                         "workspace is inherited",
		pkg + "[dependencies.x]\nversion = \"1\"\npath = \"../x\"":         `"path" cannot stand`,
		pkg + "[dependencies.x]\nversion = \"1\"\ngit = \"x\"":             `"git" cannot stand`,
		pkg + "[dependencies.x]\nversion = \"1\"\nregistry = \"x\"":        `"registry" cannot stand`,
		pkg + "[dependencies.x]\nversion = \"1\"\nartifact = \"bin\"":      `"artifact" cannot stand`,
		pkg + "[dependencies.x]\nversion = \"1\"\noptional = 1":            "optional must be true or false",
		pkg + "[features]\nf = \"x\"":                                      "f must be a list of texts",
		pkg + "[target.x.dependencies]\ny = {}":                            "[target.x.dependencies.y]: it has no version",
		pkg + "x = " + strings.Repeat("[", 500) + strings.Repeat("]", 500): "nests deeper",
		pkg + strings.Repeat("a.", 20) + "b = 1":                           "a key has 21 parts",
		pkg + strings.Repeat("a", 1000) + " = ":                            "Cargo.toml in the archive: ",
	} {
		_, err := ParseManifest([]byte(text))
		checkError(t, text, err, want)
		if err != nil && len(err.Error()) > maxProblemText+100 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	}
	two := "[package]\nname = 1\nversion = 2\n"
	if _, err := ParseManifest([]byte(two)); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two rules at once: %v", err)
	}
}

// A manifest that is made to be slow is refused long before it costs a minute, which it would without limits.
func TestParseManifestIsBounded(t *testing.T) {
	var keys strings.Builder
	for i := range maxManifestKeys * 3 {
		keys.WriteString("a" + strings.Repeat("b", i%7) + string(rune('a'+i%26)) + " = 1\n")
	}
	for text, want := range map[string]string{
		keys.String(): "more than 10000 keys",
		strings.Repeat("a={", maxManifestValues/3):       "nested more than",
		"a=" + strings.Repeat("[", maxManifestValues-1):  "nested more than",
		"[" + strings.Repeat("a.", maxManifest/2) + "a]": "a key has",
	} {
		_, err := ParseManifest([]byte(text))
		checkError(t, clip(text), err, want)
	}
}

func TestCheckLicense(t *testing.T) {
	for s, want := range map[string]string{
		"MIT": "", "MIT OR Apache-2.0": "", "MIT/Apache-2.0": "", "MIT / Apache-2.0": "", "(MIT OR Apache-2.0) AND Unicode-DFS-2016": "", "GPL-2.0": "", "GPL-2.0+": "", "GPL-3.0-or-later": "",
		"Apache-2.0 WITH LLVM-exception": "", "GPL-2.0-only WITH Classpath-exception-2.0": "", "LicenseRef-mine": "", "((MIT))": "",
		"DocumentRef-a.b:LicenseRef-mine-1": "", "LicenseRef-": "no identifier", "LicenseRef-ä": "no identifier", "DocumentRef-a": "no identifier", "DocumentRef-:LicenseRef-x": "no identifier", "DocumentRef-a:MIT": "no identifier",
		"": "a license is missing", "mit": "no identifier", "Apache 2.0": "no identifier", "Apache": "no identifier", "MIT or Apache-2.0": "where AND or OR", "MIT Apache-2.0": "where AND or OR",
		"MIT OR": "missing", "OR MIT": "no identifier", "(MIT": "not closed", "MIT)": "where AND or OR", "()": "missing", "MIT WITH": "missing after WITH", "(MIT WITH)": "missing after WITH", "MIT WITH MIT": "no exception",
		"MIT AND (": "missing", strings.Repeat("(", 1001): "the limit is", strings.Repeat("x", 500): "no identifier",
	} {
		checkError(t, s, CheckLicense(s), want)
	}
	if !IsCategory("development-tools::testing") || IsCategory("Development-Tools") || IsCategory("") {
		t.Error("categories")
	}
	for _, c := range Categories() {
		if !IsCategorySlug(c.Slug) || c.Slug != strings.ToLower(c.Slug) || c.Name == "" || c.Description == "" || CategoryOf(c.Slug) != c {
			t.Errorf("%+v", c)
		}
	}
	if all := Categories(); len(all) != 104 || !slices.IsSortedFunc(all, func(x, y Category) int { return strings.Compare(x.Slug, y.Slug) }) {
		t.Errorf("%d categories, or not in order", len(all))
	}
	if got := CategoryOf("acme::tools"); got != (Category{"acme::tools", "acme::tools", ""}) {
		t.Errorf("%+v", got)
	}
}
