package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/mirror/advisory"
	"github.com/crateyard/crateyard/registry/wire"
)

// Policy is a wire.MirrorPolicy that is understood. It does not change; any number may use it at once.
type Policy struct {
	allow, deny   []*pattern
	minimumAge    time.Duration
	ageExceptions []*pattern
	licenses      crate.LicenseSet // nil: any
	licExceptions []*pattern
	denyYanked    bool
	maxSize       int64
	advisories    *advisoryRule // nil: none are looked at
}

// advisoryRule says which advisories count.
type advisoryRule struct {
	warn          bool
	severity      advisory.Severity
	informational bool
	exceptions    map[string]bool // ids in lower case
}

// Compile reads a policy. Its error joins all that is wrong, each with its field, as JSON names it, and entry: what is no
// pattern, license or word of the field, and what contradicts itself (see contradictions).
func Compile(p wire.MirrorPolicy) (*Policy, error) { return understand(p, true) }

// Taken reads a policy that was taken before, maybe by a version that saw fewer contradictions: it does what its rules say all the same.
func Taken(p wire.MirrorPolicy) (*Policy, error) { return understand(p, false) }

func understand(p wire.MirrorPolicy, asNew bool) (*Policy, error) {
	c := compiler{}
	out := &Policy{
		allow:         c.patterns("allow", p.Allow),
		deny:          c.patterns("deny", p.Deny),
		minimumAge:    time.Duration(p.MinimumAge),
		ageExceptions: c.patterns("minimum_age_exceptions", p.MinimumAgeExceptions),
		licenses:      c.licenses(p.Licenses),
		licExceptions: c.patterns("license_exceptions", p.LicenseExceptions),
		maxSize:       p.MaxCrateSize,
		advisories:    c.advisories(p.Advisories),
	}
	out.denyYanked = c.word("yanked", p.Yanked, "Keep", "Deny") == "Deny"
	if p.MinimumAge < 0 {
		c.wrong("minimum_age", "%s is negative", short(out.minimumAge))
	}
	if p.MaxCrateSize < 0 {
		c.wrong("max_crate_size", "%d is negative; 0 is no limit", p.MaxCrateSize)
	}
	if asNew {
		c.contradictions(p, out)
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return out, nil
}

type compiler struct{ errs []error }

func (c *compiler) wrong(field, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%s: "+format, append([]any{field}, args...)...))
}

// entry is a field and the place and text of an entry.
func entry(field string, i int, text string) string {
	return fmt.Sprintf("%s[%d] %.100q", field, i, text)
}

func (c *compiler) patterns(field string, texts []string) (list []*pattern) {
	for i, text := range texts {
		p, err := parsePattern(text)
		if err != nil {
			c.wrong(entry(field, i, text), "%w", err)
			p.name = "" // matches nothing, and keeps the places of the others
		}
		list = append(list, &p)
	}
	return list
}

func (c *compiler) licenses(ids []string) crate.LicenseSet {
	if len(ids) == 0 {
		return nil
	}
	set := crate.LicenseSet{}
	for i, id := range ids {
		if err := set.Add(id); err != nil {
			c.wrong(entry("licenses", i, id), "%w", err)
		}
	}
	return set
}

// word checks that a field has one of some words; an empty one is the first.
func (c *compiler) word(field, text string, words ...string) string {
	if text == "" {
		return words[0]
	}
	for _, w := range words {
		if text == w {
			return w
		}
	}
	c.wrong(field, "%.100q must be one of %s", text, strings.Join(words, ", "))
	return words[0]
}

var severities = map[string]advisory.Severity{"Low": advisory.Low, "Medium": advisory.Medium, "High": advisory.High, "Critical": advisory.Critical}

func (c *compiler) advisories(a *wire.MirrorAdvisories) *advisoryRule {
	if a == nil {
		return nil
	}
	if err := advisory.CheckSource(a.Source); err != nil {
		c.wrong("advisories.source", "%w", err)
	}
	r := &advisoryRule{
		warn:          c.word("advisories.action", a.Action, "Deny", "Warn") == "Warn",
		severity:      severities[c.word("advisories.minimum_severity", a.MinimumSeverity, "Low", "Medium", "High", "Critical")],
		informational: a.Informational,
		exceptions:    map[string]bool{},
	}
	for i, e := range a.Exceptions {
		id := strings.ToLower(e.ID)
		field := entry("advisories.exceptions", i, e.ID)
		switch {
		case e.ID == "" || len(e.ID) > 100 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-_.:") != "":
			c.wrong(field, "id must be that of an advisory, such as RUSTSEC-2020-0071 or CVE-2020-26235")
		case r.exceptions[id]:
			c.wrong(field, "it comes twice")
		}
		if strings.TrimSpace(e.Reason) == "" {
			c.wrong(field, "reason is missing: say why what the advisory is about may enter")
		}
		r.exceptions[id] = true
	}
	return r
}

// short writes a duration without the parts that are zero: 72h, not 72h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
