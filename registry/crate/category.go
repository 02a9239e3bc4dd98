package crate

import (
	_ "embed"
	"slices"
	"strings"
)

// categories.txt holds crates.io's categories as of August 2026, one a line: slug, name and a description, with tabs between them. Slugs
// and names are those of crates.io; the descriptions are our own words.
//
//go:embed categories.txt
var categoryLines string

// Category is one of crates.io's categories.
type Category struct {
	Slug        string // such as development-tools::testing
	Name        string // for people; without the names of the categories above it
	Description string
}

var categoryList, categories = readCategories(categoryLines)

func readCategories(lines string) (list []Category, bySlug map[string]Category) {
	bySlug = map[string]Category{}
	for line := range strings.Lines(lines) {
		slug, rest, _ := strings.Cut(strings.TrimSpace(line), "\t")
		name, description, _ := strings.Cut(rest, "\t")
		c := Category{slug, name, description}
		list, bySlug[slug] = append(list, c), c
	}
	return list, bySlug
}

// IsCategory reports whether crates.io has a category of that slug, such as command-line-utilities or development-tools::testing.
func IsCategory(slug string) bool { return categories[slug].Slug != "" }

// CategoryOf gives the category of a slug; one that crates.io does not have is named as its slug and has no description.
func CategoryOf(slug string) Category {
	if c, known := categories[slug]; known {
		return c
	}
	return Category{Slug: slug, Name: slug}
}

// Categories lists the categories of crates.io by slug.
func Categories() []Category { return slices.Clone(categoryList) }

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
