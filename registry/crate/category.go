package crate

import (
	_ "embed"
	"strings"
)

// categories.txt holds the slugs of crates.io's categories as of August 2026, one a line.
//
//go:embed categories.txt
var categorySlugs string

var categories = set(categorySlugs)

// IsCategory reports whether crates.io has a category of that slug, such as command-line-utilities or development-tools::testing.
func IsCategory(slug string) bool { return categories[slug] }

// MaxCategoryLen bounds a category, in bytes; the longest of crates.io's has 54.
const MaxCategoryLen = 64

// IsCategorySlug reports whether s could be a category: ASCII letters, digits, '-' and '_', in parts that "::" joins, as those of
// crates.io are. Case does not count.
func IsCategorySlug(s string) bool {
	for part := range strings.SplitSeq(s, "::") {
		if part == "" || strings.Trim(part, wordLetters+"-") != "" {
			return false
		}
	}
	return len(s) <= MaxCategoryLen
}
