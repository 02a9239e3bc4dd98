package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
)

// object is a JSON object that is made on the spot.
type object = map[string]any

// serveCrate shows a crate, with all its versions or those parts that are asked for. What is not asked for is null.
func (a *API) serveCrate(w *response, r *http.Request) error {
	asked, err := partsOf(r)
	if err != nil {
		return err
	}
	found, err := a.crate(w, r)
	if err != nil {
		return err
	}
	versions, err := a.sortedVersions(r, found, "semver")
	if err != nil {
		return err
	}
	shape := newCrateShape(found)
	shape.withVersions(versions)
	out := object{"versions": nil, "keywords": nil, "categories": nil}
	if asked.Downloads {
		recent, err := a.Catalog.RecentDownloads(r.Context(), found.ID)
		if err != nil {
			return err
		}
		shape.RecentDownloads = &recent
	}
	if asked.Versions {
		shape.Versions = make([]int64, 0, len(versions))
		for _, v := range versions {
			shape.Versions = append(shape.Versions, v.ID)
		}
	} else if asked.DefaultVersion {
		versions = slices.DeleteFunc(slices.Clone(versions), func(v catalog.Version) bool { return v.Num != shape.DefaultVersion }) // shape points into it
	}
	if asked.Versions || asked.DefaultVersion {
		done, err := a.Catalog.VersionActions(r.Context(), found.Name)
		if err != nil {
			return err
		}
		if out["versions"], err = a.versionShapes(versions, done); err != nil {
			return err
		}
	}
	if asked.Keywords {
		keywords := []keywordShape{}
		for _, k := range found.Keywords {
			keywords = append(keywords, newKeywordShape(k, 1))
		}
		out["keywords"] = keywords
	} else {
		shape.Keywords = nil
	}
	if asked.Categories {
		categories := []categoryShape{}
		for _, c := range found.Categories {
			categories = append(categories, newCategoryShape(c, 1))
		}
		out["categories"] = categories
	} else {
		shape.Categories = nil
	}
	out["crate"] = shape
	return w.json(http.StatusOK, out)
}

// sortedVersions lists versions: by precedence, or by date, the highest or newest first.
func (a *API) sortedVersions(r *http.Request, found catalog.Crate, sort string) ([]catalog.Version, error) {
	versions, err := a.Catalog.Versions(r.Context(), found.ID)
	if err != nil {
		return nil, err
	}
	slices.Reverse(versions)
	switch sort {
	case "date":
		return versions, nil
	case "", "semver":
		return versions, byPrecedence(versions)
	}
	return nil, fault.New(fault.Invalid, "sort must be semver or date, not %q", sort)
}

// byPrecedence puts the highest version first.
func byPrecedence(versions []catalog.Version) (err error) {
	parsed := make(map[int64]crate.Version, len(versions))
	for _, v := range versions {
		if parsed[v.ID], err = crate.ParseVersion(v.Num); err != nil {
			return err
		}
	}
	slices.SortStableFunc(versions, func(x, y catalog.Version) int { return parsed[y.ID].Compare(parsed[x.ID]) })
	return nil
}

// serveVersions lists the versions of a crate; all of them, unless a page or some numbers are asked for.
func (a *API) serveVersions(w *response, r *http.Request) error {
	found, err := a.crate(w, r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	if err := noSeek(q); err != nil {
		return err
	}
	versions, err := a.sortedVersions(r, found, q.Get("sort"))
	if err != nil {
		return err
	}
	if nums := q["nums[]"]; len(nums) > 0 {
		versions = slices.DeleteFunc(versions, func(v catalog.Version) bool { return !slices.Contains(nums, v.Num) })
	}
	total := len(versions)
	var next any
	if q.Has("per_page") || q.Has("page") {
		p, err := pageOf(r)
		if err != nil {
			return err
		}
		versions = versions[min(p.offset, total):min(p.offset+p.limit, total)]
		if p.offset+p.limit < total {
			next = pageLink(r, p.number+1)
		}
	}
	done, err := a.Catalog.VersionActions(r.Context(), found.Name)
	if err != nil {
		return err
	}
	list, err := a.versionShapes(versions, done)
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, object{"versions": list, "meta": object{"total": total, "next_page": next}})
}

// versionOf finds the version of a request and its crate, if who asks may see it.
func (a *API) versionOf(w *response, r *http.Request) (catalog.Version, error) {
	found, err := a.crate(w, r)
	if err != nil {
		return catalog.Version{}, err
	}
	return a.Catalog.Version(r.Context(), found.Name, r.PathValue("version"))
}

func (a *API) serveVersion(w *response, r *http.Request) error {
	v, err := a.versionOf(w, r)
	if err != nil {
		return err
	}
	done, err := a.Catalog.VersionActions(r.Context(), v.Crate)
	if err != nil {
		return err
	}
	shape, err := a.newVersionShape(v, done[v.Num])
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, object{"version": shape})
}

// serveAuthors names nobody: cargo sends no authors since RFC 3052, and crates.io, too, answers with an empty list.
func (a *API) serveAuthors(w *response, r *http.Request) error {
	if _, err := a.versionOf(w, r); err != nil {
		return err
	}
	return w.json(http.StatusOK, object{"users": []any{}, "meta": object{"names": []any{}}})
}

func (a *API) serveDependencies(w *response, r *http.Request) error {
	v, err := a.versionOf(w, r)
	if err != nil {
		return err
	}
	list, err := dependencyShapes(v)
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, object{"dependencies": list})
}

// serveReverseDependencies lists who depends on a crate: the highest versions of crates of this registry.
func (a *API) serveReverseDependencies(w *response, r *http.Request) error {
	found, err := a.crate(w, r)
	if err != nil {
		return err
	}
	p, err := pageOf(r)
	if err != nil {
		return err
	}
	id, role := asker(w.principal)
	dependents, total, err := a.Catalog.Dependents(r.Context(), found.Name, id, role, p.limit, p.offset)
	if err != nil {
		return err
	}
	deps := []dependencyShape{}
	for _, v := range dependents {
		list, err := dependencyShapes(v)
		if err != nil {
			return err
		}
		for _, d := range list {
			if d.Registry == nil && crate.Canonical(d.CrateID) == crate.Canonical(found.Name) {
				d.Downloads = v.Downloads
				deps = append(deps, d)
			}
		}
	}
	versions, err := a.versionShapes(dependents, nil) // of many crates: no more is told of each than its publish
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, object{"dependencies": deps, "versions": versions, "meta": object{"total": total}})
}

// serveDownloadRedirect leads to the archive; a client that asks for JSON reads the address instead.
func (a *API) serveDownloadRedirect(w *response, r *http.Request) error {
	v, err := a.versionOf(w, r)
	if err != nil {
		return err
	}
	return a.lead(w, r, a.URL+"/crates/"+v.Crate+"/"+v.Num+"/download")
}

func (a *API) lead(w *response, r *http.Request, to string) error {
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		return w.json(http.StatusOK, object{"url": to})
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusFound)
	return nil
}

// serveDownloads counts the downloads of a crate or of one version, by day, over 90 days.
func (a *API) serveDownloads(w *response, r *http.Request) error {
	found, err := a.crate(w, r)
	if err != nil {
		return err
	}
	var versionID int64
	var until time.Time
	if num := r.PathValue("version"); num != "" {
		v, err := a.Catalog.Version(r.Context(), found.Name, num)
		if err != nil {
			return err
		}
		versionID = v.ID
		if until, err = dateOf(r.URL.Query().Get("before_date")); err != nil {
			return err
		}
	}
	days, err := a.Catalog.DailyDownloads(r.Context(), found.ID, versionID, until)
	if err != nil {
		return err
	}
	type day struct {
		Version   int64  `json:"version"`
		Downloads int64  `json:"downloads"`
		Date      string `json:"date"`
	}
	list := make([]day, 0, len(days))
	for _, d := range days {
		list = append(list, day{d.VersionID, d.Downloads, time.Unix(d.Day*24*60*60, 0).UTC().Format(time.DateOnly)})
	}
	return w.json(http.StatusOK, object{"version_downloads": list, "meta": object{"extra_downloads": []any{}}})
}

// dateOf reads a day; none is the zero time.
func dateOf(text string) (day time.Time, err error) {
	if text == "" {
		return day, nil
	}
	if day, err = time.Parse(time.DateOnly, text); err != nil || day.Unix() < 0 {
		return day, fault.New(fault.Invalid, "before_date must be a day since 1970, as 2026-01-31, not %.80q", text)
	}
	return day, nil
}

// summaryLength is how many crates each list of the summary has.
const summaryLength = 10

// serveSummary is what a front page shows. It looks at the whole catalog, so those who ask at the same time share one answer.
func (a *API) serveSummary(w *response, r *http.Request) error {
	id, role := asker(w.principal)
	out, err, _ := a.summaries.Do(fmt.Sprint(id), func() (any, error) {
		return a.summary(context.WithoutCancel(r.Context()), id, role) // others wait for it, too
	})
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, out)
}

func (a *API) summary(ctx context.Context, id int64, role string) (object, error) {
	downloads, err := a.Catalog.VisibleDownloads(ctx, id, role)
	if err != nil {
		return nil, err
	}
	out := object{"num_downloads": downloads} // of crates that who asks may see, as all else here
	for key, sort := range map[string]string{"new_crates": "new", "most_downloaded": "downloads", "most_recently_downloaded": "recent-downloads",
		"just_updated": "recent-updates"} {
		found, total, err := a.Catalog.Search(ctx, catalog.Query{Sort: sort, Limit: summaryLength, UserID: id, Role: role})
		if err != nil {
			return nil, err
		}
		if out[key], err = a.crateShapes(ctx, found); err != nil {
			return nil, err
		}
		out["num_crates"] = total // those that who asks may see
	}
	keywords, _, err := a.Catalog.Keywords(ctx, false, summaryLength, 0)
	if err != nil {
		return nil, err
	}
	categories, _, err := a.Catalog.Categories(ctx, false, summaryLength, 0)
	if err != nil {
		return nil, err
	}
	out["popular_keywords"], out["popular_categories"] = shapes(keywords, newKeywordShape), shapes(categories, newCategoryShape)
	return out, nil
}

// crateShapes gives the shapes of a list of crates, with what their versions say of them.
func (a *API) crateShapes(ctx context.Context, found []catalog.Crate) ([]crateShape, error) {
	list := make([]crateShape, 0, len(found))
	ids := make([]int64, 0, len(found))
	for _, c := range found {
		ids = append(ids, c.ID)
	}
	versions, err := a.Catalog.VersionsInBrief(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, c := range found {
		if err := byPrecedence(versions[c.ID]); err != nil {
			return nil, err
		}
		s := newCrateShape(c)
		s.withVersions(versions[c.ID])
		list = append(list, s)
	}
	return list, nil
}
