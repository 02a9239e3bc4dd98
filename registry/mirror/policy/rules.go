package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/mirror/advisory"
)

// The rules, in the order in which they are asked.
const (
	RuleDeny       = "deny"
	RuleAllow      = "allow"
	RuleYanked     = "yanked"
	RuleAdvisory   = "advisory"
	RuleLicense    = "license"
	RuleMaxSize    = "max-size"
	RulePinned     = "pinned"
	RuleMinimumAge = "minimum-age"
)

// Rules are all of them, for whoever counts by rule.
var Rules = []string{RuleDeny, RuleAllow, RuleYanked, RuleAdvisory, RuleLicense, RuleMaxSize, RulePinned, RuleMinimumAge}

// Denial says why a version, or with an empty Version a whole crate, may not enter.
type Denial struct {
	Crate   string // as upstream spells it
	Version string
	Rule    string
	Reason  string // a sentence for people, without a full stop
}

// Facts are what is known of a version from its archive.
type Facts struct {
	License string // the expression of the manifest; may be empty
	Size    int64  // bytes of the archive; 0: not known
}

// Options are what a decision depends on besides the policy and the line.
type Options struct {
	Now time.Time
	// Facts tells what is known of a version, by the line's text of it. nil: nothing of any.
	Facts func(version string) (Facts, bool)
	// Advisories is the database that the policy names. nil: no advisories, so nothing is denied for one.
	Advisories *advisory.DB
	// Cached reports whether the archive of a version with this SHA-256 (lower-case hex) is cached. Where it is set, what is not cached is
	// denied (mode Pinned).
	Cached func(version, sha256 string) bool
}

// rules are those of a policy that concern one crate.
type rules struct {
	policy     *Policy
	o          *Options
	crate      string
	whole      *Denial    // all versions are denied
	deny       []*pattern // with a requirement
	allow      []*pattern // likewise; nil: not asked
	tooYoung   bool       // minimum-age is asked
	ageExcept  []*pattern
	licensed   bool // license is asked
	licExcept  []*pattern
	advisories []*advisory.Advisory // that count
	v          version              // of the line that is decided
	verdicts   map[string]string    // of license expressions: why not
}

// rules picks what concerns a crate.
func (p *Policy) rules(name string, o *Options) *rules {
	canonical := crate.Canonical(name)
	r := &rules{policy: p, o: o, crate: name, tooYoung: p.minimumAge > 0, licensed: p.licenses != nil && o.Facts != nil}
	for _, d := range p.deny {
		switch {
		case !d.named(canonical):
		case d.deniesAll():
			r.whole = &Denial{Crate: name, Rule: RuleDeny, Reason: fmt.Sprintf("the mirror's policy denies the crate %s (deny %q)", name, d.text)}
			return r
		default:
			r.deny = append(r.deny, d)
		}
	}
	for _, a := range p.allow {
		if a.named(canonical) {
			r.allow = append(r.allow, a)
		}
	}
	if len(p.allow) > 0 && r.allow == nil {
		r.whole = &Denial{Crate: name, Rule: RuleAllow, Reason: fmt.Sprintf("the crate %s is not among what the mirror's policy allows", name)}
		return r
	}
	if r.tooYoung {
		r.ageExcept, r.tooYoung = exceptions(p.ageExceptions, canonical)
	}
	if r.licensed {
		r.licExcept, r.licensed = exceptions(p.licExceptions, canonical)
	}
	if p.advisories != nil {
		for _, a := range o.Advisories.Of(name) {
			if p.advisories.counts(a) {
				r.advisories = append(r.advisories, a)
			}
		}
	}
	return r
}

// exceptions picks the patterns that name a crate; on reports whether the rule is asked of any version at all.
func exceptions(patterns []*pattern, canonical string) (list []*pattern, on bool) {
	for _, p := range patterns {
		if p.named(canonical) {
			if p.req == nil {
				return nil, false
			}
			list = append(list, p)
		}
	}
	return list, true
}

// counts reports whether the policy cares for an advisory.
func (r *advisoryRule) counts(a *advisory.Advisory) bool {
	if r.exceptions[strings.ToLower(a.ID)] || slices.ContainsFunc(a.Aliases, func(id string) bool { return r.exceptions[strings.ToLower(id)] }) {
		return false
	}
	if a.Informational != "" {
		return r.informational
	}
	severity := a.Severity
	if severity == advisory.Unrated {
		severity = advisory.High
	}
	return severity >= r.severity
}

// wants are the fields of a line that the rules ask for.
func (r *rules) wants() field {
	want := fieldName | fieldVers
	if r.whole != nil {
		return want
	}
	if r.policy.denyYanked {
		want |= fieldYanked
	}
	if r.o.Cached != nil {
		want |= fieldCksum
	}
	if r.tooYoung {
		want |= fieldPubtime
	}
	return want
}

// decision is what the rules say of a version.
type decision struct {
	rule, reason string    // empty: admitted
	warning      string    // of an advisory
	until        time.Time // minimum-age admits it from then on; zero: never, or another rule denies it
}

// decide asks the rules in their order.
func (r *rules) decide(l *line) (d decision) {
	r.v = version{text: string(l.vers)}
	v := &r.v
	if r.whole != nil {
		return decision{rule: r.whole.Rule, reason: r.whole.Reason}
	}
	for _, p := range r.deny {
		if p.denies(v) {
			return decision{rule: RuleDeny, reason: "the mirror's policy denies " + r.of() + " (deny " + strconv.Quote(p.text) + ")"}
		}
	}
	if r.allow != nil && !admitsAny(r.allow, v) {
		return decision{rule: RuleAllow, reason: r.of() + " is not among what the mirror's policy allows (allow " + strconv.Quote(r.allow[0].text) + ")"}
	}
	if r.policy.denyYanked && l.yanked {
		return decision{rule: RuleYanked, reason: r.of() + " is yanked, and the mirror's policy denies what is yanked"}
	}
	if text := r.affected(v); text != "" {
		if !r.policy.advisories.warn {
			return decision{rule: RuleAdvisory, reason: text}
		}
		d.warning = text
	}
	if d.rule, d.reason = r.archive(v); d.rule != "" {
		return d
	}
	if r.o.Cached != nil && !r.o.Cached(v.text, string(l.cksum)) {
		d.rule, d.reason = RulePinned, r.of()+" is not cached, and the mirror serves only what is (mode Pinned)"
		return d
	}
	if r.tooYoung && !admitsAny(r.ageExcept, v) {
		d.rule, d.reason, d.until = r.age(l)
	}
	return d
}

// of names the version in a reason. Reasons are joined without fmt where a thousand of them may be wanted for one file.
func (r *rules) of() string {
	return "version " + r.v.text[:min(len(r.v.text), crate.MaxVersionLen)] + " of " + r.crate
}

// archive asks the rules that need more than the index.
func (r *rules) archive(v *version) (rule, reason string) {
	if r.o.Facts == nil || !r.licensed && r.policy.maxSize == 0 {
		return "", ""
	}
	facts, ok := r.o.Facts(v.text)
	if !ok {
		return "", ""
	}
	if r.licensed && !admitsAny(r.licExcept, v) {
		if why := r.license(facts); why != "" {
			return RuleLicense, r.of() + " " + why
		}
	}
	if r.policy.maxSize > 0 && facts.Size > r.policy.maxSize {
		return RuleMaxSize, fmt.Sprintf("%s has %d bytes, more than the %d that the mirror's policy admits", r.of(), facts.Size, r.policy.maxSize)
	}
	return "", ""
}

// license says why a license is not admitted; empty where it is.
func (r *rules) license(f Facts) string {
	if f.License == "" {
		return "has no license expression, and a license file alone is none; the mirror's policy admits such crates as license_exceptions only"
	}
	why, known := r.verdicts[f.License]
	if !known {
		ok, err := r.policy.licenses.Satisfies(f.License)
		switch {
		case err != nil:
			why = fmt.Sprintf("is licensed %.100q, which is no SPDX expression (%v); the mirror's policy admits such crates as license_exceptions only", f.License, err)
		case !ok:
			why = fmt.Sprintf("is licensed %.100q, which the mirror's policy does not admit", f.License)
		}
		if r.verdicts == nil {
			r.verdicts = map[string]string{}
		}
		r.verdicts[f.License] = why
	}
	return why
}

// age asks whether a version was published long ago enough.
func (r *rules) age(l *line) (rule, reason string, until time.Time) {
	published, ok := index.ParsePubTime(l.pubtime)
	if !ok {
		return RuleMinimumAge, "upstream does not say when " + r.of() + " was published, and the mirror's policy admits what was published " + short(r.policy.minimumAge) + " ago or earlier", until
	}
	until = published.Add(r.policy.minimumAge)
	if !until.After(r.o.Now) {
		return "", "", time.Time{}
	}
	return RuleMinimumAge, r.of() + " was published " + string(l.pubtime) + ", less than " + short(r.policy.minimumAge) +
		" ago; the mirror's policy admits it from " + until.Format(index.PubTimeLayout) + " on", until
}

// rank orders advisories: one without a score counts as High, and informational ones come last.
func rank(a *advisory.Advisory) float64 {
	switch {
	case a.Informational != "":
		return -1
	case a.Severity == advisory.Unrated:
		return 7
	}
	return a.Score
}

// affected tells the advisories about a version, the severest by its title; empty where there are none.
func (r *rules) affected(v *version) string {
	var worst *advisory.Advisory
	var others []string
	for _, a := range r.advisories {
		switch {
		case v.known() && !a.Affects(v.parsed):
		case worst == nil:
			worst = a
		case rank(a) > rank(worst):
			worst, others = a, append(others, worst.ID)
		default:
			others = append(others, a.ID)
		}
	}
	if worst == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s has a security advisory, %s", r.of(), worst.ID)
	switch {
	case worst.Informational != "":
		fmt.Fprintf(&b, " (%s)", worst.Informational)
	case worst.Severity != advisory.Unrated:
		fmt.Fprintf(&b, " (%s, CVSS %.1f)", worst.Severity, worst.Score)
	}
	if worst.Title != "" {
		fmt.Fprintf(&b, ": %s", worst.Title)
	}
	if len(worst.Patched) > 0 {
		fmt.Fprintf(&b, "; patched are %s", strings.Join(worst.Patched[:min(5, len(worst.Patched))], " or "))
	} else {
		b.WriteString("; no version is patched")
	}
	if n := len(others); n > 0 {
		fmt.Fprintf(&b, "; and %s", strings.Join(others[:min(5, n)], ", "))
		if n > 5 {
			fmt.Fprintf(&b, " and %d more", n-5)
		}
	}
	return b.String()
}
