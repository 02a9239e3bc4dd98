package publish

import (
	"slices"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/crate"
)

func TestPolicy(t *testing.T) {
	odd := crate.Metadata{License: "Apache 2.0", Categories: []string{"gui", "no-such", "two words"}}
	for name, tc := range map[string]struct {
		policy            Policy
		meta              crate.Metadata
		refused, warnings string
		categories        string
	}{
		"private, nothing":             {Private, crate.Metadata{}, "", "", ""},
		"private, odd":                 {Private, odd, "", "license: no SPDX expression|category `no-such` is not one of crates.io's; it is kept", "two words"},
		"crates.io, nothing":           {CratesIO, crate.Metadata{}, "description, license: required by this registry", "", ""},
		"crates.io, odd":               {CratesIO, odd, "description: required by this registry; to be added to [package] in Cargo.toml\nlicense: no SPDX expression|categories: \"no-such\" is no category of crates.io", "", ""},
		"crates.io, blank":             {CratesIO, crate.Metadata{Description: " \n", License: "MIT"}, "description: required by this registry", "", ""},
		"crates.io, good":              {CratesIO, crate.Metadata{Description: "x", License: "MIT/Apache-2.0", Categories: []string{"gui"}}, "", "", ""},
		"crates.io, with license-file": {CratesIO, crate.Metadata{Description: "x", LicenseFile: "LICENSE"}, "", "", ""},
		"one field":                    {Policy{RequiredFields: []string{"rust-version"}}, crate.Metadata{}, "rust-version: required by this registry", "", ""},
	} {
		refused, warnings, categories := tc.policy.check(&tc.meta)
		got := strings.Join(refused, "\n")
		for want := range strings.SplitSeq(tc.refused, "|") {
			if !strings.Contains(got, want) || (got == "") != (tc.refused == "") {
				t.Errorf("%s: refused %q, want %q", name, got, want)
			}
		}
		for want := range strings.SplitSeq(tc.warnings, "|") {
			if got := strings.Join(warnings, "\n"); !strings.Contains(got, want) || (got == "") != (tc.warnings == "") {
				t.Errorf("%s: warnings %q, want %q", name, got, want)
			}
		}
		if got := strings.Join(categories, " "); got != tc.categories {
			t.Errorf("%s: categories %q", name, got)
		}
	}
	if err := (Policy{RequiredFields: []string{"licence"}}).Validate(); err == nil {
		t.Error("a field that nobody knows can be required")
	}
	if err := CratesIO.Validate(); err != nil {
		t.Error(err)
	}
}

func TestRegistriesOfDependencies(t *testing.T) {
	p := Publisher{URL: "https://own", Aliases: []string{"http://inside:8080"}}
	more := Publisher{URL: "https://own", AllowedRegistries: []string{"sparse+https://other/index/"}}
	for registry, want := range map[string]struct{ own, allowed, allowedByMore bool }{
		"":                                     {false, true, true},
		"sparse+https://own/index/":            {true, true, true},
		"https://own/index":                    {true, true, true},
		"https://own/git/index":                {true, true, true},
		"https://own/git/index/":               {true, true, true},
		"sparse+http://inside:8080/index/":     {true, true, false},
		"https://own.evil/index":               {false, false, false},
		"https://own/index/x":                  {false, false, false},
		crate.CratesIOIndex:                    {false, true, false},
		"sparse+https://index." + "crates.io/": {false, true, false},
		"https://other/index":                  {false, false, true},
		"sparse+https://other/index/":          {false, false, true},
	} {
		m := &crate.Metadata{Name: "a", Deps: []crate.Dependency{{Name: "x", Registry: registry}}}
		if got := p.isOwn(registry); got != want.own {
			t.Errorf("%q is own: %v", registry, got)
		}
		if got := p.foreign(m); (len(got) == 0) != want.allowed {
			t.Errorf("%q by default: %q", registry, got)
		}
		if got := more.foreign(m); (len(got) == 0) != want.allowedByMore {
			t.Errorf("%q with another allowed: %q", registry, got)
		}
	}
	m := &crate.Metadata{Name: "a", Deps: []crate.Dependency{{Name: "z"}, {Name: "b", Registry: "https://own/index"}, {Name: "z", Kind: "dev"}, {Name: "a", Kind: "dev"}, {Name: "c", Registry: crate.CratesIOIndex}}}
	if got := p.OwnDependencies(m); !slices.Equal(got, []string{"b", "z"}) {
		t.Errorf("own dependencies: %q", got)
	}
}

func TestAddressesThatMayBeOwn(t *testing.T) {
	p := Publisher{URL: "https://own/base", Aliases: []string{"http://inside:8080"}}
	for registry, want := range map[string]bool{
		"sparse+http://127.0.0.1:9/index/": true, "http://127.0.0.1:9/git/index": true, "sparse+https://localhost/base/index/": true, "sparse+http://[::1]:9/index/": true,
		"sparse+https://old.example/base/index/": false, "sparse+https://evil.example/index/": false, "sparse+https://127.0.0.1.evil.example/index/": false,
		crate.CratesIOIndex: true,
		"sparse+https://repo.example/api/cargo/local/index/": false, "sparse+https://evil.example/": false, "https://evil.example/index/x": false, "/index": false, "": false,
	} {
		if got := p.mayBeOwn(registry); got != want {
			t.Errorf("%q: %v", registry, got)
		}
	}
	p.AllowedRegistries = []string{"sparse+https://other/index/"}
	if p.mayBeOwn(crate.CratesIOIndex) {
		t.Error("crates.io is taken for this registry where nothing may depend on it")
	}
}
