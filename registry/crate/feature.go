package crate

import "unicode"

// isFeature reports whether s may name a feature: as on crates.io, letters and digits of any script, '_', and after the
// first character also '-', '+' and '.'.
func isFeature(s string) bool {
	if s == "" || len(s) > 4*MaxNameLen {
		return false
	}
	for i, r := range s {
		switch {
		case r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
		case i > 0 && (r == '-' || r == '+' || r == '.' || unicode.IsMark(r)):
		default:
			return false
		}
	}
	return true
}
