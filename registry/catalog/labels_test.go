package catalog

import (
	"fmt"
	"strings"
	"testing"
)

// A category has the crates of those below it, in searches as in counts, each once.
func TestCategoriesHaveThoseBelow(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		for name, categories := range map[string][]string{
			"one": {"tools::test"}, "two": {"tools", "tools::test", "tools::test::deep"}, "three": {"tools-more", "tools:x"}, "four": {"own::made::deep"}, "five": {"::odd", "parsing"},
		} {
			publishWith(t, c, name, "1.0.0", func(p *Publication) { p.Details.Categories = categories })
		}
		publishWith(t, c, "hidden", "1.0.0", func(p *Publication) { p.Details.Categories, p.Restricted = []string{"tools::secret"}, true })
		const want = "tools 2, tools::test 2, ::odd 1, own 1, own::made 1, own::made::deep 1, parsing 1, tools-more 1, tools::test::deep 1, tools:x 1"
		all, total, err := c.Categories(t.Context(), 100, 0)
		if err != nil || total != len(all) {
			t.Fatalf("%d of %d, %v", len(all), total, err)
		}
		var got []string
		for _, l := range all {
			got = append(got, fmt.Sprint(l.Name, " ", l.Crates))
			_, found, err := c.Search(t.Context(), Query{Category: strings.ToUpper(l.Name), Limit: 10})
			if err != nil || found != l.Crates {
				t.Errorf("a search in %s finds %d, %v; %d are counted", l.Name, found, err, l.Crates)
			}
		}
		if got := strings.Join(got, ", "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		for offset, want := range map[int]int{0: 4, 8: 2, 10: 0, 99: 0} {
			if page, n, err := c.Categories(t.Context(), 4, offset); err != nil || n != total || len(page) != want || want > 0 && page[0] != all[offset] {
				t.Errorf("from %d: %v of %d, %v", offset, page, n, err)
			}
		}
	})
}
