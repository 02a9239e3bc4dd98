// Package httpapi is what clients reach over HTTP: the sparse index, downloads, cargo's web API and the management API.
//
// Handlers return errors; one place turns an error into an answer and into the one access record of the request. A route
// says who may use it (see access), so that no handler can forget to ask.
package httpapi

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/metrics"
	"github.com/crateyard/crateyard/registry/publish"
	"github.com/crateyard/crateyard/registry/storage"
)

// API serves a registry. Its fields are set once, before Handler.
type API struct {
	Name      string // what cargo configurations call the registry
	URL       string // public base, without a slash at its end
	Version   string // of the program
	Private   bool   // reading needs a token
	Catalog   *catalog.Catalog
	Store     storage.Store
	Publisher *publish.Publisher
	Auth      *auth.Authenticator
	Metrics   *metrics.Metrics
	Log       *slog.Logger // of failures and changes
	Access    *AccessLog   // one record a request; nil: none
	Web       http.Handler // pages

	files     *fileCache
	versions  *otter.Cache[string, catalog.Version]
	config    []byte
	downloads tally

	publishing sync.WaitGroup // publishes in flight
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
	a.Catalog.Follow(a.files.changed)
	a.config = index.NewConfig(a.URL, a.Private).JSON()

	rt := newRouter(a)
	rt.index = rt.route("index", readers, a.serveIndex)
	rt.handle("GET /crates/{crate}/{version}/download", "download", readers, a.serveDownload)

	rt.handle("PUT /api/v1/crates/new", "publish", holders, a.servePublish)
	rt.handle("DELETE /api/v1/crates/{crate}/{version}/yank", "yank", holders, a.serveYank(true))
	rt.handle("PUT /api/v1/crates/{crate}/{version}/unyank", "unyank", holders, a.serveYank(false))
	rt.handle("GET /api/v1/crates/{crate}/owners", "owners", readers, a.serveOwners)
	rt.handle("PUT /api/v1/crates/{crate}/owners", "add_owners", holders, a.serveAddOwners)
	rt.handle("DELETE /api/v1/crates/{crate}/owners", "remove_owners", holders, a.serveRemoveOwners)
	rt.handle("GET /api/v1/crates", "search", readers, a.serveSearch)

	rt.handle("GET /api/v1/users", "users", admins, a.serveUsers)
	rt.handle("POST /api/v1/users", "users", admins, a.serveCreateUser)
	rt.handle("GET /api/v1/users/{user}", "users", admins, a.serveUser)
	rt.handle("PATCH /api/v1/users/{user}", "users", admins, a.serveUpdateUser)
	rt.handle("DELETE /api/v1/users/{user}", "users", admins, a.serveDeleteUser)
	rt.handle("GET /api/v1/tokens", "tokens", admins, a.serveTokens)
	rt.handle("POST /api/v1/tokens", "tokens", admins, a.serveCreateToken)
	rt.handle("DELETE /api/v1/tokens/{id}", "tokens", admins, a.serveDeleteToken)
	rt.handle("GET /api/v1/status", "status", admins, a.serveStatus)

	rt.handle("/", "pages", anyone, a.servePages)
	return rt
}

// CacheBytes is how much memory index files take now.
func (a *API) CacheBytes() float64 { return float64(a.files.bytes()) }

// TakeDownloads gives the downloads since the last call, by version, for the catalog to keep.
func (a *API) TakeDownloads() map[int64]int64 { return a.downloads.take() }

// Drain turns new publishes away and waits until those in flight have their answer.
func (a *API) Drain() {
	a.drainMu.Lock()
	a.draining.Store(true)
	a.drainMu.Unlock()
	a.publishing.Wait()
}

// Draining reports whether the server is on its way out.
func (a *API) Draining() bool { return a.draining.Load() }

// beginPublish counts a publish in, unless the server is on its way out.
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

func (t *tally) take() map[int64]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := t.counts
	t.counts = nil
	return counts
}
