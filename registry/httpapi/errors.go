package httpapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/wire"
)

// statuses is the one table from kinds of errors to HTTP. cargo takes exactly 404 for "no such crate", and 401 for "try with
// your token".
var statuses = map[fault.Kind]int{
	fault.Invalid:         http.StatusBadRequest,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Forbidden:       http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.Conflict:        http.StatusConflict,
	fault.TooLarge:        http.StatusRequestEntityTooLarge,
	fault.Unavailable:     http.StatusServiceUnavailable,
	fault.TimedOut:        http.StatusRequestTimeout,
	fault.TooMany:         http.StatusTooManyRequests,
	fault.Internal:        http.StatusInternalServerError,
}

// fail answers with an error: cargo's JSON shape under /api, plain text elsewhere, where cargo shows the body as it is. The
// cause goes to the log alone.
func (a *API) fail(w *response, r *http.Request, err error) {
	w.err = err
	status, detail := http.StatusInternalServerError, ""
	var wait time.Duration
	if fe, ok := errors.AsType[*fault.Error](err); ok && fe.Kind != fault.Internal {
		status, detail, wait = statuses[fe.Kind], fe.Detail, fe.Wait
	} else if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		status, detail = 499, "the client went away" // nginx's code for it, for the log; nobody reads the answer
	} else {
		detail = "internal error; the server's log has the cause under request " + w.requestID
	}
	if status >= 500 {
		a.Log.Error("Request failed", "request", w.requestID, "method", r.Method, "path", r.URL.Path, "error", err)
	}
	if w.status != 0 {
		w.cut = true // the answer has begun, and its end must not look like one
		return
	}
	h := w.Header()
	for _, name := range []string{"Etag", "Content-Encoding", "Content-Length", "Last-Modified"} {
		delete(h, name)
	}
	h["X-Request-Id"] = []string{w.requestID}
	h["Cache-Control"] = noStore // a proxy that remembers "no such crate" would hide the publish that follows
	switch status {
	case http.StatusUnauthorized:
		if strings.HasPrefix(r.URL.Path, gitPrefix) {
			h.Set("WWW-Authenticate", `Basic realm="crateyard: a token as password"`)
		} else {
			h.Set("WWW-Authenticate", fmt.Sprintf("Cargo login_url=%q", a.URL+"/me"))
		}
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(max(5, int(math.Ceil(wait.Seconds())))))
	case http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	if strings.HasPrefix(r.URL.Path, "/api/") {
		_ = w.json(status, wire.Errors{Errors: []wire.Detail{{Detail: detail}}}) // two strings always marshal
		return
	}
	body := []byte(detail + "\n")
	h["Content-Type"], h["X-Content-Type-Options"] = textPlain, noSniff
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone when this fails
}

// servePages answers for all that has no route of its own: pages, and whatever does not exist.
func (a *API) servePages(w *response, r *http.Request) error {
	if strings.HasPrefix(r.URL.Path, "/api/v1/trusted_publishing/") { // what a workflow for crates.io asks, which shows the answer
		return fault.New(fault.NotFound, "this registry offers no trusted publishing: give the workflow a token of its own, with the scopes publish-new or publish-update, "+
			"the patterns of its crates and an end, as a secret in CARGO_REGISTRIES_<NAME>_TOKEN")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead || strings.HasPrefix(r.URL.Path, "/api/") {
		return fault.New(fault.NotFound, "there is no %s %s here", r.Method, r.URL.Path)
	}
	a.Web.ServeHTTP(w, r)
	return nil
}

// serveOutside answers for paths that are not below the registry's own. What comes here was asked of a wrong address, or a proxy took the
// prefix off on the way.
func (rt *router) serveOutside(_ *response, r *http.Request) error {
	return fault.New(fault.NotFound, "this registry is at %s/, and the request was for %s, which does not begin with %s/: ask for the whole path, and let a proxy in front of the registry pass it on with its prefix",
		rt.api.URL, r.URL.Path, rt.base)
}

// serveDotted answers for paths with a part that is `.` or `..`. See router.clean.
func serveDotted(_ *response, r *http.Request) error {
	return fault.New(fault.NotFound, "there is no %s %q here: no address has a part `.` or `..`, and nothing that has a name is called so", r.Method, r.URL.Path)
}
