package crate

import (
	"cmp"
	"fmt"
	"strings"
)

// String writes the requirement as cargo does in the metadata of a publish and in an index: with an operator before each part, and
// '*' alone for any.
func (r Requirement) String() string {
	if r.Any() {
		return "*"
	}
	parts := make([]string, 0, len(r.comparators))
	for _, c := range r.comparators {
		parts = append(parts, c.String())
	}
	return strings.Join(parts, ", ")
}

func (c comparator) String() string {
	s := fmt.Sprint(c.major)
	if c.numbers > 1 {
		s += fmt.Sprintf(".%d", c.minor)
	}
	if c.numbers > 2 {
		s += fmt.Sprintf(".%d", c.patch)
	}
	if c.pre != "" {
		s += "-" + c.pre
	}
	if c.op == opWildcard {
		return s + ".*"
	}
	for _, o := range operators {
		if o.op == c.op {
			return o.text + s
		}
	}
	return s
}

// Metadata gives what cargo would have sent with the archive of this manifest: requirements and targets as cargo writes them, and no
// address where the registry is the one that the crate was published to. isOwn tells its addresses. The text of the readme is
// not in a manifest, and cargo's error for what it would not send is the error here.
func (m *Manifest) Metadata(isOwn func(registry string) bool) (*Metadata, error) {
	meta := &Metadata{
		Name: m.Name, Vers: m.Version, Features: m.Features, Description: m.Description, Documentation: m.Documentation, Homepage: m.Homepage,
		ReadmeFile: m.Readme, Keywords: m.Keywords, Categories: m.Categories, License: m.License, LicenseFile: m.LicenseFile,
		Repository: m.Repository, Links: m.Links, RustVersion: m.RustVersion,
	}
	for _, d := range m.Deps {
		if r, err := ParseRequirement(d.Req); err == nil { // a bad one is named below
			d.Req = r.String()
		}
		if target, err := canonicalTarget(d.Target); err == nil {
			d.Target = target
		}
		d.Kind = cmp.Or(d.Kind, "normal")
		if isOwn(d.Registry) {
			d.Registry = ""
		}
		meta.Deps = append(meta.Deps, d)
	}
	var p problems
	meta.check(&p)
	if err := p.err(); err != nil {
		return nil, err
	}
	return meta, nil
}
