package index

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
)

// PubTimeLayout is the only form of a time that cargo reads in an index; a fraction or an offset makes the version
// disappear without a word. The time must be in UTC.
const PubTimeLayout = "2006-01-02T15:04:05Z"

// ParsePubTime reads the time of an index line; ok is false where cargo would not take it.
func ParsePubTime(s []byte) (t time.Time, ok bool) {
	if len(s) != len(PubTimeLayout) {
		return t, false
	}
	var numbers [6]int // year, month, day, hour, minute, second
	n := 0
	for i, c := range s {
		switch {
		case '0' <= PubTimeLayout[i] && PubTimeLayout[i] <= '9':
			if c < '0' || c > '9' {
				return t, false
			}
			numbers[n] = 10*numbers[n] + int(c-'0')
		case c != PubTimeLayout[i]:
			return t, false
		default:
			n++
		}
	}
	year, month, day, hour, minute, second := numbers[0], time.Month(numbers[1]), numbers[2], numbers[3], numbers[4], numbers[5]
	if hour > 23 || minute > 59 || second > 59 {
		return t, false
	}
	t = time.Date(year, month, day, hour, minute, second, 0, time.UTC)
	y, m, d := t.Date() // Date makes March of the 30th of February
	return t, y == year && m == month && d == day
}

// Entry is the line of one version.
type Entry struct {
	Name        string              `json:"name"`
	Vers        string              `json:"vers"`
	Deps        []Dependency        `json:"deps"`
	Cksum       string              `json:"cksum"` // SHA-256 of the archive, lower-case hex
	Features    map[string][]string `json:"features"`
	Features2   map[string][]string `json:"features2,omitempty"`
	Yanked      bool                `json:"yanked"`
	Links       string              `json:"links,omitempty"`
	RustVersion string              `json:"rust_version,omitempty"`
	PubTime     string              `json:"pubtime"`
	V           int                 `json:"v,omitempty"`
}

// Dependency is one dependency of a line. Name is what the manifest calls it; Package is the real name where the two differ.
type Dependency struct {
	Name            string   `json:"name"`
	Req             string   `json:"req"`
	Features        []string `json:"features"`
	Optional        bool     `json:"optional"`
	DefaultFeatures bool     `json:"default_features"`
	Target          *string  `json:"target"`
	Kind            string   `json:"kind"`
	Registry        *string  `json:"registry,omitempty"` // left out: this registry
	Package         string   `json:"package,omitempty"`
}

// NewEntry makes the line of a version from the metadata of its publish. isOwn tells the addresses of this registry, which
// must not appear in its own index: left out means "here", so that the registry may move.
func NewEntry(m *crate.Metadata, cksum string, published time.Time, isOwn func(registry string) bool) Entry {
	e := Entry{
		Name: m.Name, Vers: m.Vers, Cksum: cksum,
		Deps:        make([]Dependency, 0, len(m.Deps)), // never nil: null is invalid
		Links:       m.Links,
		RustVersion: m.RustVersion,
		PubTime:     published.UTC().Format(PubTimeLayout),
	}
	for _, d := range m.Deps {
		e.Deps = append(e.Deps, newDependency(d, isOwn))
	}
	slices.SortStableFunc(e.Deps, compareDependencies)
	e.Features, e.Features2 = splitFeatures(m.Features)
	if len(e.Features2) > 0 {
		e.V = 2
	}
	return e
}

var kindOrder = map[string]int{"normal": 0, "build": 1, "dev": 2}

// compareDependencies orders by name and kind first, as crates.io does: older cargos misread several entries of one name unless
// normal comes before build before dev. The rest makes the order the same whatever the client's was.
func compareDependencies(a, b Dependency) int {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(kindOrder[a.Kind], kindOrder[b.Kind]), cmp.Compare(text(a.Target), text(b.Target)),
		cmp.Compare(a.Req, b.Req), cmp.Compare(a.Package, b.Package), cmp.Compare(text(a.Registry), text(b.Registry)), slices.Compare(a.Features, b.Features))
}

func newDependency(d crate.Dependency, isOwn func(string) bool) Dependency {
	out := Dependency{
		Name: d.Name, Req: d.Req, Optional: d.Optional, DefaultFeatures: d.DefaultFeatures,
		Features: append([]string{}, d.Features...), // never nil
		Kind:     cmp.Or(d.Kind, "normal"),
	}
	if d.Target != "" {
		out.Target = &d.Target
	}
	if d.Registry != "" && !isOwn(d.Registry) {
		out.Registry = &d.Registry
	}
	if d.Alias != "" && d.Alias != d.Name {
		out.Name, out.Package = d.Alias, d.Name
	}
	return out
}

// splitFeatures keeps features that only cargo 1.60 and later can read ("dep:x", "x?/y"), and those that include such
// features, apart from the rest, so that an older cargo still understands the line (RFC 3143).
func splitFeatures(all map[string][]string) (features, features2 map[string][]string) {
	features, features2 = map[string][]string{}, map[string][]string{}
	for name, values := range all {
		features[name] = append([]string{}, values...)
	}
	for moved := true; moved; {
		moved = false
		for name, values := range features {
			if slices.ContainsFunc(values, func(v string) bool {
				return strings.HasPrefix(v, "dep:") || strings.Contains(v, "?/") || features2[v] != nil
			}) {
				features2[name] = values
				delete(features, name)
				moved = true
			}
		}
	}
	return features, features2
}

// AllFeatures are the features of the version, wherever the line has them.
func (e Entry) AllFeatures() map[string][]string {
	all := map[string][]string{}
	maps.Copy(all, e.Features)
	maps.Copy(all, e.Features2)
	return all
}

// Line renders the entry as it is stored and served, with the newline at its end. Map keys come out sorted, so equal
// entries are equal bytes.
func (e Entry) Line() []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // ">=1.0", not "\u003e=1.0"
	if err := enc.Encode(e); err != nil {
		panic(err) // strings, bools and slices of them always marshal
	}
	return buf.Bytes()
}

var (
	yankedTrue  = []byte(`"yanked":true`)
	yankedFalse = []byte(`"yanked":false`)
)

// SetYanked changes the one thing that may change in a stored line. The text it looks for cannot stand inside a JSON string,
// where its quotes would be escaped, nor be a feature, whose value is a list.
func SetYanked(line []byte, yanked bool) []byte {
	if yanked {
		return bytes.Replace(line, yankedFalse, yankedTrue, 1)
	}
	return bytes.Replace(line, yankedTrue, yankedFalse, 1)
}
