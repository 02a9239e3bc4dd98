package crate

import (
	"bytes"
	"cmp"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Metadata is the JSON that cargo sends in front of the archive: what the manifest says, normalised by the client.
// Source: the cargo book, "Registry Web API", "Publish".
type Metadata struct {
	Name          string              `json:"name"`
	Vers          string              `json:"vers"`
	Deps          []Dependency        `json:"deps"`
	Features      map[string][]string `json:"features"`
	Authors       []string            `json:"authors"`
	Description   string              `json:"description"`
	Documentation string              `json:"documentation"`
	Homepage      string              `json:"homepage"`
	Readme        string              `json:"readme"`
	ReadmeFile    string              `json:"readme_file"`
	Keywords      []string            `json:"keywords"`
	Categories    []string            `json:"categories"`
	License       string              `json:"license"`
	LicenseFile   string              `json:"license_file"`
	Repository    string              `json:"repository"`
	Links         string              `json:"links"`
	RustVersion   string              `json:"rust_version"`

	unread fields // what an error beside the metadata speaks of
}

// Dependency is one dependency as cargo publishes it. Name is the real name of the crate; a rename stands in Alias. The
// index has it the other way round (see registry/index).
type Dependency struct {
	Name            string   `json:"name"`
	Req             string   `json:"version_req"`
	Features        []string `json:"features"`
	Optional        bool     `json:"optional"`
	DefaultFeatures bool     `json:"default_features"`
	Target          string   `json:"target"`   // a cfg(…) or a triple; empty for every target
	Kind            string   `json:"kind"`     // normal, build or dev; empty means normal
	Registry        string   `json:"registry"` // index URL; empty for the registry published to
	Alias           string   `json:"explicit_name_in_toml"`
}

// TOMLName is what the manifest calls the dependency.
func (d Dependency) TOMLName() string { return cmp.Or(d.Alias, d.Name) }

// maxAuthors bounds a list that nothing else bounds.
const maxAuthors = 1000

// ParseMetadata reads the JSON of a publish and checks it. The error lists every rule that is broken, one a line, up to a
// limit. Where the JSON could be read, there is metadata beside the error, for whoever looks for more that is broken.
//
// Keys are read as cargo and crates.io read them: by their exact spelling, none twice, unknown ones passed over. A list or
// an object that is left out is empty; null stands only where cargo sends it.
func ParseMetadata(data []byte) (*Metadata, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("metadata is not UTF-8")
	}
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return nil, fmt.Errorf("metadata is not the JSON that cargo sends: it must be an object")
	}
	var p problems
	r := newJSONReader(data, &p)
	m := &Metadata{}
	if err := m.read(r); err != nil {
		return nil, fmt.Errorf("metadata is not the JSON that cargo sends: %w", err)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	m.unread = p.muted
	m.check(&p)
	return m, p.err()
}

func (m *Metadata) read(r *jsonReader) error {
	text := func(key string, to *string) func() error { return func() error { return r.text(key, false, to) } }
	maybe := func(key string, to *string) func() error { return func() error { return r.text(key, true, to) } }
	texts := func(key string, most int, to *[]string) func() error {
		return func() error { return r.texts(key, key, most, to) }
	}
	return r.object("metadata", map[string]func() error{
		"name": text("name", &m.Name),
		"vers": text("vers", &m.Vers),
		"deps": func() error {
			return r.list("deps", "dependencies", MaxDeps, func() error {
				m.Deps = append(m.Deps, Dependency{DefaultFeatures: true})
				return m.Deps[len(m.Deps)-1].read(r, fmt.Sprintf("deps[%d]", len(m.Deps)-1))
			})
		},
		"features":      func() error { return m.readFeatures(r) },
		"authors":       texts("authors", maxAuthors, &m.Authors),
		"description":   maybe("description", &m.Description),
		"documentation": maybe("documentation", &m.Documentation),
		"homepage":      maybe("homepage", &m.Homepage),
		"readme":        maybe("readme", &m.Readme),
		"readme_file":   maybe("readme_file", &m.ReadmeFile),
		"keywords":      texts("keywords", MaxKeywords, &m.Keywords),
		"categories":    texts("categories", MaxCategories, &m.Categories),
		"license":       maybe("license", &m.License),
		"license_file":  maybe("license_file", &m.LicenseFile),
		"repository":    maybe("repository", &m.Repository),
		"links":         maybe("links", &m.Links),
		"rust_version":  maybe("rust_version", &m.RustVersion),
	})
}

func (d *Dependency) read(r *jsonReader, at string) error {
	text := func(key string, nullable bool, to *string) func() error {
		return func() error { return r.text(at+"."+key, nullable, to) }
	}
	defer func() { d.Registry = IndexAddress(d.Registry) }()
	return r.object(at, map[string]func() error{
		"name":                  text("name", false, &d.Name),
		"version_req":           text("version_req", false, &d.Req),
		"features":              func() error { return r.texts(at+".features", "features", MaxFeatures, &d.Features) },
		"optional":              func() error { return r.flag(at+".optional", &d.Optional) },
		"default_features":      func() error { return r.flag(at+".default_features", &d.DefaultFeatures) },
		"target":                text("target", true, &d.Target),
		"kind":                  text("kind", true, &d.Kind),
		"registry":              text("registry", true, &d.Registry),
		"explicit_name_in_toml": text("explicit_name_in_toml", true, &d.Alias),
	})
}

func (m *Metadata) check(p *problems) {
	p.wrap("name", CheckName(m.Name))
	_, err := ParseVersion(m.Vers)
	p.wrap("vers", err)
	for _, d := range m.Deps {
		d.check(p)
	}
	checkFeatures(p, m.Features, m.Deps)
	m.checkShown(p)
}

// checkShown checks what is shown of a crate. A category need not be a slug: like crates.io, a registry passes over what is none.
func (m *Metadata) checkShown(p *problems) {
	for _, l := range []struct {
		field string
		list  []string
		most  int
	}{{"keywords", m.Keywords, MaxKeywords}, {"categories", m.Categories, MaxCategories}} {
		if len(l.list) > l.most {
			p.add(l.field, "%d %s, the limit is %d", len(l.list), l.field, l.most) // as the reader of metadata says it, or it were said twice
		}
	}
	for _, k := range m.Keywords {
		if !isKeyword(k) {
			p.add("keywords", "%q must be at most %d ASCII letters, digits, '_', '-' or '+', the first a letter or digit", clip(k), MaxKeywordLen)
		}
	}
	if n := utf8.RuneCountInString(m.Description); n > MaxDescription {
		p.add("description", "%d characters, the limit is %d", n, MaxDescription)
	}
	for _, u := range []struct{ field, url string }{
		{"documentation", m.Documentation}, {"homepage", m.Homepage}, {"repository", m.Repository},
	} {
		if u.url != "" && !isWebAddress(u.url) {
			p.add(u.field, "%q must be an address that begins with https:// or http://", clip(u.url))
		}
	}
	if m.RustVersion != "" && !isRustVersion(m.RustVersion) {
		p.add("rust_version", "%q must be one to three numbers, such as 1.85", clip(m.RustVersion))
	}
}

func (d Dependency) check(p *problems) {
	p.wrap("deps", CheckDependencyName(d.Name))
	if d.Alias != "" {
		p.wrap("deps", CheckAlias(d.Alias))
	}
	switch r, err := ParseRequirement(d.Req); {
	case err != nil:
		p.add("deps", "%s: %v", clip(d.Name), err)
	case r.Any():
		p.add("deps", "%s: the requirement %q takes every version, also those that will break this crate; name one, such as \"1\"", clip(d.Name), clip(d.Req))
	}
	if d.Registry != "" && !isRegistry(d.Registry) {
		p.add("deps", "%s: registry %q is no index address; it looks like sparse+https://example.com/index/", clip(d.Name), clip(d.Registry))
	}
	if d.Target != "" {
		if _, err := canonicalTarget(d.Target); err != nil {
			p.add("deps", "%s: target %q is neither a triple nor a cfg(…): %v", clip(d.Name), clip(d.Target), err)
		}
	}
	switch d.Kind {
	case "", "normal", "build", "dev":
	default:
		p.add("deps", "%s: kind %q is none of normal, build, dev", clip(d.Name), clip(d.Kind))
	}
	if d.Kind == "dev" && d.Optional {
		p.add("deps", "%s: a dev-dependency cannot be optional", clip(d.Name))
	}
	for _, f := range d.Features {
		if !isDependencyFeature(f) {
			p.add("deps", "%s: invalid feature name %q", clip(d.Name), clip(f))
		}
	}
}

func isKeyword(s string) bool {
	if s == "" || len(s) > MaxKeywordLen || (!isLetter(s[0]) && !isDigit(s[0])) {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+") == ""
}

// isRustVersion reports whether cargo can read s as rust-version: a bad one in the index makes it pass over the version.
func isRustVersion(s string) bool {
	parts := strings.Split(s, ".")
	for _, part := range parts {
		if _, err := parseNumber(part); err != nil {
			return false
		}
	}
	return len(parts) <= 3
}

func isWebAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")) && u.Host != "" // crates.io takes no HTTPS://
}

// CheckLine reports what of an index line cargo could not read: requirements, targets, registries and rust_version. One such line
// makes it pass over the version without a word. The dependencies may have any names.
func CheckLine(deps []Dependency, rustVersion string) error {
	var p problems
	for _, d := range deps {
		if _, err := ParseRequirement(d.Req); err != nil {
			p.add("req", "%s: %v", clip(d.Name), err)
		}
		if _, err := canonicalTarget(d.Target); d.Target != "" && err != nil {
			p.add("target", "%s: %v", clip(d.Name), err)
		}
		if d.Registry != "" && !isRegistry(d.Registry) {
			p.add("registry", "%s: %q is no index address", clip(d.Name), clip(d.Registry))
		}
	}
	if rustVersion != "" && !isRustVersion(rustVersion) {
		p.add("rust_version", "%q must be one to three numbers", clip(rustVersion))
	}
	return p.err()
}

// isRegistry reports whether s is an index address that cargo can parse; an entry with another is skipped without a word.
func isRegistry(s string) bool {
	u, err := url.Parse(strings.TrimPrefix(s, "sparse+"))
	return err == nil && u.Scheme != "" && (u.Host != "" || u.Scheme == "file")
}
