package httpapi

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
)

// The page of a list: cargo asks for 10 by default and for 100 at most.
const (
	defaultPage = 10
	maxPage     = 100
)

// page is a part of a list.
type page struct{ limit, offset, number int }

func pageOf(r *http.Request) (p page, err error) {
	q := r.URL.Query()
	if p.limit, err = number(q.Get("per_page"), "per_page", defaultPage, maxPage); err != nil {
		return p, err
	}
	if p.number, err = number(q.Get("page"), "page", 1, 1_000_000); err != nil {
		return p, err
	}
	p.offset = (p.number - 1) * p.limit
	return p, nil
}

func number(s, name string, missing, most int) (int, error) {
	if s == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0, fault.New(fault.Invalid, "%s must be a number from 1 to %d", name, most)
	}
	return n, nil
}

// maxSearch bounds the text of a search, in bytes.
const maxSearch = 200

// maxWords bounds the keywords that one search takes.
const maxWords = 8

// serveSearch answers `cargo search` and the lists of crates.
func (a *API) serveSearch(w *response, r *http.Request) error {
	p, err := pageOf(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	query := catalog.Query{Text: q.Get("q"), Keyword: q.Get("keyword"), Keywords: strings.Fields(q.Get("all_keywords")), Names: q["ids[]"],
		Category: q.Get("category"), Letter: q.Get("letter"), Sort: q.Get("sort"),
		Limit: p.limit, Offset: p.offset}
	query.UserID, query.Role = asker(w.principal)
	if len(query.Text) > maxSearch {
		return fault.New(fault.Invalid, "the search text has %d bytes, the limit is %d", len(query.Text), maxSearch)
	}
	if _, ok := catalog.Sorts[query.Sort]; query.Sort != "" && !ok {
		return fault.New(fault.Invalid, "sort must be relevance, downloads, recent-downloads, recent-updates, new or alpha, not %q", query.Sort)
	}
	if len(query.Keywords) > maxWords || len(query.Names) > maxPage {
		return fault.New(fault.Invalid, "a search takes at most %d keywords and %d ids[]", maxWords, maxPage)
	}
	for name, to := range map[string]*int64{"user_id": &query.Owner, "team_id": &query.Group} {
		if id := q.Get(name); id != "" {
			n, err := number(id, name, 0, 1<<32-1)
			if err != nil {
				return err
			}
			*to = int64(n)
		}
	}
	if q.Has("following") { // to pass over it would answer another question
		return fault.New(fault.Invalid, "following is not known here; crates cannot be followed")
	}
	if err := noSeek(q); err != nil {
		return err
	}
	query.Unyanked = q.Has("include_yanked") && q.Get("include_yanked") != "yes"
	if query.Sort == "" && strings.TrimSpace(query.Text) == "" {
		query.Sort = "alpha" // as on crates.io; and who goes through the pages of all crates gets each once
	}
	found, total, err := a.Catalog.Search(r.Context(), query)
	if err != nil {
		return err
	}
	hits, err := a.crateShapes(r.Context(), found)
	if err != nil {
		return err
	}
	for i := range hits {
		hits[i].ExactMatch = crate.Canonical(hits[i].Name) == crate.Canonical(strings.TrimSpace(query.Text))
	}
	meta := object{"total": total, "next_page": nil, "prev_page": nil}
	if p.offset+p.limit < total {
		meta["next_page"] = pageLink(r, p.number+1)
	}
	if p.number > 1 {
		meta["prev_page"] = pageLink(r, p.number-1)
	}
	return w.json(http.StatusOK, object{"crates": hits, "meta": meta})
}

// noSeek refuses crates.io's other way to ask for a page: to pass over it would give the first page again and again.
func noSeek(q url.Values) error {
	if q.Has("seek") {
		return fault.New(fault.Invalid, "seek is not known here; pages are asked for by page and per_page, and meta.next_page names the next one")
	}
	return nil
}

// pageLink is the query of another page of the same list.
func pageLink(r *http.Request, number int) string {
	q := r.URL.Query()
	q.Set("page", strconv.Itoa(number))
	return "?" + q.Encode()
}
