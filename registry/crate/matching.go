package crate

import (
	"cmp"
	"math"
)

// Matches reports whether cargo takes v for a version that satisfies r. A pre-release satisfies it only when one of the
// comparators names a pre-release of the same three numbers: ^1.2.3-rc.1 takes 1.2.3-rc.2 and 1.3.0, but not 1.3.0-rc.1.
func (r Requirement) Matches(v Version) bool {
	named := v.Pre == ""
	for _, c := range r.comparators {
		if !c.matches(v) {
			return false
		}
		named = named || c.pre != "" && c.numbers == 3 && c.major == v.Major && c.minor == v.Minor && c.patch == v.Patch
	}
	return named
}

func (c comparator) matches(v Version) bool {
	order := c.order(v)
	exact := order == 0 && v.Pre == c.pre
	switch c.op {
	case opExact, opWildcard:
		return exact
	case opGreater:
		return order > 0
	case opGreaterEq:
		return order > 0 || exact
	case opLess:
		return order < 0
	case opLessEq:
		return order < 0 || exact
	case opTilde:
		return (order > 0 || exact) && c.sameNumbers(v, min(c.numbers, 2))
	}
	return order >= 0 && c.sameNumbers(v, c.caretNumbers())
}

// Covers reports whether r may be meant of v, for whoever would rather refuse a version too many: as Matches, but a pre-release counts as
// a version like any other, by its precedence. <1.2.3 covers 1.2.3-rc.1. Where a comparator leaves numbers out, the pre-releases of
// the first version lie on both of its sides: <1.2 covers 1.2.0-rc.1, and so does >=1.2. A lone wildcard covers everything.
func (r Requirement) Covers(v Version) bool {
	for _, c := range r.comparators {
		if !c.covers(v) {
			return false
		}
	}
	return true
}

func (c comparator) covers(v Version) bool {
	order := c.order(v)
	switch c.op {
	case opExact, opWildcard:
		return order == 0
	case opGreater:
		return order > 0
	case opGreaterEq:
		return order >= 0
	case opLess:
		return order < 0 || v.Compare(Version{Major: c.major, Minor: c.minor, Patch: c.patch, Pre: c.pre}) < 0
	case opLessEq:
		return order <= 0
	case opTilde:
		return order >= 0 && c.sameNumbers(v, min(c.numbers, 2))
	}
	return order >= 0 && c.sameNumbers(v, c.caretNumbers())
}

// order says where v lies: below (-1), among (0) or above (+1) the versions that begin with the comparator's numbers. Where
// fewer than three are given, pre-releases lie among them, too.
func (c comparator) order(v Version) int {
	for i, d := range []int{cmp.Compare(v.Major, c.major), cmp.Compare(v.Minor, c.minor), cmp.Compare(v.Patch, c.patch)} {
		if i == c.numbers {
			return 0
		}
		if d != 0 {
			return d
		}
	}
	return comparePre(v.Pre, c.pre)
}

// sameNumbers reports whether the first n numbers are v's.
func (c comparator) sameNumbers(v Version, n int) bool {
	return (n < 1 || v.Major == c.major) && (n < 2 || v.Minor == c.minor) && (n < 3 || v.Patch == c.patch)
}

// caretNumbers is how many numbers '^' holds fast: those up to the first that is not zero, of those that are given.
func (c comparator) caretNumbers() int {
	switch {
	case c.major > 0 || c.numbers == 1:
		return 1
	case c.minor > 0 || c.numbers == 2:
		return 2
	}
	return 3
}

// Samples gives versions that stand for all: whatever some requirements say of any version, together or alone, by Matches and Covers, they say of one of these,
// too. What a comparator takes begins and ends at its own version or at one that raises one of its numbers, so between two neighbours of these points all
// comparators say the same.
func Samples(requirements ...Requirement) []Version {
	seen := map[Version]bool{}
	var all []Version
	add := func(v Version) {
		if !seen[v] {
			seen[v] = true
			all = append(all, v)
		}
	}
	point := func(major, minor, patch uint64) {
		add(Version{Major: major, Minor: minor, Patch: patch})
		add(Version{Major: major, Minor: minor, Patch: patch, Pre: "0"}) // the lowest of its pre-releases
	}
	point(0, 0, 0)
	for _, r := range requirements {
		for _, c := range r.comparators {
			point(c.major, c.minor, c.patch)
			if c.patch < math.MaxUint64 {
				point(c.major, c.minor, c.patch+1)
			}
			if c.minor < math.MaxUint64 {
				point(c.major, c.minor+1, 0)
			}
			if c.major < math.MaxUint64 {
				point(c.major+1, 0, 0)
			}
			if c.pre != "" { // and the next above it
				add(Version{Major: c.major, Minor: c.minor, Patch: c.patch, Pre: c.pre})
				add(Version{Major: c.major, Minor: c.minor, Patch: c.patch, Pre: c.pre + ".0"})
			}
		}
	}
	return all
}
