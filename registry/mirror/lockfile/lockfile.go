package lockfile

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
)

// Lockfile is what a mirror needs to know of a Cargo.lock.
type Lockfile struct {
	Version  int       // of the format, 1 to 4
	Packages []Package // of upstream, by name and version, each once
	Skipped  []Skipped // of other sources, by name and version
	Members  int       // packages without a source: the workspace's own, and folders beside it
}

// Package is one version of a crate of upstream.
type Package struct {
	Name    string
	Version string
	SHA256  string // of the archive, lower-case hex; empty where the lockfile has none, as those before cargo 1.0 and some edited ones
}

// Skipped is a package that no mirror of this upstream can have.
type Skipped struct {
	Name    string
	Version string
	Reason  string // for people; names the source without credentials
}

// Parse reads a Cargo.lock. upstream says which packages are the mirror's. Callers that read from a client stop at MaxSize bytes
// themselves; more is refused here, too.
func Parse(data []byte, upstream Sources) (Lockfile, error) {
	if len(data) > MaxSize {
		return Lockfile{}, fault.New(fault.TooLarge, "the lockfile has more than %d bytes, the limit; split the workspace, or pin its crates with requirements", MaxSize)
	}
	f, err := read(data)
	if err != nil {
		return Lockfile{}, err
	}
	return f.group(upstream)
}

// group puts each entry into its group.
func (f *file) group(upstream Sources) (Lockfile, error) {
	lock := Lockfile{Version: f.version}
	reasons := map[string]string{} // why a source is none of upstream; empty: it is
	for _, e := range f.entries {
		if e.source == "" {
			lock.Members++
			continue
		}
		reason, known := reasons[e.source]
		if !known {
			if !upstream.Has(e.source) {
				reason = foreign(e.source)
			}
			reasons[e.source] = reason
		}
		if reason != "" {
			lock.Skipped = append(lock.Skipped, Skipped{Name: clip(e.name), Version: clip(e.version), Reason: reason})
			continue
		}
		p, err := f.upstream(e)
		if err != nil {
			return Lockfile{}, err
		}
		lock.Packages = append(lock.Packages, p)
	}
	slices.SortStableFunc(lock.Skipped, func(a, b Skipped) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), compareVersions(a.Version, b.Version), cmp.Compare(a.Reason, b.Reason))
	})
	lock.Skipped = slices.Compact(lock.Skipped)
	var err error
	lock.Packages, err = fold(lock.Packages)
	return lock, err
}

// upstream checks an entry that is the mirror's.
func (f *file) upstream(e entry) (Package, error) {
	if err := crate.CheckDependencyName(e.name); err != nil {
		return Package{}, broken(e.line, "%v", err)
	}
	if _, err := crate.ParseVersion(e.version); err != nil {
		return Package{}, broken(e.line, "package %s: %v", e.name, err)
	}
	sum := e.checksum
	if sum == "" {
		sum = f.metadata["checksum "+e.name+" "+e.version+" ("+e.source+")"]
	}
	if sum == "<none>" { // how the first format says so
		sum = ""
	}
	if b, err := hex.DecodeString(sum); err != nil || sum != "" && len(b) != 32 {
		return Package{}, broken(e.line, "package %s %s: checksum %q is no SHA-256, which has 64 hexadecimal digits", e.name, e.version, clip(sum))
	}
	return Package{Name: e.name, Version: e.version, SHA256: strings.ToLower(sum)}, nil
}

// fold sorts packages and leaves each once: two of cargo's names for one upstream are one package here.
func fold(all []Package) ([]Package, error) {
	slices.SortFunc(all, func(a, b Package) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), compareVersions(a.Version, b.Version), cmp.Compare(b.SHA256, a.SHA256)) // without a checksum last
	})
	var out []Package
	for _, p := range all {
		if n := len(out); n > 0 && out[n-1].Name == p.Name && out[n-1].Version == p.Version {
			if p.SHA256 != "" && p.SHA256 != out[n-1].SHA256 {
				return nil, broken(0, "package %s %s stands there twice, with two checksums", p.Name, p.Version)
			}
			continue
		}
		out = append(out, p)
	}
	return out, nil
}

// compareVersions orders texts as versions, and what are none as texts.
func compareVersions(a, b string) int {
	v, errA := crate.ParseVersion(a)
	w, errB := crate.ParseVersion(b)
	if errA != nil || errB != nil {
		return cmp.Compare(a, b)
	}
	return cmp.Or(v.Compare(w), cmp.Compare(a, b))
}

// broken is the error of a file that is not as cargo writes it. line 0 means that no one line is to blame.
func broken(line int, format string, args ...any) error {
	text := fault.New(fault.Invalid, format, args...).Detail
	if line > 0 {
		return fault.New(fault.Invalid, "Cargo.lock, line %d: %s; cargo generate-lockfile writes the file anew", line, text)
	}
	return fault.New(fault.Invalid, "Cargo.lock: %s; cargo generate-lockfile writes the file anew", text)
}

// clip shortens what came from outside for a text that people read, and makes it one line.
func clip(s string) string {
	const most = 100
	s = string(bytes.ToValidUTF8([]byte(s), []byte("?")))
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
