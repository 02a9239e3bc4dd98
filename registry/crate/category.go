package crate

import _ "embed"

// categories.txt holds the slugs of crates.io's categories as of August 2026, one a line.
//
//go:embed categories.txt
var categorySlugs string

var categories = set(categorySlugs)

// IsCategory reports whether crates.io has a category of that slug, such as command-line-utilities or development-tools::testing.
func IsCategory(slug string) bool { return categories[slug] }
