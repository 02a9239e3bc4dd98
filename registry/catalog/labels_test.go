package catalog

import (
	"fmt"
	"slices"
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
		all, total, err := c.Categories(t.Context(), false, 100, 0)
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
		named, _, err := c.Categories(t.Context(), true, 100, 0)
		if err != nil || !slices.IsSortedFunc(named, func(x, y Label) int { return strings.Compare(x.Name, y.Name) }) || len(named) != total {
			t.Errorf("by name: %v, %v", named, err)
		}
		for offset, want := range map[int]int{0: 4, 8: 2, 10: 0, 99: 0} {
			if page, n, err := c.Categories(t.Context(), false, 4, offset); err != nil || n != total || len(page) != want || want > 0 && page[0] != all[offset] {
				t.Errorf("from %d: %v of %d, %v", offset, page, n, err)
			}
		}
	})
}

func TestKeywordsInTwoOrders(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		for name, keywords := range map[string][]string{"one": {"zeta"}, "two": {"zeta", "alpha"}, "three": {"mid", "zeta", "alpha"}} {
			publishWith(t, c, name, "1.0.0", func(p *Publication) { p.Details.Keywords = keywords })
		}
		for byName, want := range map[bool]string{true: "[{alpha 2} {mid 1} {zeta 3}] 3", false: "[{zeta 3} {alpha 2} {mid 1}] 3"} {
			page, total, err := c.Keywords(t.Context(), byName, 10, 0)
			if got := fmt.Sprint(page, total); err != nil || got != want {
				t.Errorf("by name %v: %s %v; want %s", byName, got, err, want)
			}
		}
	})
}
