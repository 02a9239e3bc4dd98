package policy

import (
	"slices"
	"strings"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/wire"
)

// contradictions tells what of a policy can have no effect but a wrong one: exceptions from a rule that is off, patterns whose requirement takes no
// version, patterns that deny all that another would let in, alone or together, and those that deny everything.
func (c *compiler) contradictions(p wire.MirrorPolicy, out *Policy) {
	if p.MinimumAge == 0 {
		c.useless("minimum_age_exceptions", p.MinimumAgeExceptions, "minimum_age is not set")
	}
	if len(p.Licenses) == 0 {
		c.useless("license_exceptions", p.LicenseExceptions, "licenses are not set, so any is admitted")
	}
	for _, l := range []struct {
		field string
		list  []*pattern
		takes func(crate.Requirement, crate.Version) bool
	}{
		{"allow", out.allow, crate.Requirement.Matches}, {"deny", out.deny, crate.Requirement.Covers},
		{"minimum_age_exceptions", out.ageExceptions, crate.Requirement.Matches}, {"license_exceptions", out.licExceptions, crate.Requirement.Matches},
	} {
		for i, p := range l.list {
			if p.req != nil && !slices.ContainsFunc(crate.Samples(*p.req), func(v crate.Version) bool { return l.takes(*p.req, v) }) {
				c.wrong(entry(l.field, i, p.text), "its requirement takes no version")
			} else if l.field != "deny" {
				c.buried(entry(l.field, i, p.text), p, out.deny)
			}
		}
	}
	if len(out.allow) == 0 { // so all that there is may enter, but for what is denied
		if by := buriers(&pattern{name: "*"}, out.deny); by != nil {
			c.wrong(entries("deny", by, out.deny), "%s every crate, so the mirror would let nothing in", denies(by))
		}
	}
}

// useless tells exceptions from a rule that is off.
func (c *compiler) useless(field string, exceptions []string, why string) {
	for i, text := range exceptions {
		c.wrong(entry(field, i, text), "it excepts nothing: %s", why)
	}
}

// buried tells of what cannot let anything in, because deny comes first.
func (c *compiler) buried(entry string, p *pattern, deny []*pattern) {
	if by := buriers(p, deny); by != nil {
		c.wrong(entry, "%s %s all of it, so it can let nothing in", entries("deny", by, deny), denies(by))
	}
}

// buriers gives the places of those that deny all that p would let in: one, where one does, else those that do it together; nil: some of it gets in.
func buriers(p *pattern, deny []*pattern) (by []int) {
	var parts []crate.Requirement
	if p.req != nil {
		parts = append(parts, *p.req)
	}
	for i, d := range deny {
		if p.name == "" || d.name == "" || !glob(d.name, p.name) { // what p's stars stand for, only a star takes
			continue
		}
		if d.deniesAll() {
			return []int{i}
		}
		by, parts = append(by, i), append(parts, *d.req)
	}
	if by == nil {
		return nil
	}
	samples := slices.DeleteFunc(crate.Samples(parts...), func(v crate.Version) bool {
		if p.req == nil {
			return v == crate.Version{Pre: "0"} // below all versions that there are
		}
		return !p.req.Matches(v)
	})
	denied := func(by []int) bool {
		return !slices.ContainsFunc(samples, func(v crate.Version) bool {
			return !slices.ContainsFunc(by, func(i int) bool { return deny[i].req.Covers(v) })
		})
	}
	if !denied(by) {
		return nil
	}
	for i := len(by) - 1; i >= 0 && len(by) > 1 && len(by) < 50; i-- { // those that are needed for it; of very many nobody reads them
		if rest := slices.Delete(slices.Clone(by), i, i+1); denied(rest) {
			by = rest
		}
	}
	return by
}

// entries names entries of a field for a text.
func entries(field string, places []int, list []*pattern) string {
	var names []string
	for _, i := range places[:min(len(places), 5)] {
		names = append(names, entry(field, i, list[i].text))
	}
	return strings.Join(names, ", ")
}

func denies(by []int) string {
	if len(by) == 1 {
		return "denies"
	}
	return "together deny"
}
