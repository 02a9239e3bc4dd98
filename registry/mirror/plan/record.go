package plan

import (
	"cmp"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unique"
	"unsafe"

	"github.com/crateyard/crateyard/registry/crate"
)

// record is the index file of a crate, as small as it can be: it never changes, and is shared.
type record struct {
	name     string
	versions []version // the newest first; those that differ in build metadata alone as Rust's semver crate orders them
	problem  string    // why there are no versions, for people; empty when there are
	err      error     // for the log; may be nil
	size     uint32    // about how many bytes it takes
}

type version struct {
	crate.Version
	sum      [32]byte
	rust     string // the oldest Rust; empty for any
	yanked   bool
	readable bool
	*detail  // shared with the version published before it when both have the same
}

// detail is what a version needs and offers.
type detail struct {
	deps     []dependency
	features []feature
	links    string
	foreign  int // dependencies on crates of other registries, which are left out
}

type dependency struct {
	crate, alias, target string
	req                  *requirement
	features             []string
	optional, defaults   bool
	kind                 byte
}

// The kinds of dependencies.
const (
	kindNormal = 'n'
	kindBuild  = 'b'
	kindDev    = 'd'
)

func kindOf(s string) byte {
	switch s {
	case "dev":
		return kindDev
	case "build":
		return kindBuild
	}
	return kindNormal
}

// requirement is one for all dependencies that are written alike.
type requirement struct {
	text string
	crate.Requirement
}

func (v *version) sha256() string { return hex.EncodeToString(v.sum[:]) }

// choosable reports whether cargo may choose the version where no lockfile names it.
func (v *version) choosable() bool { return v.readable && !v.yanked }

// compat is the range of versions that are compatible with v, of which cargo admits one at a time.
type compat struct {
	numbers int // which number it is: the first that is not zero
	n       uint64
}

func (v *version) compat() compat {
	switch {
	case v.Major > 0:
		return compat{1, v.Major}
	case v.Minor > 0:
		return compat{2, v.Minor}
	}
	return compat{3, v.Patch}
}

// newRecord makes the record of a crate of what the index says. dev says whether development dependencies are needed. isUpstream tells
// whether a registry that a line names is upstream itself.
func newRecord(name string, entries []Entry, dev bool, isUpstream func(string) bool, req func(string) (*requirement, error)) *record {
	r := &record{name: name, versions: make([]version, 0, len(entries))} // to grow would take up to twice as much, and keep it
	other := ""
	var last Entry
	var needs *detail // of last; nil: cargo cannot read them
	for _, e := range entries {
		v, err := crate.ParseVersion(e.Vers)
		if err != nil {
			continue // cargo passes over the line
		}
		if e.Name != name {
			other = e.Name
			continue
		}
		if len(r.versions) == 0 || !e.needsAsMuch(last) {
			last, needs = e, newDetail(e, dev, isUpstream, req)
		}
		r.versions = append(r.versions, newVersion(v, e, needs))
	}
	if len(r.versions) == 0 {
		r.problem = "upstream has no such crate"
		if other != "" {
			r.problem += "; it has " + strconv.Quote(other) + ", and names must be spelled alike"
		}
		return r
	}
	slices.SortStableFunc(r.versions, func(a, b version) int { return cmp.Or(b.Compare(a.Version), compareBuild(b.Build, a.Build)) })
	r.versions = slices.CompactFunc(r.versions, func(a, b version) bool { return a.Version == b.Version })
	return r
}

// newVersion makes a version of an entry and what it needs.
func newVersion(v crate.Version, e Entry, needs *detail) version {
	out := version{Version: v, rust: intern(e.RustVersion), yanked: e.Yanked, readable: e.readable() && needs != nil, detail: needs}
	if sum, err := hex.DecodeString(e.SHA256); err == nil && isSHA256(e.SHA256) {
		out.sum = [32]byte(sum)
	}
	if needs == nil {
		out.detail = nothing
	}
	return out
}

func newDetail(e Entry, dev bool, isUpstream func(string) bool, req func(string) (*requirement, error)) *detail {
	out := &detail{links: intern(e.Links), deps: make([]dependency, 0, len(e.Deps))}
	var ok bool
	if out.features, ok = compileFeatures(e); !ok {
		return nil
	}
	for _, d := range e.Deps {
		r, err := req(d.Req)
		if err != nil {
			return nil
		}
		switch kind := kindOf(d.Kind); {
		case kind == kindDev && !dev:
		case d.Registry != "" && !isUpstream(d.Registry):
			if kind != kindDev {
				out.foreign++
			}
		default:
			dep := dependency{crate: intern(d.Name), alias: intern(d.Alias), target: intern(d.Target), req: r, optional: d.Optional, defaults: d.DefaultFeatures, kind: kind}
			for _, f := range d.Features {
				dep.features = append(dep.features, intern(f))
			}
			out.deps = append(out.deps, dep)
		}
	}
	out.deps = slices.Clip(out.deps)
	return out
}

// needsAsMuch reports whether two entries, of which one usually follows the other, have the same dependencies, features and links.
func (e Entry) needsAsMuch(other Entry) bool {
	return e.Links == other.Links &&
		slices.EqualFunc(e.Deps, other.Deps, func(a, b Dependency) bool {
			return slices.Equal(a.Features, b.Features) && a.Name == b.Name && a.Alias == b.Alias && a.Req == b.Req && a.Kind == b.Kind && a.Target == b.Target &&
				a.Registry == b.Registry && a.Optional == b.Optional && a.DefaultFeatures == b.DefaultFeatures
		}) &&
		maps.EqualFunc(e.Features, other.Features, slices.Equal)
}

// intern makes equal texts one: the names of a few thousand crates and features stand in a million dependencies.
func intern(s string) string {
	if s == "" {
		return ""
	}
	return unique.Make(strings.Clone(s)).Value()
}

// measure gives the size of the record.
func (r *record) measure() uint32 {
	const perDetail, perDep, perFeature, perText = 96, 128, 64, 16
	n := 256 + cap(r.versions)*int(unsafe.Sizeof(version{}))
	counted := map[*detail]bool{}
	for i := range r.versions {
		d := r.versions[i].detail
		if counted[d] {
			continue
		}
		counted[d] = true
		n += perDetail + len(d.deps)*perDep + len(d.features)*perFeature
		for _, dep := range d.deps {
			n += len(dep.features) * perText
		}
		for _, f := range d.features {
			n += len(f.values) * perText
		}
	}
	return uint32(n)
}

// compareBuild orders build metadata as Rust's semver crate does: part by part, digits before others, and digits by their value.
func compareBuild(a, b string) int {
	if a == b {
		return 0
	}
	if a == "" || b == "" {
		return cmp.Compare(len(a), len(b))
	}
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		an, bn := isDigits(as[i]), isDigits(bs[i])
		switch {
		case an && !bn:
			return -1
		case !an && bn:
			return 1
		case an:
			x, y := strings.TrimLeft(as[i], "0"), strings.TrimLeft(bs[i], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y), cmp.Compare(len(as[i]), len(bs[i]))); c != 0 {
				return c
			}
		default:
			if c := cmp.Compare(as[i], bs[i]); c != 0 {
				return c
			}
		}
	}
	return cmp.Compare(len(as), len(bs))
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
