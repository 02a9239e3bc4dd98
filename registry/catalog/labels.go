package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
)

// Label is a keyword or category with the number of crates that have it.
type Label struct {
	Name   string
	Crates int
}

func scanLabel(r *sql.Rows) (l Label, err error) {
	err = r.Scan(&l.Name, &l.Crates)
	return l, err
}

// labelled are the crates with labels of a table, l, that everybody may see.
const labelled = " JOIN crates c ON c.id = l.crate_id WHERE c.deleted_at IS NULL AND NOT c.restricted AND " + listed

// Keywords lists keywords, by name or the most used first. It gives one page and the total.
func (c *Catalog) Keywords(ctx context.Context, byName bool, limit, offset int) (page []Label, total int, err error) {
	const from = " FROM crate_keywords l" + labelled
	if err := c.ro.QueryRowContext(ctx, "SELECT count(DISTINCT l.keyword)"+from).Scan(&total); err != nil {
		return nil, 0, err
	}
	order := "count(*) DESC, l.keyword"
	if byName {
		order = "l.keyword"
	}
	page, err = collect(ctx, c.ro, scanLabel, "SELECT l.keyword, count(*)"+from+" GROUP BY l.keyword ORDER BY "+order+" LIMIT ? OFFSET ?", limit, offset)
	return page, total, err
}

// Categories lists categories, by name or the most used first. A crate counts for its categories and for those above them, once for each. It gives
// one page and the total.
func (c *Catalog) Categories(ctx context.Context, byName bool, limit, offset int) (page []Label, total int, err error) {
	used, err := collect(ctx, c.ro, scanString, "SELECT DISTINCT l.category FROM crate_categories l"+labelled)
	if err != nil {
		return nil, 0, err
	}
	asked := [][3]string{} // each with the bounds of those below it
	for _, slug := range withParents(used) {
		from, to := below(slug)
		asked = append(asked, [3]string{slug, from, to})
	}
	all, err := collect(ctx, c.ro, scanLabel, `SELECT q.value ->> 0, count(DISTINCT l.crate_id) FROM json_each(?) q
		JOIN crate_categories l ON l.category = (q.value ->> 0) OR (l.category >= (q.value ->> 1) AND l.category < (q.value ->> 2))`+
		labelled+" GROUP BY q.value ->> 0", toJSON(asked))
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(all, func(x, y Label) int {
		if byName {
			return cmp.Compare(x.Name, y.Name)
		}
		return cmp.Or(cmp.Compare(y.Crates, x.Crates), cmp.Compare(x.Name, y.Name))
	})
	total = len(all)
	return all[min(offset, total):min(offset+limit, total)], total, nil
}

// levels stand between the parts of a category's slug.
const levels = "::"

// below gives the bounds, the second not included, of the categories below one.
func below(slug string) (from, to string) {
	return slug + levels, slug + ":;" // ';' comes right after ':'
}

// withParents adds the categories above some. Each is there once.
func withParents(slugs []string) []string {
	var all []string
	for _, slug := range slugs {
		for at := len(slug); at >= 0; at = strings.LastIndex(slug[:at], levels) {
			all = append(all, slug[:at])
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(slug string) bool { return slug == "" })
}
