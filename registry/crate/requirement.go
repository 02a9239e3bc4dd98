package crate

import (
	"fmt"
	"strings"
)

// maxComparators is the limit of Rust's semver crate on the comma-separated parts of one requirement.
const maxComparators = 32

// CheckRequirement reports why s is no version requirement that cargo accepts, or nil. An index line with a bad
// requirement makes cargo pass over the version without a word, so it must be refused at publish.
//
// The grammar is that of Rust's semver crate: comma-separated comparators, each an optional operator (= > >= < <= ~ ^) and a
// version that may leave out its minor and patch numbers, or put '*', 'x' or 'X' in their place.
func CheckRequirement(s string) error {
	if err := checkRequirement(s); err != nil {
		return fmt.Errorf("invalid version requirement %q: %w", clip(s), err)
	}
	return nil
}

func checkRequirement(s string) error {
	s = strings.Trim(s, " ")
	if isWildcard(s) {
		return nil
	}
	parts := strings.Split(s, ",")
	if len(parts) > maxComparators {
		return fmt.Errorf("it has %d parts, the limit is %d", len(parts), maxComparators)
	}
	for _, p := range parts {
		if err := checkComparator(strings.Trim(p, " ")); err != nil {
			return err
		}
	}
	return nil
}

func checkComparator(s string) error {
	operator := ""
	for _, op := range []string{">=", "<=", "=", ">", "<", "~", "^"} {
		if strings.HasPrefix(s, op) {
			operator, s = op, strings.TrimLeft(s[len(op):], " ")
			break
		}
	}
	if s == "" {
		return fmt.Errorf("a version is missing after %q", operator)
	}
	if isWildcard(s) {
		return fmt.Errorf("a wildcard must stand alone, without operator or comma")
	}
	rest, build, hasBuild := strings.Cut(s, "+")
	rest, pre, hasPre := strings.Cut(rest, "-")
	numbers := strings.Split(rest, ".")
	if len(numbers) > 3 {
		return fmt.Errorf("%q has more than three numbers", clip(rest))
	}
	wild := false
	for i, n := range numbers {
		switch {
		case i > 0 && isWildcard(n):
			wild = true
		case wild:
			return fmt.Errorf("a number follows a wildcard in %q", clip(rest))
		default:
			if _, err := parseNumber(n); err != nil {
				return err
			}
		}
	}
	if (hasPre || hasBuild) && (len(numbers) < 3 || wild) {
		return fmt.Errorf("pre-release or build metadata needs all three numbers")
	}
	if hasPre {
		if err := checkIdentifiers(pre, true); err != nil {
			return err
		}
	}
	if hasBuild {
		return checkIdentifiers(build, false)
	}
	return nil
}

func isWildcard(s string) bool { return s == "*" || s == "x" || s == "X" }
