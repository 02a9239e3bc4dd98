package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/index"
)

// Entry is what counts of a line of an index: one version of a crate.
type Entry struct {
	Name        string
	Vers        string
	SHA256      string // of the archive, lower-case hex
	Yanked      bool
	Deps        []Dependency
	Features    map[string][]string // of both tables of the line
	Links       string
	RustVersion string // the oldest Rust that builds it, one to three numbers
	// Unreadable is a line that cargo passes over: a field of a wrong form, or a format newer than 2. A lockfile may still name it.
	Unreadable bool
}

// Dependency is one dependency of an entry.
type Dependency struct {
	Name            string // the crate's, as its registry has it
	Alias           string // what the manifest calls it, and its features; Name, unless it is renamed
	Req             string
	Features        []string
	Optional        bool
	DefaultFeatures bool
	Kind            string // normal, build or dev; all else is normal
	Target          string // empty: all
	Registry        string // of another registry, its index; empty: the same
}

// newestFormat is the newest format of a line that cargo reads ("v" of the cargo book's "Registry Index").
const newestFormat = 2

// line is an index line as JSON has it. Of what cargo does not admit to be null, required tells it apart.
type line struct {
	Name        string                        `json:"name"`
	Vers        string                        `json:"vers"`
	Cksum       string                        `json:"cksum"`
	Yanked      bool                          `json:"yanked"`
	Deps        required[[]lineDependency]    `json:"deps"`
	Features    required[map[string][]string] `json:"features"`
	Features2   map[string][]string           `json:"features2"`
	Links       string                        `json:"links"`
	RustVersion *string                       `json:"rust_version"`
	PubTime     *string                       `json:"pubtime"`
	V           *int                          `json:"v"`
}

type lineDependency struct {
	Name            string             `json:"name"`
	Req             *string            `json:"req"`
	Features        required[[]string] `json:"features"`
	Optional        required[bool]     `json:"optional"`
	DefaultFeatures required[bool]     `json:"default_features"`
	Kind            string             `json:"kind"`
	Target          string             `json:"target"`
	Registry        *string            `json:"registry"`
	Package         string             `json:"package"`
}

// required is a field that may be missing, but not null.
type required[T any] struct {
	value T
	there bool
}

func (r *required[T]) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return errors.New("null where cargo reads none")
	}
	r.there = true
	return json.Unmarshal(data, &r.value)
}

// ParseIndex reads an index file as cargo does. Lines without name and version are passed over, and of a version that stands there
// twice the first line counts, as in cargo since 1.97. Source: the cargo book, "Registry Index", and cargo's IndexSummary::parse.
func ParseIndex(file []byte) []Entry {
	var entries []Entry
	for text := range bytes.Lines(file) {
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		var l line
		e := Entry{Unreadable: true}
		if err := json.Unmarshal(text, &l); err == nil {
			e = l.entry()
		} else {
			var least struct{ Name, Vers, Cksum string }
			if err := json.Unmarshal(text, &least); err != nil {
				continue
			}
			e.Name, e.Vers, e.SHA256 = least.Name, least.Vers, least.Cksum
		}
		if e.Name != "" && e.Vers != "" {
			entries = append(entries, e)
		}
	}
	return entries
}

func (l line) entry() Entry {
	e := Entry{
		Name: l.Name, Vers: l.Vers, SHA256: l.Cksum, Yanked: l.Yanked, Links: l.Links,
		Features:   l.Features.value,
		Unreadable: !l.Deps.there || l.V != nil && (*l.V < 0 || *l.V > newestFormat),
	}
	if len(l.Features2) > 0 {
		e.Features = index.Entry{Features: l.Features.value, Features2: l.Features2}.AllFeatures()
	}
	if l.RustVersion != nil {
		e.RustVersion = *l.RustVersion
	}
	if l.PubTime != nil {
		if _, err := time.Parse(index.PubTimeLayout, *l.PubTime); err != nil || len(*l.PubTime) != len(index.PubTimeLayout) {
			e.Unreadable = true
		}
	}
	for _, d := range l.Deps.value {
		dep := Dependency{Name: d.Name, Alias: d.Name, Optional: d.Optional.value, DefaultFeatures: d.DefaultFeatures.value || !d.DefaultFeatures.there, Kind: d.Kind, Target: d.Target}
		if d.Package != "" {
			dep.Name = d.Package
		}
		for _, f := range d.Features.value {
			if f != "" { // old cargos wrote some, and cargo drops them
				dep.Features = append(dep.Features, f)
			}
		}
		if d.Registry != nil {
			dep.Registry = *d.Registry
			e.Unreadable = e.Unreadable || dep.Registry == ""
		}
		if d.Req != nil {
			dep.Req = *d.Req
		} else {
			e.Unreadable = true
		}
		e.Deps = append(e.Deps, dep)
	}
	return e
}

// readable reports whether cargo takes the entry for one that it can choose, as far as it can be seen without knowing other entries.
func (e Entry) readable() bool {
	if e.Unreadable || !isSHA256(e.SHA256) {
		return false
	}
	if e.RustVersion != "" {
		if _, ok := parseRust(e.RustVersion); !ok {
			return false
		}
	}
	return true
}

// isSHA256 reports whether s is a checksum as cargo compares them, in lower case.
func isSHA256(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }
