package plan

import (
	"slices"
	"strconv"
	"strings"
)

// rust is a Rust toolchain, or the oldest that a version needs: 1.85 or 1.85.1.
type rust [3]uint64

// parseRust reads one to three numbers. A pre-release, as of a nightly, counts as its release, as cargo has it.
func parseRust(s string) (r rust, ok bool) {
	s, _, _ = strings.Cut(s, "-")
	parts := strings.Split(s, ".")
	if len(parts) > 3 {
		return r, false
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 64)
		if err != nil || p != strconv.FormatUint(n, 10) {
			return r, false
		}
		r[i] = n
	}
	return r, true
}

// IsRust reports whether a text is a version of Rust as Options.Rust wants it.
func IsRust(s string) bool { _, ok := parseRust(s); return ok }

// preference is in which order cargo tries the versions that a requirement takes: the newest first, or, with a Rust, those first that
// it builds (cargo's resolver "3", the default of edition 2024).
type preference struct{ rust *rust }

// order sorts candidates, which come newest first.
func (p preference) order(r *record, candidates []int) []int {
	if p.rust == nil {
		return candidates
	}
	slices.SortStableFunc(candidates, func(a, b int) int {
		switch x, y := p.builds(&r.versions[a]), p.builds(&r.versions[b]); {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
	return candidates
}

func (p preference) builds(v *version) bool {
	if v.rust == "" {
		return true
	}
	oldest, ok := parseRust(v.rust)
	return ok && slices.Compare(oldest[:], p.rust[:]) <= 0
}
