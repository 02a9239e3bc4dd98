package crate

import (
	"fmt"
	"slices"
	"strings"
)

// maxComparators is the limit of Rust's semver crate on the comma-separated parts of one requirement.
const maxComparators = 32

// Requirement is a version requirement as cargo understands it: a version must satisfy every comparator.
//
// The grammar and the meaning are those of Rust's semver crate, which differ from every other ecosystem's: comma-separated
// comparators, each an optional operator (= > >= < <= ~ ^; none is ^) and a version that may leave out its minor and patch
// numbers, or put '*', 'x' or 'X' in their place. testdata/requirements.golden holds what the real cargo answers.
type Requirement struct {
	comparators []comparator // none: every version that is no pre-release
}

// comparator is one part of a requirement.
type comparator struct {
	op                  operator
	major, minor, patch uint64
	numbers             int // how many of the three are given: 1 to 3
	pre                 string
}

type operator byte

const (
	opCaret operator = iota // ^1.2, or 1.2 alone
	opExact
	opGreater
	opGreaterEq
	opLess
	opLessEq
	opTilde
	opWildcard // 1.2.*
)

// operators in the order in which they are tried: the longer of two that begin alike comes first.
var operators = []struct {
	text string
	op   operator
}{{">=", opGreaterEq}, {"<=", opLessEq}, {"=", opExact}, {">", opGreater}, {"<", opLess}, {"~", opTilde}, {"^", opCaret}}

// ParseRequirement reads a requirement. An index line with a bad one makes cargo pass over the version without a word, so it
// must be refused at publish. Build metadata is read and dropped, as cargo does.
func ParseRequirement(s string) (Requirement, error) {
	r, err := parseRequirement(s)
	if err != nil {
		return Requirement{}, fmt.Errorf("invalid version requirement %q: %w", clip(s), err)
	}
	return r, nil
}

func parseRequirement(s string) (r Requirement, err error) {
	s = strings.Trim(s, " ")
	if isWildcard(s) {
		return r, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		if len(r.comparators) == maxComparators {
			return r, fmt.Errorf("it has more than %d parts", maxComparators)
		}
		c, err := parseComparator(strings.Trim(part, " "))
		if err != nil {
			return r, err
		}
		r.comparators = append(r.comparators, c)
	}
	return r, nil
}

func parseComparator(s string) (c comparator, err error) {
	named := ""
	for _, o := range operators {
		if strings.HasPrefix(s, o.text) {
			named, c.op, s = o.text, o.op, strings.TrimLeft(s[len(o.text):], " ")
			break
		}
	}
	switch {
	case s == "" && named == "":
		return c, fmt.Errorf("a version is missing; each part between commas needs one, such as \"1.2\"")
	case s == "":
		return c, fmt.Errorf("a version is missing after %q", named)
	}
	if isWildcard(s) {
		return c, fmt.Errorf("a wildcard must stand alone, without operator or comma")
	}
	rest, build, hasBuild := strings.Cut(s, "+")
	rest, pre, hasPre := strings.Cut(rest, "-")
	if err := c.parseNumbers(rest, named == ""); err != nil {
		return c, err
	}
	if (hasPre || hasBuild) && c.numbers < 3 {
		return c, fmt.Errorf("pre-release or build metadata needs all three numbers")
	}
	if hasPre {
		if err := checkIdentifiers(pre, true); err != nil {
			return c, err
		}
		c.pre = pre
	}
	if hasBuild {
		return c, checkIdentifiers(build, false)
	}
	return c, nil
}

// parseNumbers reads up to three numbers, of which the last ones may be wildcards.
func (c *comparator) parseNumbers(s string, bare bool) error {
	parts := strings.Split(s, ".")
	if len(parts) > 3 {
		return fmt.Errorf("%q has more than three numbers", clip(s))
	}
	wild := false
	for i, to := range []*uint64{&c.major, &c.minor, &c.patch}[:len(parts)] {
		switch {
		case i > 0 && isWildcard(parts[i]):
			wild = true
			if bare {
				c.op = opWildcard
			}
		case wild:
			return fmt.Errorf("a number follows a wildcard in %q", clip(s))
		default:
			n, err := parseNumber(parts[i])
			if err != nil {
				return err
			}
			*to = n
			c.numbers++
		}
	}
	return nil
}

func isWildcard(s string) bool { return s == "*" || s == "x" || s == "X" }

// Any reports whether the requirement is a lone wildcard.
func (r Requirement) Any() bool { return len(r.comparators) == 0 }

// Equal reports whether two requirements were written alike, but for spaces, build metadata and a '^' that may be left out.
func (r Requirement) Equal(other Requirement) bool {
	return slices.Equal(r.comparators, other.comparators)
}
