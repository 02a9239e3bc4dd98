package publish

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/crateyard/crateyard/registry/crate"
)

// Policy is what a registry asks of a publish beyond the rules that always hold. What it does not ask for, but looks wrong,
// comes back as a warning that cargo prints.
type Policy struct {
	// RequiredFields are fields of [package] that may not be empty: description, documentation, homepage, license, readme,
	// repository, rust-version, categories, keywords. A license-file counts as license.
	RequiredFields     []string
	LicenseExpressions bool // license must be an SPDX expression
	KnownCategories    bool // categories must be crates.io's
}

// The two profiles: what crates.io asks, and nothing.
var (
	CratesIO = Policy{RequiredFields: []string{"description", "license"}, LicenseExpressions: true, KnownCategories: true}
	Private  = Policy{}
)

// fields are what RequiredFields may name.
var fields = map[string]func(m *crate.Metadata) bool{
	"description":   func(m *crate.Metadata) bool { return strings.TrimSpace(m.Description) != "" },
	"documentation": func(m *crate.Metadata) bool { return strings.TrimSpace(m.Documentation) != "" },
	"homepage":      func(m *crate.Metadata) bool { return strings.TrimSpace(m.Homepage) != "" },
	"license":       func(m *crate.Metadata) bool { return m.License != "" || m.LicenseFile != "" },
	"readme":        func(m *crate.Metadata) bool { return m.Readme != "" || m.ReadmeFile != "" },
	"repository":    func(m *crate.Metadata) bool { return strings.TrimSpace(m.Repository) != "" },
	"rust-version":  func(m *crate.Metadata) bool { return m.RustVersion != "" },
	"categories":    func(m *crate.Metadata) bool { return len(m.Categories) > 0 },
	"keywords":      func(m *crate.Metadata) bool { return len(m.Keywords) > 0 },
}

// Validate reports a required field that no manifest has, for whoever configures the registry.
func (p Policy) Validate() error {
	for _, f := range p.RequiredFields {
		if fields[f] == nil {
			return fmt.Errorf("%q is no field that can be required; these are: %s", f, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		}
	}
	return nil
}

// check gives what is refused, what is only warned of, and categories that are none and therefore not kept.
func (p Policy) check(m *crate.Metadata) (refused []string, warnings []string, invalidCategories []string) {
	var missing []string
	for _, f := range p.RequiredFields {
		if has := fields[f]; has != nil && !has(m) {
			missing = append(missing, f)
		}
	}
	if len(missing) > 0 {
		refused = append(refused, fmt.Sprintf("%s: required by this registry; to be added to [package] in Cargo.toml", strings.Join(missing, ", ")))
	}
	if m.License != "" {
		if err := crate.CheckLicense(m.License); err != nil {
			text := fmt.Sprintf("license: no SPDX expression such as \"MIT OR Apache-2.0\": %v", err)
			if p.LicenseExpressions {
				refused = append(refused, text)
			} else {
				warnings = append(warnings, text)
			}
		}
	}
	for _, c := range m.Categories {
		switch {
		case crate.IsCategory(c):
		case p.KnownCategories:
			refused = append(refused, fmt.Sprintf("categories: %.80q is no category of crates.io", c))
		case crate.IsCategorySlug(c):
			warnings = append(warnings, fmt.Sprintf("category `%s` is not one of crates.io's; it is kept", c))
		default:
			invalidCategories = append(invalidCategories, fmt.Sprintf("%.80s", c))
		}
	}
	return refused, warnings, invalidCategories
}

// cratesIO is how AllowedRegistries names crates.io.
const cratesIO = "crates-io"

func (p *Publisher) allowed() []string {
	if p.AllowedRegistries == nil {
		return []string{cratesIO}
	}
	return p.AllowedRegistries
}

// foreign gives a line for each dependency on a registry that is neither this one nor allowed.
func (p *Publisher) foreign(m *crate.Metadata) (refused []string) {
	allowed := p.allowed()
	for _, d := range m.Deps {
		if d.Registry == "" || p.isOwn(d.Registry) || slices.ContainsFunc(allowed, func(a string) bool { return sameRegistry(a, d.Registry) }) {
			continue
		}
		refused = append(refused, fmt.Sprintf("deps: %.80s comes from the registry %.200s, which this registry does not allow; use a crate of this registry or of an allowed one, or ask an administrator to add it to access.allowedRegistries",
			d.TOMLName(), d.Registry))
	}
	return refused
}

func sameRegistry(allowed, registry string) bool {
	if allowed == cratesIO {
		allowed = crate.CratesIOIndex
	}
	return trimIndex(crate.IndexAddress(allowed)) == trimIndex(crate.IndexAddress(registry))
}

// trimIndex takes from an index address what may be left out.
func trimIndex(url string) string { return strings.TrimSuffix(strings.TrimPrefix(url, "sparse+"), "/") }

// isOwn reports whether an index address is this registry's, under any of its names.
func (p *Publisher) isOwn(registry string) bool {
	u := trimIndex(registry)
	for _, base := range append([]string{p.URL}, p.Aliases...) {
		if base != "" && (u == base+"/index" || u == base+"/git/index") {
			return true
		}
	}
	return false
}

// mayBeOwn reports whether an index address could be this registry's for the cargo that published, and leads nobody astray if it is not:
// that of a port forwarded to the publisher's own machine, with the path of the index, with or without that of the public address; and that of
// crates.io, where crates may depend on it, for a cargo that takes this registry for crates.io.
func (p *Publisher) mayBeOwn(registry string) bool {
	if sameRegistry(cratesIO, registry) {
		return slices.ContainsFunc(p.allowed(), func(a string) bool { return sameRegistry(a, registry) })
	}
	at, err := url.Parse(trimIndex(registry))
	if err != nil || !isLoopback(at.Hostname()) {
		return false
	}
	for _, base := range append([]string{"", p.URL}, p.Aliases...) {
		if u, err := url.Parse(base); err == nil && (at.Path == u.Path+"/index" || at.Path == u.Path+"/git/index") {
			return true
		}
	}
	return false
}

func isLoopback(host string) bool {
	at, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && at.IsLoopback()
}

// OwnDependencies are the names of the crates of this registry that a crate depends on, itself left out, sorted, each once:
// what must exist in the catalog.
func (p *Publisher) OwnDependencies(m *crate.Metadata) (names []string) {
	for _, d := range m.Deps {
		if (d.Registry == "" || p.isOwn(d.Registry)) && d.Name != m.Name {
			names = append(names, d.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
