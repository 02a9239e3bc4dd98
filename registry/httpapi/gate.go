package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/crateyard/crateyard/registry/wire"
)

// gateHolds is how long a request waits for a server that starts. Most starts are over much sooner.
const gateHolds = 5 * time.Second

// Gate is the handler of a public address whose server still starts. It holds requests for a moment, so that none is refused by a start that takes
// no longer, and answers 503 when the start does, or the server says that it waits for something.
type Gate struct {
	api     string // where the paths of the API begin
	holds   time.Duration
	opened  chan struct{}
	handler http.Handler // once it is opened
	why     atomic.Pointer[string]
}

// NewGate makes a gate that is closed. publicURL is the registry's.
func NewGate(publicURL string) *Gate {
	g := &Gate{api: "/api/", holds: gateHolds, opened: make(chan struct{})}
	if u, err := url.Parse(publicURL); err == nil {
		g.api = strings.TrimSuffix(u.Path, "/") + g.api
	}
	return g
}

// Waits says what the server waits for, in words for clients. Meanwhile no request is held.
func (g *Gate) Waits(why string) { g.why.Store(&why) }

// Goes says that the server waits for nothing any longer.
func (g *Gate) Goes() { g.why.Store(nil) }

// Open lets all through to h, those that are held first. It is called once.
func (g *Gate) Open(h http.Handler) {
	g.handler = h
	close(g.opened)
}

// ServeHTTP lets a request through, holds it, or refuses it.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-g.opened:
		g.handler.ServeHTTP(w, r)
		return
	default:
	}
	if g.why.Load() == nil {
		held := time.NewTimer(g.holds)
		defer held.Stop()
		select {
		case <-g.opened:
			g.handler.ServeHTTP(w, r)
			return
		case <-held.C:
		case <-r.Context().Done():
		}
	}
	g.refuse(w, r)
}

func (g *Gate) refuse(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		(&upload{r: r.Body, patience: uploadPatience, deadline: http.NewResponseController(w).SetReadDeadline}).drain(r)
	}
	detail := "this server is starting; try again in a moment"
	if why := g.why.Load(); why != nil {
		detail = "this server is starting, and waits: " + *why
	}
	h := w.Header()
	h.Set("Retry-After", "5")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	kind, body := "text/plain; charset=utf-8", []byte(detail+"\n")
	if strings.HasPrefix(r.URL.Path, g.api) {
		kind = "application/json"
		body, _ = json.Marshal(wire.Errors{Errors: []wire.Detail{{Detail: detail}}}) // a string always marshals
	}
	h.Set("Content-Type", kind)
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write(body) // the client is gone when this fails
}
