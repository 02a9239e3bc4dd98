package catalog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/fault"
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

// All words of a crate are found, and all words of a search count.
func TestSearchTakesAllWords(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		var long []string
		for i := range 330 { // about as many as a description can have
			long = append(long, fmt.Sprintf("%02x", i))
		}
		publishWith(t, c, "long", "1.0.0", describe(strings.Join(long, " ")))
		publishWith(t, c, "short", "1.0.0", describe(strings.Join(long[:30], " ")))
		for text, want := range map[string]int{
			long[0]: 2, long[250]: 1, long[329]: 1,
			strings.Join(long[:16], " "): 2, strings.Join(long[20:36], " "): 1, strings.Join(long[100:116], " "): 1,
			strings.Join(long[:12], " ") + " nosuchword": 0, "nosuchword " + strings.Join(long[:12], " "): 0,
			strings.Join(long[:8], " ") + " " + long[329]: 1,
			strings.Repeat("00 ", 60) + "short":           1, "s sh sho shor short": 1,
		} {
			page, total, err := c.Search(t.Context(), Query{Text: text, Limit: 10})
			if err != nil || total != want || len(page) != want {
				t.Errorf("%q: %d, %v; want %d", text, total, err, want)
			}
		}
		_, _, err := c.Search(t.Context(), Query{Text: strings.Join(long[:17], " "), Limit: 10})
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "17 different words, the limit is 16") {
			t.Errorf("17 words: %v", err)
		}
	})
}

// A letter with its mark is found in both ways to write it, whichever way it was published in.
func TestSearchComposes(t *testing.T) {
	const composed, decomposed = "caf\u00e9", "cafe\u0301"
	onBoth(t, func(t *testing.T, c *Catalog) {
		publishWith(t, c, "one", "1.0.0", describe("a "+composed))
		publishWith(t, c, "two", "1.0.0", describe("a "+decomposed))
		for _, text := range []string{composed, decomposed, strings.ToUpper(composed), strings.ToUpper(decomposed), "caf"} {
			if _, total, err := c.Search(t.Context(), Query{Text: text, Limit: 10}); err != nil || total != 2 {
				t.Errorf("%q: %d, %v", text, total, err)
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
