package crate

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
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

// ParseMetadata reads the JSON of a publish and checks it. The error lists every rule that is broken, one a line, so that
// one failed publish is enough to mend them all.
func ParseMetadata(data []byte) (*Metadata, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("metadata is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	m := &Metadata{}
	if err := dec.Decode(m); err != nil {
		return nil, fmt.Errorf("metadata is not the JSON that cargo sends: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("metadata has text after its JSON object")
	}
	return m, m.check()
}

// problems gathers the rules that are broken.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

func (p *problems) wrap(field string, err error) {
	if err != nil {
		p.add("%s: %v", field, err)
	}
}

func (m *Metadata) check() error {
	var p problems
	p.wrap("name", CheckName(m.Name))
	_, err := ParseVersion(m.Vers)
	p.wrap("vers", err)
	if len(m.Deps) > MaxDeps {
		p.add("deps: %d dependencies, the limit is %d", len(m.Deps), MaxDeps)
	} else {
		for _, d := range m.Deps {
			d.check(&p)
		}
	}
	m.checkFeatures(&p)
	if len(m.Keywords) > MaxKeywords {
		p.add("keywords: %d keywords, the limit is %d", len(m.Keywords), MaxKeywords)
	}
	for _, k := range m.Keywords {
		if !isKeyword(k) {
			p.add("keywords: %q must be at most %d ASCII letters, digits, '_', '-' or '+', the first a letter or digit", clip(k), MaxKeywordLen)
		}
	}
	if len(m.Categories) > MaxCategories {
		p.add("categories: %d categories, the limit is %d", len(m.Categories), MaxCategories)
	}
	if n := utf8.RuneCountInString(m.Description); n > MaxDescription {
		p.add("description: %d characters, the limit is %d", n, MaxDescription)
	}
	for _, u := range []struct{ field, url string }{
		{"documentation", m.Documentation}, {"homepage", m.Homepage}, {"repository", m.Repository},
	} {
		if u.url != "" && !strings.HasPrefix(u.url, "https://") && !strings.HasPrefix(u.url, "http://") {
			p.add("%s: %q must begin with https:// or http://", u.field, clip(u.url))
		}
	}
	if m.RustVersion != "" && !isRustVersion(m.RustVersion) {
		p.add("rust_version: %q must be digits and dots, such as 1.85", clip(m.RustVersion))
	}
	if len(p) > 0 {
		return fmt.Errorf("%s", strings.Join(p, "\n"))
	}
	return nil
}

func (d Dependency) check(p *problems) {
	p.wrap("deps", CheckDependencyName(d.Name))
	if d.Alias != "" {
		p.wrap("deps", CheckAlias(d.Alias))
	}
	if _, err := ParseRequirement(d.Req); err != nil {
		p.add("deps: %s: %v", clip(d.Name), err)
	}
	if d.Registry != "" && !isRegistry(d.Registry) {
		p.add("deps: %s: registry %q is no index address; it looks like sparse+https://example.com/index/", clip(d.Name), clip(d.Registry))
	}
	if d.Target != "" && !isTarget(d.Target) {
		p.add("deps: %s: target %q is neither a triple nor a cfg(…)", clip(d.Name), clip(d.Target))
	}
	switch d.Kind {
	case "", "normal", "build", "dev":
	default:
		p.add("deps: %s: kind %q is none of normal, build, dev", clip(d.Name), clip(d.Kind))
	}
	if len(d.Features) > MaxFeatures {
		p.add("deps: %s: %d features, the limit is %d", clip(d.Name), len(d.Features), MaxFeatures)
	}
}

// checkFeatures checks the counts, and that each value names a feature or dependency that exists: cargo takes an index
// entry with a dangling value for invalid and passes over the version.
func (m *Metadata) checkFeatures(p *problems) {
	if len(m.Features) > MaxFeatures {
		p.add("features: %d features, the limit is %d", len(m.Features), MaxFeatures)
		return
	}
	optional := map[string]bool{} // name in the manifest → whether any of its entries is optional
	named := map[string]bool{}    // dependencies that stand as dep:x somewhere, and so are no features by themselves
	for _, values := range m.Features {
		for _, v := range values {
			if dep, ok := strings.CutPrefix(v, "dep:"); ok {
				named[dep] = true
			}
		}
	}
	for _, d := range m.Deps {
		if d.Kind != "dev" {
			optional[cmp.Or(d.Alias, d.Name)] = optional[cmp.Or(d.Alias, d.Name)] || d.Optional
		}
	}
	for name, values := range m.Features {
		if !isFeature(name) {
			p.add("features: invalid feature name %q", clip(name))
		}
		if len(values) > MaxFeatures {
			p.add("features: %q has %d values, the limit is %d", clip(name), len(values), MaxFeatures)
			continue
		}
		for _, v := range values {
			if why := m.checkFeatureValue(v, optional, named); why != "" {
				p.add("features: %q includes %q, %s", clip(name), clip(v), why)
			}
		}
	}
}

func (m *Metadata) checkFeatureValue(v string, optional, named map[string]bool) string {
	if dep, ok := strings.CutPrefix(v, "dep:"); ok {
		if isOptional, exists := optional[dep]; !exists || !isOptional {
			return "which is no optional dependency"
		}
		return ""
	}
	if dep, _, ok := strings.Cut(v, "/"); ok {
		isOptional, exists := optional[strings.TrimSuffix(dep, "?")]
		if !exists {
			return "which is no feature of a dependency"
		}
		if strings.HasSuffix(dep, "?") && !isOptional {
			return "whose '?' needs an optional dependency"
		}
		return ""
	}
	if _, exists := m.Features[v]; !exists && (!optional[v] || named[v]) {
		return "which is neither a feature nor an optional dependency"
	}
	return ""
}

func isKeyword(s string) bool {
	if s == "" || len(s) > MaxKeywordLen || (!isLetter(s[0]) && !isDigit(s[0])) {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+") == ""
}

func isRustVersion(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if !allDigits(part) {
			return false
		}
	}
	return len(s) <= 32
}

// isRegistry reports whether s is an index address that cargo can parse; an entry with another is skipped without a word.
func isRegistry(s string) bool {
	u, err := url.Parse(strings.TrimPrefix(s, "sparse+"))
	return err == nil && u.Scheme != "" && (u.Host != "" || u.Scheme == "file")
}

// isTarget reports whether s is a target triple, or has the form of a cfg expression: words, strings, commas and '=' in
// parentheses that match.
func isTarget(s string) bool {
	const word = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
	body, isCfg := strings.CutPrefix(s, "cfg(")
	if !isCfg {
		return strings.Trim(s, word) == ""
	}
	depth, inString := 1, false
	for i, c := range body {
		switch {
		case c == '"':
			inString = !inString
		case inString:
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 && i != len(body)-1 {
				return false
			}
		case c != ' ' && c != ',' && c != '=' && !strings.ContainsRune(word, c):
			return false
		}
	}
	return depth == 0 && !inString && strings.TrimSpace(body) != ")"
}
