package httpapi

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/publish"
)

// uploadStall is how long an upload may stand still. cargo itself gives up after 30 seconds without progress.
const uploadStall = 30 * time.Second

// uploadMost is how long an upload may take in all: 10 MiB at 6 kB/s.
const uploadMost = 30 * time.Minute

// servePublish takes an upload. No Content-Type is asked for: cargo before 1.96 sends none.
func (a *API) servePublish(w *response, r *http.Request) error { return a.takeUpload(w, r, nil) }

// serveImport takes a version that was published in another registry, as it was there. The body is that of a publish.
func (a *API) serveImport(w *response, r *http.Request) error {
	var from catalog.Imported
	q := r.URL.Query()
	switch q.Get("yanked") {
	case "", "false":
	case "true":
		from.Yanked = true
	default:
		return fault.New(fault.Invalid, "yanked: it must be true or false")
	}
	if text := q.Get("published_at"); text != "" {
		var err error
		if from.PublishedAt, err = time.Parse(time.RFC3339, text); err != nil || from.PublishedAt.After(time.Now().Add(time.Hour)) || from.PublishedAt.Unix() < 0 {
			return fault.New(fault.Invalid, "published_at: it must be a time in the past, as 2026-01-31T00:00:00Z")
		}
	}
	return a.takeUpload(w, r, &from)
}

func (a *API) takeUpload(w *response, r *http.Request, from *catalog.Imported) error {
	done, ok := a.beginPublish()
	if !ok {
		return fault.New(fault.Unavailable, "the registry is shutting down or being upgraded; publish again in a moment")
	}
	defer done()
	body := &upload{r: r.Body, end: time.Now().Add(uploadMost), deadline: http.NewResponseController(w).SetReadDeadline}
	err := a.acceptPublish(w, r, body, from)
	if err != nil {
		a.Metrics.Publishes.WithLabelValues(map[bool]string{true: "failed", false: "refused"}[fault.KindOf(err) == fault.Internal]).Inc()
		body.drain(r)
	}
	return err
}

func (a *API) acceptPublish(w *response, r *http.Request, body io.Reader, from *catalog.Imported) error {
	// Asked here too, so that who may publish nothing at all does not upload first.
	if !w.principal.May(auth.ScopePublishNew, "") && !w.principal.May(auth.ScopePublishUpdate, "") {
		return auth.Require(w.principal, auth.ScopePublishNew, "")
	}
	res, err := a.Publisher.Publish(r.Context(), publish.Uploader{Principal: w.principal, Address: w.address, Imported: from,
		Admit: func(isNew bool) (func(), error) { return a.Limits.publish(w.principal, isNew) }}, body)
	if err != nil {
		return err
	}
	a.Metrics.Publishes.WithLabelValues("published").Inc()
	a.Metrics.PublishedBytes.Add(float64(res.Size))
	a.Log.Info("Published", "request", w.requestID, "crate", res.Name, "version", res.Version, "bytes", res.Size,
		"sha256", res.SHA256, "user", w.principal.User, "token", w.principal.TokenID)
	type warnings struct {
		Categories []string `json:"invalid_categories"`
		Badges     []string `json:"invalid_badges"`
		Other      []string `json:"other"`
	}
	return w.json(http.StatusOK, struct {
		Warnings warnings `json:"warnings"`
	}{warnings{Categories: append([]string{}, res.InvalidCategories...), Badges: []string{}, Other: append([]string{}, res.Warnings...)}})
}

// upload reads a body that must make progress.
type upload struct {
	r        io.Reader
	deadline func(time.Time) error
	end      time.Time
	begun    bool
}

func (u *upload) Read(p []byte) (int, error) {
	u.begun = true
	until := time.Now().Add(uploadStall)
	if until.After(u.end) {
		until = u.end
	}
	if err := u.deadline(until); err != nil {
		return 0, err
	}
	n, err := u.r.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fault.New(fault.TimedOut, "the upload stood still for %s, or took more than %s; publish again", uploadStall, uploadMost)
	}
	return n, err
}

// drainMost is what is read of a refused upload, so that its sender reads the answer: a connection that is closed on unread
// bytes is reset, and the answer lost. More than any archive that the default limit lets through.
const (
	drainMost = 16 << 20
	drainTime = 10 * time.Second
)

func (u *upload) drain(r *http.Request) {
	if !u.begun && r.Header.Get("Expect") != "" {
		return // the sender waits for our word before it sends anything
	}
	if err := u.deadline(time.Now().Add(drainTime)); err == nil {
		_, _ = io.CopyN(io.Discard, u.r, drainMost) // best effort, for the sender's sake
	}
}
