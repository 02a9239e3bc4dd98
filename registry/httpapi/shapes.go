package httpapi

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/index"
)

// The shapes in this file are those of crates.io's API, so that tools made for it work here. Lists are never null.

// crateShape is a crate. Links are paths below the registry's address.
type crateShape struct {
	ID               string            `json:"id"`
	Name             string            `json:"name"`
	UpdatedAt        time.Time         `json:"updated_at"`
	CreatedAt        time.Time         `json:"created_at"`
	Versions         []int64           `json:"versions"` // ids; null in lists
	Keywords         []string          `json:"keywords"`
	Categories       []string          `json:"categories"`
	Badges           []string          `json:"badges"`
	Downloads        int64             `json:"downloads"`
	RecentDownloads  *int64            `json:"recent_downloads"` // of 90 days; null in lists
	DefaultVersion   string            `json:"default_version"`
	NumVersions      *int              `json:"num_versions"`
	Yanked           bool              `json:"yanked"` // all versions are
	MaxVersion       string            `json:"max_version"`
	NewestVersion    string            `json:"newest_version"`
	MaxStableVersion *string           `json:"max_stable_version"`
	Description      *string           `json:"description"`
	Homepage         *string           `json:"homepage"`
	Documentation    *string           `json:"documentation"`
	Repository       *string           `json:"repository"`
	Links            map[string]string `json:"links"`
	ExactMatch       bool              `json:"exact_match"`
	TrustpubOnly     bool              `json:"trustpub_only"`        // never: see docs/adr/0009
	Restricted       bool              `json:"restricted,omitempty"` // ours
}

func newCrateShape(c catalog.Crate) crateShape {
	path := "/api/v1/crates/" + c.Name
	s := crateShape{ID: c.Name, Name: c.Name, UpdatedAt: c.UpdatedAt, CreatedAt: c.CreatedAt, Keywords: c.Keywords, Categories: c.Categories,
		Badges: []string{}, Downloads: c.Downloads, DefaultVersion: c.MaxVersion, MaxVersion: c.MaxVersion, NewestVersion: c.MaxVersion,
		Description: orNull(c.Description), Restricted: c.Restricted, Links: map[string]string{
			"version_downloads": path + "/downloads", "versions": path + "/versions", "owners": path + "/owners",
			"owner_team": path + "/owner_team", "owner_user": path + "/owner_user", "reverse_dependencies": path + "/reverse_dependencies"}}
	return s
}

// withVersions fills in what a crate's own row does not say. versions are the highest first, each with its number, whether it is yanked,
// and the newest with its details.
func (s *crateShape) withVersions(versions []catalog.Version) {
	n := len(versions)
	s.NumVersions, s.Yanked, s.MaxStableVersion = &n, n > 0, nil
	var newest, stable *catalog.Version
	for i := range versions {
		v := &versions[i]
		s.Yanked = s.Yanked && v.Yanked
		if newest == nil || v.ID > newest.ID {
			newest = v
		}
		if parsed, err := crate.ParseVersion(v.Num); stable == nil && err == nil && parsed.Pre == "" && !v.Yanked {
			stable = v
		}
	}
	if stable != nil {
		s.MaxStableVersion, s.DefaultVersion = &stable.Num, stable.Num
	}
	if newest != nil {
		d := newest.Details
		s.NewestVersion = newest.Num
		s.Homepage, s.Documentation, s.Repository = orNull(d.Homepage), orNull(d.Documentation), orNull(d.Repository)
		if s.Yanked { // 0.0.0 is for cargo search; here it would name a version that is none
			s.DefaultVersion = versions[0].Num
		}
	}
}

// versionShape is a version.
type versionShape struct {
	ID            int64               `json:"id"`
	Crate         string              `json:"crate"`
	Num           string              `json:"num"`
	DLPath        string              `json:"dl_path"`
	ReadmePath    string              `json:"readme_path"`
	UpdatedAt     time.Time           `json:"updated_at"`
	CreatedAt     time.Time           `json:"created_at"`
	Downloads     int64               `json:"downloads"`
	Features      map[string][]string `json:"features"`
	Yanked        bool                `json:"yanked"`
	YankMessage   *string             `json:"yank_message"`
	LibLinks      *string             `json:"lib_links"`
	License       *string             `json:"license"`
	Links         map[string]string   `json:"links"`
	CrateSize     int64               `json:"crate_size"`
	PublishedBy   *personShape        `json:"published_by"` // null: the user is no longer there
	AuditActions  []actionShape       `json:"audit_actions"`
	Checksum      string              `json:"checksum"`
	RustVersion   *string             `json:"rust_version"`
	HasLib        bool                `json:"has_lib"`
	BinNames      []string            `json:"bin_names"`
	Edition       *string             `json:"edition"`
	Description   *string             `json:"description"`
	Homepage      *string             `json:"homepage"`
	Documentation *string             `json:"documentation"`
	Repository    *string             `json:"repository"`
}

// actionShape is what was done to a version, and by whom.
type actionShape struct {
	Action string      `json:"action"` // publish, yank or unyank
	User   personShape `json:"user"`
	Time   time.Time   `json:"time"`
}

// actionShapes begins with the publish, which the version itself tells of for as long as it is there; the audit keeps the rest, for its time.
func (a *API) actionShapes(v catalog.Version, after []catalog.VersionAction) []actionShape {
	by := catalog.Owner{ID: v.PublisherID, Name: v.PublishedBy}
	list := append(make([]actionShape, 0, 1+len(after)), actionShape{"publish", a.person(by), v.CreatedAt})
	for _, done := range after {
		action := "yank"
		if done.Action == catalog.ActionUnyank {
			action = "unyank"
		}
		list = append(list, actionShape{action, a.person(catalog.Owner{ID: done.UserID, Name: done.User}), done.At})
	}
	return list
}

// personShape is a user or, with the prefix of groups in its login, a group. cargo needs id and login.
type personShape struct {
	ID     int64   `json:"id"`
	Login  string  `json:"login"`
	Kind   string  `json:"kind"` // user or team
	URL    string  `json:"url"`  // lists the crates that it owns
	Name   *string `json:"name"`
	Avatar *string `json:"avatar"`

	// GitHub is whether a user's name is that of an account at GitHub, which nobody's here is; groups have no such key. Clients that were generated from
	// crates.io's description read no user without it.
	GitHub *bool `json:"github_username_matches,omitempty"`
}

// person gives the shape of a user or a group. One that is no longer there has the id 0, and owns nothing to list.
func (a *API) person(o catalog.Owner) personShape {
	kind, filter := "user", "user_id"
	if o.Group {
		kind, filter = "team", "team_id"
	}
	p := personShape{ID: o.ID, Login: o.Login(), Kind: kind, URL: a.URL}
	if !o.Group {
		p.GitHub = new(bool)
	}
	if o.ID != 0 {
		p.URL = fmt.Sprintf("%s/api/v1/crates?%s=%d", a.URL, filter, o.ID)
	}
	return p
}

// newVersionShape gives the shape of a version; done is what was done to it after its publish.
func (a *API) newVersionShape(v catalog.Version, done []catalog.VersionAction) (versionShape, error) {
	var line index.Entry
	if err := json.Unmarshal(v.Line, &line); err != nil {
		return versionShape{}, fmt.Errorf("index line of %s@%s: %w", v.Crate, v.Num, err)
	}
	path, d := "/api/v1/crates/"+v.Crate+"/"+v.Num, v.Details
	s := versionShape{ID: v.ID, Crate: v.Crate, Num: v.Num, DLPath: path + "/download", ReadmePath: path + "/readme",
		UpdatedAt: v.CreatedAt, CreatedAt: v.CreatedAt, Downloads: v.Downloads, Features: line.AllFeatures(), Yanked: v.Yanked,
		YankMessage: orNull(v.YankMessage), LibLinks: orNull(d.Links), License: orNull(d.License),
		Links:     map[string]string{"dependencies": path + "/dependencies", "version_downloads": path + "/downloads", "authors": path + "/authors"},
		CrateSize: v.Size, AuditActions: a.actionShapes(v, done), Checksum: v.SHA256, RustVersion: orNull(d.RustVersion), HasLib: d.HasLib,
		BinNames: append([]string{}, d.BinNames...), Edition: orNull(d.Edition), Description: orNull(d.Description), Homepage: orNull(d.Homepage),
		Documentation: orNull(d.Documentation), Repository: orNull(d.Repository)}
	if v.PublisherID != 0 {
		by := a.person(catalog.Owner{ID: v.PublisherID, Name: v.PublishedBy})
		s.PublishedBy = &by
	}
	return s, nil
}

// versionShapes gives the shapes of versions; done tells of each, by its number, what was done to it.
func (a *API) versionShapes(versions []catalog.Version, done map[string][]catalog.VersionAction) ([]versionShape, error) {
	list := make([]versionShape, 0, len(versions))
	for _, v := range versions {
		s, err := a.newVersionShape(v, done[v.Num])
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// dependencyShape is one dependency of a version; crate_id is the name of the crate that it depends on.
type dependencyShape struct {
	ID              int64    `json:"id"`
	VersionID       int64    `json:"version_id"`
	CrateID         string   `json:"crate_id"`
	Req             string   `json:"req"`
	Optional        bool     `json:"optional"`
	DefaultFeatures bool     `json:"default_features"`
	Features        []string `json:"features"`
	Target          *string  `json:"target"`
	Kind            string   `json:"kind"`
	Downloads       int64    `json:"downloads"`          // of the depending crate, in lists of dependents
	Registry        *string  `json:"registry,omitempty"` // ours: where it is not from this registry
}

// dependencyShapes reads the dependencies of a version out of its index line.
func dependencyShapes(v catalog.Version) ([]dependencyShape, error) {
	var line index.Entry
	if err := json.Unmarshal(v.Line, &line); err != nil {
		return nil, fmt.Errorf("index line of %s@%s: %w", v.Crate, v.Num, err)
	}
	list := make([]dependencyShape, 0, len(line.Deps))
	for i, d := range line.Deps {
		name := d.Name
		if d.Package != "" {
			name = d.Package
		}
		list = append(list, dependencyShape{ID: v.ID*1000 + int64(i), VersionID: v.ID, CrateID: name, Req: d.Req, Optional: d.Optional,
			DefaultFeatures: d.DefaultFeatures, Features: d.Features, Target: d.Target, Kind: d.Kind, Registry: d.Registry})
	}
	return list, nil
}

// keywordShape is a keyword.
type keywordShape struct {
	ID          string `json:"id"`
	Keyword     string `json:"keyword"`
	CratesCount int    `json:"crates_cnt"`
	CreatedAt   string `json:"created_at"`
}

// categoryShape is a category. One that crates.io does not have is named as its slug and has an empty description.
type categoryShape struct {
	ID            string           `json:"id"`
	Category      string           `json:"category"` // its name
	Slug          string           `json:"slug"`
	Description   string           `json:"description"`
	CratesCount   int              `json:"crates_cnt"`
	CreatedAt     string           `json:"created_at"`
	Subcategories *[]categoryShape `json:"subcategories,omitempty"`     // of one category only, not in lists
	Parents       *[]categoryShape `json:"parent_categories,omitempty"` // likewise; the topmost first
}

// epoch stands for the age of keywords and categories, which nobody keeps.
const epoch = "1970-01-01T00:00:00Z"

func newKeywordShape(name string, crates int) keywordShape {
	return keywordShape{ID: name, Keyword: name, CratesCount: crates, CreatedAt: epoch}
}

func newCategoryShape(slug string, crates int) categoryShape {
	c := crate.CategoryOf(slug)
	return categoryShape{ID: slug, Category: c.Name, Slug: slug, Description: c.Description, CratesCount: crates, CreatedAt: epoch}
}

// orNull gives null for what is not said.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
