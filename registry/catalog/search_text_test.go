package catalog

import (
	"fmt"
	"strings"
	"testing"
)

// Whatever text somebody searches for is ordinary input, in each field: it finds something or nothing, and never fails.
func TestSearchTakesAnyText(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		publishWith(t, c, "foo", "1.0.0", describe("Naïve ﬁsh 中文 ẞtraße", "bar"))
		for _, text := range []string{"foo(", "!foo", "foo\x00", "\x00", "foo\xff", "\xff\xfe", "\xed\xa0\x80foo", "foo%", "%foo%", "foo_", "foo'", `foo"`, `foo\`, "foo\\0", "foo*", "foo?",
			"  foo  ", "\tfoo\r\n", "foo\u00a0", "foo\u200b", "\ufefffoo", "foo\u2028", "foo & !", "foo | ", "foo:*", "<foo>", "(((foo", "foo;--", "$1 foo", "?1 foo", ":foo", "naïve", "NAÏVE", "ﬁsh", "中文", "中", "ẞTRASSE",
			"\U0010ffff", "foo\U0010ffff", strings.Repeat("foo ", 50), strings.Repeat("é", 100), strings.Repeat("\xff", 200)} {
			for name, q := range map[string]Query{"text": {Text: text}, "keyword": {Keyword: text}, "keywords": {Keywords: []string{text}}, "category": {Category: text}, "letter": {Letter: text}, "names": {Names: []string{text}}} {
				for _, sort := range []string{"", "recent-downloads"} {
					q.Limit, q.Sort = 10, sort
					page, total, err := c.Search(t.Context(), q)
					if err != nil || total != len(page) {
						t.Errorf("%s %q: %d of %d, %v", name, text, len(page), total, err)
					}
				}
			}
		}
		for text, found := range map[string]int{"foo(": 1, "!foo": 1, "  foo   bar ": 1, "foo%": 1, "foo % bar": 1, "NAÏVE": 1, "中": 1, "文": 0, "ﬁsh": 1, "%": 0, "%oo": 0, "foo\x00": 1, "foo\xff": 1} {
			if _, total, err := c.Search(t.Context(), Query{Text: text, Limit: 10}); err != nil || total != found {
				t.Errorf("%q: %d, %v; want %d", text, total, err, found)
			}
		}
	})
}

// The pages of a search together are the search: each crate once, the exact name first, and the same total on each, past the end as well.
// Crates that who asks may not see are in no page and no total.
func TestSearchPages(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		downloads := map[int64]int64{}
		for i := range 25 {
			name := fmt.Sprintf("acme-%02d", i)
			publishWith(t, c, name, "1.0.0", func(p *Publication) {
				p.Details.Description, p.Details.Keywords, p.Restricted = "part of acme", []string{"part"}, i%5 == 4
			})
			downloads[int64(i+1)] = int64(i / 3) // many with as many
		}
		publishWith(t, c, "acme", "1.0.0", nil)
		if err := c.AddDownloads(t.Context(), downloads); err != nil {
			t.Fatal(err)
		}
		for _, asker := range []struct {
			role         string
			total, parts int
		}{{"", 21, 20}, {"admin", 26, 25}} {
			for sort := range Sorts {
				seen := map[string]bool{}
				for offset := 0; offset < 35; offset += 7 {
					page, total, err := c.Search(t.Context(), Query{Text: "acme", Sort: sort, Role: asker.role, Limit: 7, Offset: offset})
					if err != nil || total != asker.total || len(page) != max(0, min(7, total-offset)) {
						t.Fatalf("%s from %d: %d of %d, %v", sort, offset, len(page), total, err)
					}
					if offset == 0 && page[0].Name != "acme" {
						t.Errorf("%s begins with %s", sort, page[0].Name)
					}
					for i, found := range page {
						if seen[found.Name] || asker.role == "" && found.Restricted {
							t.Errorf("%s: %s, restricted %v, twice %v", sort, found.Name, found.Restricted, seen[found.Name])
						}
						seen[found.Name] = true
						if sort == "relevance" && i > 1 && page[i-1].Downloads < found.Downloads {
							t.Errorf("%s with %d downloads stands behind one with %d", found.Name, found.Downloads, page[i-1].Downloads)
						}
					}
				}
			}
			if _, total, err := c.Search(t.Context(), Query{Text: "par of", Keyword: "part", Role: asker.role, Limit: 1}); err != nil || total != asker.parts {
				t.Errorf("%d, %v", total, err)
			}
		}
	})
}
