package crate

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Version is a strict semver 2.0.0 version, with cargo's limits: each number fits 64 bits.
type Version struct {
	Major, Minor, Patch uint64
	Pre                 string // dot-separated identifiers after '-', without it
	Build               string // dot-separated identifiers after '+', without it
}

// ParseVersion reads a version as cargo does: three numbers without leading zeros, no "v", no spaces.
func ParseVersion(s string) (Version, error) {
	if v, ok := parsePlain(s); ok {
		return v, nil
	}
	v, err := parseVersion(s)
	if err != nil {
		return Version{}, fmt.Errorf("invalid version %q: %w", clip(s), err)
	}
	return v, nil
}

// parsePlain reads the most common form, three numbers and no more, several times as fast: whole index files are read for their versions.
// What it cannot read is not wrong.
func parsePlain(s string) (v Version, ok bool) {
	var numbers [3]uint64
	n, start := 0, 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && isDigit(s[i]) {
			numbers[n] = 10*numbers[n] + uint64(s[i]-'0')
			continue
		}
		digits := i - start
		if digits == 0 || digits > 18 || digits > 1 && s[start] == '0' || (i == len(s)) != (n == 2) || i < len(s) && s[i] != '.' {
			return v, false
		}
		n, start = n+1, i+1
	}
	return Version{Major: numbers[0], Minor: numbers[1], Patch: numbers[2]}, true
}

func parseVersion(s string) (v Version, err error) {
	if len(s) > MaxVersionLen {
		return v, fmt.Errorf("it has %d characters, the limit is %d", len(s), MaxVersionLen)
	}
	rest, build, hasBuild := strings.Cut(s, "+")
	rest, pre, hasPre := strings.Cut(rest, "-")
	if strings.Count(rest, ".") != 2 {
		return v, fmt.Errorf("a version is MAJOR.MINOR.PATCH, such as 1.0.0")
	}
	for _, to := range [...]*uint64{&v.Major, &v.Minor, &v.Patch} {
		number, behind, _ := strings.Cut(rest, ".")
		if *to, err = parseNumber(number); err != nil {
			return v, err
		}
		rest = behind
	}
	if hasPre {
		if err := checkIdentifiers(pre, true); err != nil {
			return v, fmt.Errorf("pre-release: %w", err)
		}
	}
	if hasBuild {
		if err := checkIdentifiers(build, false); err != nil {
			return v, fmt.Errorf("build metadata: %w", err)
		}
	}
	v.Pre, v.Build = pre, build
	return v, nil
}

func parseNumber(s string) (uint64, error) {
	if !allDigits(s) {
		return 0, fmt.Errorf("%q is not a number", clip(s))
	}
	if len(s) > 1 && s[0] == '0' {
		return 0, fmt.Errorf("number %q has a leading zero", clip(s))
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("number %q is too large", clip(s))
	}
	return n, nil
}

// checkIdentifiers checks the dot-separated parts of a pre-release or of build metadata; numeric pre-release parts have no
// leading zeros, because they are compared as numbers.
func checkIdentifiers(s string, pre bool) error {
	for id := range strings.SplitSeq(s, ".") {
		if id == "" {
			return fmt.Errorf("an identifier is empty")
		}
		for i := range len(id) {
			if c := id[i]; !isLetter(c) && !isDigit(c) && c != '-' {
				return fmt.Errorf("only ASCII letters, digits, '-' and '.' are allowed")
			}
		}
		if pre && allDigits(id) && len(id) > 1 && id[0] == '0' {
			return fmt.Errorf("number %q has a leading zero", clip(id))
		}
	}
	return nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

// String gives the version as cargo prints it.
func (v Version) String() string {
	s := v.Release()
	if v.Build != "" {
		s += "+" + v.Build
	}
	return s
}

// Release is the version without build metadata: what may exist only once in a registry.
func (v Version) Release() string {
	s := fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
	if v.Pre != "" {
		s += "-" + v.Pre
	}
	return s
}

// Compare orders versions by semver precedence, where build metadata does not count: -1, 0 or +1.
func (v Version) Compare(w Version) int {
	if c := cmp.Or(cmp.Compare(v.Major, w.Major), cmp.Compare(v.Minor, w.Minor), cmp.Compare(v.Patch, w.Patch)); c != 0 {
		return c
	}
	return comparePre(v.Pre, w.Pre)
}

// comparePre orders pre-releases: none is higher than any; numbers are lower than words and compare as numbers; a
// longer list is higher than its own prefix.
func comparePre(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == "":
		return 1
	case b == "":
		return -1
	}
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		if c := compareIdentifier(as[i], bs[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}

func compareIdentifier(a, b string) int {
	an, bn := allDigits(a), allDigits(b)
	switch {
	case an && bn: // of any length, so by length first; neither has leading zeros
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	case an:
		return -1
	case bn:
		return 1
	}
	return cmp.Compare(a, b)
}
