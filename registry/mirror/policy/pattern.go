package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crateyard/crateyard/registry/crate"
)

// pattern names crates, or versions of them.
type pattern struct {
	text string // as it was written
	name string // canonical, with '*'
	req  *crate.Requirement
}

func parsePattern(text string) (pattern, error) {
	name, req, hasReq := strings.Cut(text, "@")
	p := pattern{text: text, name: crate.Canonical(name)}
	// What a pattern without its stars has must be able to be part of a name.
	literal := strings.ReplaceAll(name, "*", "")
	switch {
	case name == "":
		return p, fmt.Errorf("the name of a crate is missing; * stands for all")
	case strings.Trim(literal, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "":
		return p, fmt.Errorf("a pattern has ASCII letters, digits, '-', '_' and '*', and may be followed by @ and a requirement")
	case len(literal) > crate.MaxNameLen:
		return p, fmt.Errorf("no crate's name has more than %d characters", crate.MaxNameLen)
	case name[0] != '*' && strings.ContainsRune("0123456789-_", rune(name[0])):
		return p, fmt.Errorf("no crate's name begins with %q", name[0])
	case !hasReq:
		return p, nil
	}
	r, err := crate.ParseRequirement(req)
	if err != nil {
		return p, err
	}
	p.req = &r
	return p, nil
}

// named reports whether the pattern is about the crate of that canonical name.
func (p *pattern) named(name string) bool { return glob(p.name, name) }

// deniesAll reports whether the pattern, as one of deny, denies every version of what it names.
func (p *pattern) deniesAll() bool { return p.req == nil || p.req.Any() }

// denies and admits are the two meanings of a requirement, see the package's comment.
func (p *pattern) denies(v *version) bool {
	return p.req == nil || !v.known() || p.req.Covers(v.parsed)
}

func (p *pattern) admits(v *version) bool {
	return p.req == nil || v.known() && p.req.Matches(v.parsed)
}

func admitsAny(patterns []*pattern, v *version) bool {
	return slices.ContainsFunc(patterns, func(p *pattern) bool { return p.admits(v) })
}

// glob reports whether the stars of a pattern can be replaced so that it becomes s.
func glob(pattern, s string) bool {
	star, from := -1, 0 // where the last star stands, and where in s what it takes began
	at, i := 0, 0
	for i < len(s) {
		switch {
		case at < len(pattern) && pattern[at] == '*':
			star, from = at, i
			at++
		case at < len(pattern) && pattern[at] == s[i]:
			at, i = at+1, i+1
		case star >= 0: // the star takes one more
			from++
			at, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[at:], "*") == ""
}

// version is a version that is parsed when somebody asks.
type version struct {
	text   string
	parsed crate.Version
	state  int8 // 0: not parsed yet, 1: parsed, -1: cannot be parsed
}

func (v *version) known() bool {
	if v.state == 0 {
		var err error
		if v.parsed, err = crate.ParseVersion(v.text); err != nil {
			v.state = -1
		} else {
			v.state = 1
		}
	}
	return v.state > 0
}
