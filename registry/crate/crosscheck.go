package crate

import (
	"cmp"
	"fmt"
	"slices"
)

// CheckMetadata holds the metadata of a publish against the manifest in its archive and reports every difference, one a line.
// cargo makes both from the same manifest, so that a difference is a fault or a forgery: the index would promise what the
// archive does not hold. Name and version CheckArchive has compared. isOwn tells the addresses of the registry that is published to,
// mayBeOwn those by which its publisher may know it, too.
//
// Requirements and targets are compared by meaning, since cargo writes them anew in the metadata. What could not be read on one side is
// not compared: that it could not is said already.
func (m *Manifest) CheckMetadata(meta *Metadata, isOwn, mayBeOwn func(registry string) bool) error {
	var p problems
	if !m.unread["links"] && !meta.unread["links"] {
		p.differ("links", "", meta.Links, m.Links)
	}
	if meta.RustVersion != "" && !m.unread["rust-version"] && !meta.unread["rust_version"] { // old cargos, such as 1.65, do not send it
		p.differ("rust_version", "", meta.RustVersion, m.RustVersion)
	}
	m.compareDependencies(&p, meta, isOwn, mayBeOwn)
	if m.unread["features"] || meta.unread["features"] {
		return p.err()
	}
	for _, name := range sortedKeys(merged(meta.Features, m.Features)) {
		if m.unread[featurePart(name)] {
			continue
		}
		a, inMeta := meta.Features[name]
		b, inManifest := m.Features[name]
		if inMeta != inManifest {
			p.only("features", name, inMeta)
		} else {
			p.differInLists("features", clip(name), a, b)
		}
	}
	return p.err()
}

func (m *Manifest) compareDependencies(p *problems, meta *Metadata, isOwn, mayBeOwn func(registry string) bool) {
	if m.unread["deps"] || meta.unread["deps"] {
		return
	}
	ours, theirs := groupDependencies(meta.Deps, isOwn), groupDependencies(m.Deps, m.isPublishedTo(meta, isOwn, mayBeOwn))
	for _, key := range sortedKeys(merged(ours, theirs)) {
		if !m.unread[key] {
			compareDependencies(p, ours[key], theirs[key])
		}
	}
}

// Describe makes metadata say of the crate what the manifest does: all that is shown of it and that a registry's policy may ask for, but
// for the readme's text, which only the metadata has. The metadata is the uploader's word, the manifest what users get. The error lists what
// is broken, one a line, in the words of ParseMetadata.
func (m *Manifest) Describe(meta *Metadata) error {
	for _, f := range []struct {
		key      string
		to, from *string
	}{
		{"description", &meta.Description, &m.Description}, {"homepage", &meta.Homepage, &m.Homepage}, {"documentation", &meta.Documentation, &m.Documentation},
		{"repository", &meta.Repository, &m.Repository}, {"license", &meta.License, &m.License}, {"license-file", &meta.LicenseFile, &m.LicenseFile},
		{"rust-version", &meta.RustVersion, &m.RustVersion},
	} {
		if !m.unread[f.key] {
			*f.to = *f.from
		}
	}
	if !m.unread["keywords"] {
		meta.Keywords = m.Keywords
	}
	if !m.unread["categories"] {
		meta.Categories = m.Categories
	}
	if m.Readme != "" { // old cargos leave it to be found
		meta.ReadmeFile = m.Readme
	}
	var p problems
	meta.checkShown(&p)
	return p.err()
}

// isPublishedTo tells the addresses of the registry that is published to, as the manifest has them. That registry has no address
// in the metadata; in the manifest it has the one that the publisher's cargo knows it by, which need not be one of ours (a
// forwarded port, an older name), and none at all when cargo takes it for crates.io. So one address in the manifest may be
// another name for ours, if the metadata does not set that address apart from ours, and if mayBeOwn believes it: with any other the
// archive would lead its users to a registry that nobody allowed.
func (m *Manifest) isPublishedTo(meta *Metadata, isOwn, mayBeOwn func(string) bool) func(string) bool {
	apart := map[string]bool{}
	for _, d := range meta.Deps {
		apart[d.Registry] = true
	}
	var other []string
	for _, d := range m.Deps {
		if r := d.Registry; !m.unread[d.part()] && !isOwn(r) && !apart[r] && !slices.Contains(other, r) {
			other = append(other, r)
		}
	}
	if len(other) != 1 || !mayBeOwn(other[0]) {
		return isOwn
	}
	return func(registry string) bool { return isOwn(registry) || registry == other[0] }
}

// differ notes two values of one thing that are not the same.
func (p *problems) differ(field, of, inMetadata, inManifest string) {
	if inMetadata == inManifest {
		return
	}
	if of != "" {
		of += ": "
	}
	p.add(field, "%s%q in the metadata, %q in the Cargo.toml in the archive", of, clip(inMetadata), clip(inManifest))
}

func (p *problems) only(field, name string, inMetadata bool) {
	if inMetadata {
		p.add(field, "%s stands in the metadata and not in the Cargo.toml in the archive", clip(name))
	} else {
		p.add(field, "%s stands in the Cargo.toml in the archive and not in the metadata", clip(name))
	}
}

func merged[V any](a, b map[string]V) map[string]bool {
	keys := map[string]bool{}
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	return keys
}

// groupDependencies puts dependencies in the form in which they can be compared, by what tells them apart in a manifest: kind,
// target and name. The registry published to is "".
func groupDependencies(deps []Dependency, isOwn func(string) bool) map[string][]Dependency {
	groups := map[string][]Dependency{}
	for _, d := range deps {
		d.Kind, d.Target = cmp.Or(d.Kind, "normal"), sameTarget(d.Target)
		if isOwn(d.Registry) {
			d.Registry = ""
		}
		d.Features = slices.Compact(slices.Sorted(slices.Values(d.Features)))
		d.Alias = d.TOMLName()
		groups[d.part()] = append(groups[d.part()], d)
	}
	for _, group := range groups {
		slices.SortFunc(group, func(a, b Dependency) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	return groups
}

// part is what tells a dependency apart in a manifest.
func (d Dependency) part() string {
	return d.TOMLName() + "\x00" + cmp.Or(d.Kind, "normal") + "\x00" + sameTarget(d.Target)
}

// sameTarget is the one form of a target, if it can be read.
func sameTarget(target string) string {
	if same, err := canonicalTarget(target); err == nil {
		return same
	}
	return target
}

// compareDependencies compares dependencies of one kind, target and name: one each, in what cargo sends.
func compareDependencies(p *problems, metadata, manifest []Dependency) {
	for i := range max(len(metadata), len(manifest)) {
		switch {
		case i >= len(manifest):
			p.only("deps", metadata[i].describe(), true)
		case i >= len(metadata):
			p.only("deps", manifest[i].describe(), false)
		default:
			metadata[i].compare(p, manifest[i])
		}
	}
}

// describe names a dependency as a person would look for it.
func (d Dependency) describe() string {
	s := clip(d.TOMLName())
	if d.Kind != "" && d.Kind != "normal" {
		s += " (" + d.Kind + ")"
	}
	if d.Target != "" {
		s += " for " + clip(d.Target)
	}
	return s
}

func (d Dependency) compare(p *problems, manifest Dependency) {
	if a, err := ParseRequirement(d.Req); err == nil {
		if b, err := ParseRequirement(manifest.Req); err != nil || !a.Equal(b) {
			p.differ("deps", d.describe()+": version", d.Req, manifest.Req)
		}
	}
	p.differ("deps", d.describe()+": package", d.Name, manifest.Name)
	p.differ("deps", d.describe()+": optional", fmt.Sprint(d.Optional), fmt.Sprint(manifest.Optional))
	p.differ("deps", d.describe()+": default-features", fmt.Sprint(d.DefaultFeatures), fmt.Sprint(manifest.DefaultFeatures))
	p.differInLists("deps", d.describe()+": features", d.Features, manifest.Features)
	p.differ("deps", d.describe()+": registry", cmp.Or(d.Registry, "this registry"), cmp.Or(manifest.Registry, "this registry"))
}

// differInLists notes what stands in one of two lists alone; their order means nothing.
func (p *problems) differInLists(field, of string, inMetadata, inManifest []string) {
	if extra := without(inMetadata, inManifest); len(extra) > 0 {
		p.add(field, "%s: the metadata has %q, the Cargo.toml in the archive has not", of, clipAll(extra))
	}
	if extra := without(inManifest, inMetadata); len(extra) > 0 {
		p.add(field, "%s: the Cargo.toml in the archive has %q, the metadata has not", of, clipAll(extra))
	}
}

func without(values, others []string) (rest []string) {
	known := map[string]bool{}
	for _, o := range others {
		known[o] = true
	}
	for _, v := range values {
		if !known[v] {
			rest = append(rest, v)
		}
	}
	return rest
}

// clipAll keeps a list short enough for a message.
func clipAll(values []string) (short []string) {
	for _, v := range values[:min(5, len(values))] {
		short = append(short, clip(v))
	}
	return short
}
