// Package httpapi is what clients reach over HTTP: the sparse index, downloads, cargo's web API and the management API.
//
// Handlers return errors; one place turns an error into an answer and into the one access record of the request. A route
// says who may use it (see access), so that no handler can forget to ask.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/metrics"
	"github.com/crateyard/crateyard/registry/mirror"
	"github.com/crateyard/crateyard/registry/publish"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/wire"
)

// API serves a registry. Its fields are set once, before Handler.
type API struct {
	Name    string // what cargo configurations call the registry
	URL     string // public base, without a slash at its end
	Version string // of the program
	Private bool   // reading needs a token
	Catalog *catalog.Catalog
	Store   storage.Store
	// StoreIsLocal says that to open a blob is to open a file.
	StoreIsLocal bool
	// Presign gives an address in the storage itself from which a blob can be had for a while; downloads are sent there. Nil: the
	// server streams them.
	Presign func(ctx context.Context, key string, valid time.Duration) (string, error)
	// Suspect is told the key of a blob that is missing or has another size than the catalog says. It must not wait. May be nil.
	Suspect   func(key string)
	Publisher *publish.Publisher
	Auth      *auth.Authenticator
	Metrics   *metrics.Metrics
	Log       *slog.Logger // of failures and changes
	Access    *AccessLog   // one record a request; nil: none
	Web       http.Handler // pages
	Git       http.Handler // the git index, below its mount point; nil: none
	Mirrors   *mirror.Manager
	Limits    RateLimits
	// Status fills in what the server knows beyond the catalog's counts. May be nil.
	Status func(ctx context.Context, s *wire.Status) error
	// TrustedProxies are those whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix

	base               string // path of URL, "" or "/prefix"
	files              *fileCache
	versions           *otter.Cache[string, catalog.Version]
	versionsGeneration atomic.Uint64
	readmes            *otter.Cache[int64, []byte] // rendered, by version
	rendering          chan struct{}               // who renders one holds it
	summaries          singleflight.Group          // by who asks
	config             []byte
	openapi            openapi
	downloads          tally

	patience   patience       // with uploads
	publishing sync.WaitGroup // publishes in flight
	stopping   atomic.Bool
	draining   atomic.Bool
	drainMu    sync.Mutex // orders publishing.Add against Drain's Wait
}

// access says who may use a route.
type access int

const (
	anyone  access = iota // no token needed, ever
	readers               // a token where reading is private
	holders               // a valid token
	admins                // the admin scope
)

// Handler gives the public handler.
func (a *API) Handler() http.Handler {
	a.files = newFileCache(a.Catalog, a.Metrics)
	a.versions = otter.Must(&otter.Options[string, catalog.Version]{MaximumSize: versionsMost})
	a.readmes = otter.Must(&otter.Options[int64, []byte]{MaximumSize: readmesCached})
	a.rendering = make(chan struct{}, 1)
	a.patience = uploadPatience
	a.Catalog.Follow(a.files.changed)
	a.Catalog.Follow(a.versionChanged)
	a.config = index.NewConfig(a.URL, a.Private).JSON()

	rt := newRouter(a)
	rt.routes()
	return rt
}

// routes is the table of all addresses. Those of the web API have the shapes of crates.io's, which tools know.
func (rt *router) routes() {
	a := rt.api
	rt.index = rt.route("index", readers, a.serveIndex)
	rt.outside = rt.route("outside", anyone, rt.serveOutside)
	rt.dotted = rt.route("dotted", anyone, serveDotted)
	rt.handle("GET "+downloadsPrefix+"{crate}/{version}"+downloadSuffix, "download", readers, a.serveDownload)
	rt.mirrorIndex = rt.route("mirror_index", readers, a.serveMirrorIndex)
	rt.mirrorDownload = rt.route("mirror_download", readers, a.serveMirrorDownload)

	rt.handle("PUT /api/v1/crates/new", "publish", holders, a.servePublish)
	rt.handle("DELETE /api/v1/crates/{crate}/{version}/yank", "yank", holders, a.serveYank(true))
	rt.handle("PUT /api/v1/crates/{crate}/{version}/unyank", "unyank", holders, a.serveYank(false))
	rt.handle("GET /api/v1/crates/{crate}/owners", "owners", readers, a.serveOwners)
	rt.handle("PUT /api/v1/crates/{crate}/owners", "add_owners", holders, a.serveAddOwners)
	rt.handle("DELETE /api/v1/crates/{crate}/owners", "remove_owners", holders, a.serveRemoveOwners)
	rt.handle("GET /api/v1/crates", "search", readers, a.serveSearch)

	rt.handle("GET /api/v1/crates/{crate}", "crate", readers, a.serveCrate)
	rt.handle("DELETE /api/v1/crates/{crate}", "delete_crate", admins, a.serveDeleteCrate)
	rt.handle("GET /api/v1/crates/{crate}/versions", "versions", readers, a.serveVersions)
	rt.handle("GET /api/v1/crates/{crate}/{version}", "version", readers, a.serveVersion)
	rt.handle("PATCH /api/v1/crates/{crate}/{version}", "yank", holders, a.servePatchVersion)
	rt.handle("DELETE /api/v1/crates/{crate}/{version}", "delete_version", admins, a.serveDeleteVersion)
	rt.handle("GET /api/v1/crates/{crate}/{version}/authors", "authors", readers, a.serveAuthors)
	rt.handle("GET /api/v1/crates/{crate}/{version}/dependencies", "dependencies", readers, a.serveDependencies)
	rt.handle("GET /api/v1/crates/{crate}/reverse_dependencies", "reverse_dependencies", readers, a.serveReverseDependencies)
	rt.handle("GET /api/v1/crates/{crate}/{version}/readme", "readme", readers, a.serveReadme)
	rt.handle("GET /api/v1/crates/{crate}/{version}/download", "download_redirect", readers, a.serveDownloadRedirect)
	rt.handle("GET /api/v1/crates/{crate}/downloads", "downloads", readers, a.serveDownloads)
	rt.handle("GET /api/v1/crates/{crate}/{version}/downloads", "downloads", readers, a.serveDownloads)
	rt.handle("GET /api/v1/crates/{crate}/owner_user", "owners", readers, a.serveOwnerUsers)
	rt.handle("GET /api/v1/crates/{crate}/owner_team", "owners", readers, a.serveOwnerTeams)
	rt.handle("GET /api/v1/crates/{crate}/access", "access", holders, a.serveAccess)
	rt.handle("PUT /api/v1/crates/{crate}/access", "access", holders, a.serveSetAccess)
	rt.handle("GET /api/v1/keywords", "keywords", readers, a.serveKeywords)
	rt.handle("GET /api/v1/keywords/{keyword}", "keywords", readers, a.serveKeyword)
	rt.handle("GET /api/v1/categories", "categories", readers, a.serveCategories)
	rt.handle("GET /api/v1/categories/{category}", "categories", readers, a.serveCategory)
	rt.handle("GET /api/v1/category_slugs", "categories", readers, a.serveCategorySlugs)
	rt.handle("GET /api/v1/summary", "summary", readers, a.serveSummary)
	rt.handle("GET /api/v1/me", "me", holders, a.serveMe)
	rt.handle("GET /api/v1/me/tokens", "my_tokens", holders, a.serveMyTokens)
	rt.handle("PUT /api/v1/me/tokens", "my_tokens", holders, a.serveCreateMyToken)
	rt.handle("GET /api/v1/me/tokens/{id}", "my_tokens", holders, a.serveMyToken)
	rt.handle("DELETE /api/v1/me/tokens/{id}", "my_tokens", holders, a.serveDeleteMyToken)
	rt.handle("DELETE /api/v1/tokens/current", "my_tokens", holders, a.serveDeleteCurrentToken)

	rt.handle("GET /api/v1/users", "users", admins, a.serveUsers)
	rt.handle("POST /api/v1/users", "users", admins, a.serveCreateUser)
	rt.handle("GET /api/v1/users/{user}", "users", admins, a.serveUser)
	rt.handle("PATCH /api/v1/users/{user}", "users", admins, a.serveUpdateUser)
	rt.handle("DELETE /api/v1/users/{user}", "users", admins, a.serveDeleteUser)
	rt.handle("GET /api/v1/tokens", "tokens", admins, a.serveTokens)
	rt.handle("POST /api/v1/tokens", "tokens", admins, a.serveCreateToken)
	rt.handle("DELETE /api/v1/tokens/{id}", "tokens", admins, a.serveDeleteToken)
	rt.handle("GET /api/v1/groups", "groups", admins, a.serveGroups)
	rt.handle("POST /api/v1/groups", "groups", admins, a.serveCreateGroup)
	rt.handle("GET /api/v1/groups/{group}", "groups", admins, a.serveGroup)
	rt.handle("PATCH /api/v1/groups/{group}", "groups", admins, a.serveUpdateGroup)
	rt.handle("DELETE /api/v1/groups/{group}", "groups", admins, a.serveDeleteGroup)
	rt.handle("GET /api/v1/mirrors", "mirrors", admins, a.serveMirrors)
	rt.handle("GET /api/v1/mirrors/{mirror}", "mirrors", admins, a.serveMirror)
	rt.handle("PUT /api/v1/mirrors/{mirror}", "mirrors", admins, a.servePutMirror)
	rt.handle("DELETE /api/v1/mirrors/{mirror}", "mirrors", admins, a.serveDeleteMirror)
	rt.handle("POST /api/v1/mirrors/{mirror}/sync", "mirrors", admins, a.serveSyncMirror)
	rt.handle("POST /api/v1/mirrors/{mirror}/policy", "mirrors", admins, a.serveTryPolicy)
	rt.handle("PUT /api/v1/mirrors/{mirror}/lockfiles/{lockfile}", "mirrors", admins, a.servePutLockfile)
	rt.handle("DELETE /api/v1/mirrors/{mirror}/lockfiles/{lockfile}", "mirrors", admins, a.serveDeleteLockfile)
	rt.handle("POST /api/v1/mirrors/{mirror}/crates/{crate}/{version}", "mirror_cache", admins, a.serveCacheCrate)
	rt.handle("PUT /api/v1/mirrors/{mirror}/crates/{crate}/{version}", "mirror_bundle", admins, a.serveAddCrate)
	rt.handle("GET /api/v1/mirrors/{mirror}/crates/{crate}", "mirrors", admins, a.serveStoredCrate)
	rt.handle("DELETE /api/v1/mirrors/{mirror}/crates/{crate}", "mirrors", admins, a.serveForgetCrate)
	rt.handle("GET /api/v1/mirrors/{mirror}/bundle", "mirror_bundle", admins, a.serveExportMirror)
	rt.handle("PUT /api/v1/mirrors/{mirror}/bundle", "mirror_bundle", admins, a.serveImportMirror)
	rt.handle("PUT /api/v1/import", "import", admins, a.serveImport)
	rt.handle("GET /api/v1/audit", "audit", admins, a.serveAudit)
	rt.handle("GET /api/v1/status", "status", admins, a.serveStatus)
	rt.handle("GET /api/openapi.json", "openapi", anyone, a.serveOpenAPI)

	if a.Git != nil {
		rt.handle("/git/index/{file...}", "git_index", anyone, a.serveGit) // asks for itself
		rt.handle("/git/index", "git_index", anyone, a.serveGit)           // or the table would redirect
	}
	rt.handle("/", "pages", anyone, a.servePages)
}

// CacheBytes is how much memory index files take now.
func (a *API) CacheBytes() float64 { return float64(a.files.bytes()) }

// TakeDownloads gives the downloads since the last call, by version, for the catalog to keep.
func (a *API) TakeDownloads() map[int64]int64 { return a.downloads.take() }

// ReturnDownloads gives counts back that could not be written.
func (a *API) ReturnDownloads(counts map[int64]int64) { a.downloads.giveBack(counts) }

// Stop tells that the server is on its way out. It serves on, and with each answer closes the connection: the client's next request then goes to a
// server that stays, and none is under way on a connection that ends with this one.
func (a *API) Stop() { a.stopping.Store(true) }

// Stopping reports whether the server is on its way out.
func (a *API) Stopping() bool { return a.stopping.Load() }

// Drain turns new publishes away and waits until those in flight have their answer.
func (a *API) Drain() {
	a.drainMu.Lock()
	a.draining.Store(true)
	a.drainMu.Unlock()
	a.publishing.Wait()
}

// beginPublish counts a publish in, unless the server only waits for those in flight.
func (a *API) beginPublish() (done func(), ok bool) {
	a.drainMu.Lock()
	defer a.drainMu.Unlock()
	if a.draining.Load() {
		return nil, false
	}
	a.publishing.Add(1)
	return a.publishing.Done, true
}

// tally counts by id in memory; downloads are written to the catalog in batches, never on the hot path.
type tally struct {
	mu     sync.Mutex
	counts map[int64]int64
}

func (t *tally) add(id int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[int64]int64{}
	}
	t.counts[id]++
}

func (t *tally) giveBack(counts map[int64]int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[int64]int64{}
	}
	for id, n := range counts {
		t.counts[id] += n
	}
}

func (t *tally) take() map[int64]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := t.counts
	t.counts = nil
	return counts
}
