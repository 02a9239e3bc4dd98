package httpapi

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
)

func (a *API) serveKeywords(w *response, r *http.Request) error {
	p, err := pageOf(r)
	if err != nil {
		return err
	}
	byName, err := labelsByName(r)
	if err != nil {
		return err
	}
	labels, total, err := a.Catalog.Keywords(r.Context(), byName, p.limit, p.offset)
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, object{"keywords": shapes(labels, newKeywordShape), "meta": object{"total": total}})
}

func (a *API) serveCategories(w *response, r *http.Request) error {
	p, err := pageOf(r)
	if err != nil {
		return err
	}
	byName, err := labelsByName(r)
	if err != nil {
		return err
	}
	labels, total, err := a.Catalog.Categories(r.Context(), byName, p.limit, p.offset)
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, object{"categories": shapes(labels, newCategoryShape), "meta": object{"total": total}})
}

// labelsByName reads the order that keywords or categories are asked for in; false: the most used first.
func labelsByName(r *http.Request) (bool, error) {
	switch sort := r.URL.Query().Get("sort"); sort {
	case "", "alpha":
		return true, nil
	case "crates":
		return false, nil
	default:
		return false, fault.New(fault.Invalid, "sort must be alpha or crates, not %.80q", sort)
	}
}

func shapes[T any](labels []catalog.Label, shape func(string, int) T) []T {
	list := make([]T, 0, len(labels))
	for _, l := range labels {
		list = append(list, shape(l.Name, l.Crates))
	}
	return list
}

func (a *API) serveKeyword(w *response, r *http.Request) error {
	name := strings.ToLower(r.PathValue("keyword"))
	_, total, err := a.Catalog.Search(r.Context(), catalog.Query{Keyword: name, Limit: 1})
	if err == nil && total == 0 {
		err = fault.New(fault.NotFound, "no crate has the keyword `%s`", name)
	}
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, object{"keyword": newKeywordShape(name, total)})
}

// maxLabels bounds how many categories are looked at at once.
const maxLabels = 10_000

// serveCategory shows a category with those above and below it. Each of crates.io's is there, with crates or without.
func (a *API) serveCategory(w *response, r *http.Request) error {
	slug := strings.ToLower(r.PathValue("category"))
	labels, _, err := a.Catalog.Categories(r.Context(), true, maxLabels, 0)
	if err != nil {
		return err
	}
	crates := map[string]int{}
	for _, c := range crate.Categories() {
		crates[c.Slug] = 0
	}
	for _, l := range labels {
		crates[l.Name] = l.Crates
	}
	if _, there := crates[slug]; !there {
		return fault.New(fault.NotFound, "no crate has the category `%s`", slug)
	}
	shape, below, above := newCategoryShape(slug, crates[slug]), []categoryShape{}, []categoryShape{}
	for other, n := range crates {
		if rest, is := strings.CutPrefix(other, slug+"::"); is && !strings.Contains(rest, "::") {
			below = append(below, newCategoryShape(other, n))
		}
		if strings.HasPrefix(slug, other+"::") {
			above = append(above, newCategoryShape(other, n))
		}
	}
	for _, list := range [][]categoryShape{below, above} { // what is above has the shorter slug
		slices.SortFunc(list, func(x, y categoryShape) int { return cmp.Compare(x.Slug, y.Slug) })
	}
	shape.Subcategories, shape.Parents = &below, &above
	return w.json(http.StatusOK, object{"category": shape})
}

// serveCategorySlugs lists what a crate may be put under: crates.io's categories, and those that crates here have besides.
func (a *API) serveCategorySlugs(w *response, r *http.Request) error {
	labels, _, err := a.Catalog.Categories(r.Context(), true, maxLabels, 0)
	if err != nil {
		return err
	}
	type slug struct {
		ID          string `json:"id"`
		Slug        string `json:"slug"`
		Description string `json:"description"`
	}
	list := []slug{}
	for _, c := range crate.Categories() {
		list = append(list, slug{c.Slug, c.Slug, c.Description})
	}
	for _, l := range labels {
		if !crate.IsCategory(l.Name) {
			list = append(list, slug{ID: l.Name, Slug: l.Name})
		}
	}
	slices.SortFunc(list, func(x, y slug) int { return cmp.Compare(x.Slug, y.Slug) })
	return w.json(http.StatusOK, object{"category_slugs": list})
}
