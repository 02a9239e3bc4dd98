package httpapi

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/fault"
)

// handler answers a request, or says why not.
type handler func(w *response, r *http.Request) error

// router is the outermost handler: it takes the base path off, cleans the path, finds the route and writes the access record.
type router struct {
	api  *API
	mux  *http.ServeMux
	base string // path of the public address, "" or "/prefix"

	table []entry

	index                       func(*response, *http.Request) // all below indexPrefix
	mirrorIndex, mirrorDownload func(*response, *http.Request) // all below mirrorPrefix
	outside                     func(*response, *http.Request) // all that is not below base
	dotted                      func(*response, *http.Request) // all with a part that is `.` or `..`
	ids                         requestIDs
	pool                        sync.Pool
}

func newRouter(a *API) *router {
	rt := &router{api: a, mux: http.NewServeMux(), ids: newRequestIDs()}
	a.base = a.basePath()
	rt.base = a.base
	rt.pool.New = func() any { return &response{} }
	return rt
}

func (a *API) basePath() string {
	u, err := url.Parse(a.URL)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.Path, "/")
}

// AnswersSoon reports whether a GET request for a path is answered without waiting for anybody, for all that is in memory: for an index file, or for an archive that
// is small, on this machine's disk, and everybody's.
func (a *API) AnswersSoon(path string) bool {
	rest, ok := strings.CutPrefix(path, a.base)
	return ok && (strings.HasPrefix(rest, indexPrefix) || !a.Private && a.StoreIsLocal && a.isSmallDownload(rest))
}

// route is one entry of the table in API.Handler with its counters, which are looked up once and not per request.
type route struct {
	name    string
	metrics *API
	codes   [600]atomic.Pointer[prometheus.Counter]
	seconds prometheus.Observer
	bytes   prometheus.Counter
}

// entry is what a line of the table says of a route, for the API's description to be held against.
type entry struct {
	pattern string
	who     access
}

// handle puts a route into the table.
func (rt *router) handle(pattern, name string, who access, h handler) {
	rt.table = append(rt.table, entry{pattern, who})
	serve := rt.route(name, who, h)
	rt.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		serve(w.(*response), r) // ServeHTTP made it
	})
}

// route makes the handler of a route: who may use it, what it counts, and what becomes of its errors.
func (rt *router) route(name string, who access, h handler) func(*response, *http.Request) {
	m := rt.api.Metrics
	ro := &route{name: name, metrics: rt.api, seconds: m.RequestDuration.WithLabelValues(name), bytes: m.ResponseBytes.WithLabelValues(name)}
	return func(w *response, r *http.Request) {
		w.route = ro
		err := rt.api.admit(w, r, who)
		if err == nil {
			err = h(w, r)
		}
		if err != nil {
			rt.api.fail(w, r, err)
		}
	}
}

func (ro *route) count(code int, d time.Duration, bytes int64) {
	slot := &ro.codes[code%len(ro.codes)]
	c := slot.Load()
	if c == nil {
		counter := ro.metrics.Metrics.Requests.WithLabelValues(ro.name, strconv.Itoa(code))
		c = &counter
		slot.Store(c)
	}
	(*c).Inc()
	ro.seconds.Observe(d.Seconds())
	ro.bytes.Add(float64(bytes))
}

// ServeHTTP answers one request.
func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	resp := rt.pool.Get().(*response)
	*resp = response{ResponseWriter: w, requestID: rt.ids.of(r), address: clientAddress(r, rt.api.TrustedProxies)}
	if rt.api.stopping.Load() {
		w.Header().Set("Connection", "close") // see API.Stop
	}
	requested := r.URL.Path
	defer func() {
		rt.finish(resp, r, requested, start, recover())
		*resp = response{}
		rt.pool.Put(resp)
	}()
	if r.ContentLength != 0 {
		// net/http reads a body that nobody wants before it sends the answer; a sender that stands still must not hold us there.
		deadline := http.NewResponseController(w).SetReadDeadline
		_ = deadline(start.Add(bodyTime)) // a connection that is gone needs no deadline
		r2 := *r                          // net/http looks at the body of its own when the answer begins
		r2.Body = &arriving{r.Body, deadline}
		r = &r2
	}
	u, elsewhere := rt.clean(r.URL)
	if elsewhere != nil {
		elsewhere(resp, r)
		return
	}
	if u != r.URL {
		r2 := *r
		r2.URL = u
		r = &r2
	}
	// The index is what cargo asks for most by far, a file a crate; to find its route in the table would cost a tenth of a hit.
	if strings.HasPrefix(r.URL.Path, indexPrefix) && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		rt.index(resp, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, mirrorPrefix) && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		if isMirrorDownload(r.URL.Path) {
			rt.mirrorDownload(resp, r)
		} else {
			rt.mirrorIndex(resp, r)
		}
		return
	}
	rt.mux.ServeHTTP(resp, r)
}

// bodyTime is how long a request's body may take to arrive; a publish has limits of its own.
const bodyTime = 30 * time.Second

// arriving is a body whose time to arrive ends with it. When it is there, net/http reads on to see whether the client goes away, and a deadline that
// strikes then cancels the request as if it had: the server's own time would be held against it.
type arriving struct {
	io.ReadCloser
	deadline func(time.Time) error
}

// Read implements io.Reader.
func (b *arriving) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.deadline(time.Time{}) // a connection that is gone needs none
	}
	return n, err
}

// indexPrefix begins the path of every index file.
const indexPrefix = "/index/"

// clean gives the address as the routes know it. Slashes too many are taken out here because ServeMux would redirect such paths, and cargo before 1.97 follows
// no redirect on the web API, where a slash too many is what it sends for an address that ends in one. Dots are not resolved: a client that
// means to go up has done so itself, so `..` is a name that somebody typed or a script made, and what would be found above has nothing to do with it.
func (rt *router) clean(u *url.URL) (clean *url.URL, elsewhere func(*response, *http.Request)) {
	p, raw := u.Path, u.RawPath // the second is there where the first does not say which slashes were sent as %2F
	if rt.base != "" {
		rest, ok := rt.below(p)
		restRaw, okRaw := rt.below(raw)
		if !ok {
			return nil, rt.outside
		}
		if p, raw = rest, restRaw; !okRaw { // the address itself is written in another way
			raw = ""
		}
	}
	if strings.Contains(p, "/.") && (strings.Contains(p+"/", "/./") || strings.Contains(p+"/", "/../")) {
		return nil, rt.dotted
	}
	if raw == "" {
		p = single(p)
	} else if strings.Contains(raw, "//") {
		raw = single(raw)
		p, _ = url.PathUnescape(raw) // it is a part of one that could be parsed
	}
	if p == "" {
		p = "/"
	}
	if p == u.Path && raw == u.RawPath {
		return u, nil
	}
	cleaned := *u
	cleaned.Path, cleaned.RawPath = p, raw
	return &cleaned, nil
}

// below takes the path of the registry's own address from the front of one.
func (rt *router) below(p string) (string, bool) {
	rest, ok := strings.CutPrefix(p, rt.base)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// single leaves one of several slashes that follow each other.
func single(p string) string {
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	return p
}

func (rt *router) finish(w *response, r *http.Request, requested string, start time.Time, panicked any) {
	if panicked == http.ErrAbortHandler { // the server's own way to cut a connection
		w.cut = true
	} else if panicked != nil {
		rt.api.Log.Error("Panic in a handler", "request", w.requestID, "panic", panicked, "stack", string(debug.Stack()))
		rt.api.fail(w, r, fault.New(fault.Internal, "panic"))
	}
	if w.status == 0 {
		w.status = http.StatusOK
	}
	now := time.Now()
	d := now.Sub(start)
	if w.route != nil {
		w.route.count(w.status, d, w.bytes)
	}
	if rt.api.Access != nil {
		rt.api.Access.record(w, r, requested, now, d)
	}
	if w.cut {
		panic(http.ErrAbortHandler)
	}
}

// admit finds out who asks, and whether the route is for them. A token is looked at wherever one is sent: one that
// does not work should say so, not act as if it were none. While the catalog is away nobody knows whether it works: what
// everybody may read is then read all the same.
func (a *API) admit(w *response, r *http.Request, who access) error {
	if who == anyone {
		return nil
	}
	if h := r.Header["Authorization"]; len(h) > 0 && h[0] != "" {
		p, err := a.Auth.Authenticate(r.Context(), auth.FromHeader(h[0]))
		if err != nil && who == readers && !a.Private && fault.KindOf(err) == fault.Unavailable {
			return nil
		}
		if err != nil {
			return a.Limits.failedAuth(w.address, err)
		}
		w.principal = p
	}
	switch {
	case who == readers && !a.Private:
		return nil
	case w.principal == nil:
		return fault.New(fault.Unauthenticated, "this needs a token; %s/me says how to get and use one", a.URL)
	case who == admins:
		return auth.Require(w.principal, auth.ScopeAdmin, "")
	}
	return nil
}
