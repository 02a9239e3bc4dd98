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

// patience is how slow an upload may be. The time that counts is the sender's: what the server itself takes is not held against it.
type patience struct {
	stall  time.Duration // without a byte
	window time.Duration // over which at least rate is asked for
	rate   float64       // bytes a second
	most   time.Duration // in all
	drain  time.Duration // for the rest of an upload that was refused
}

// uploadPatience: cargo itself gives up after 30 seconds with less than 10 bytes each. 10 MiB fit into half an hour at 6 kB/s.
var uploadPatience = patience{stall: 30 * time.Second, window: 30 * time.Second, rate: 1 << 10, most: 30 * time.Minute, drain: 10 * time.Second}

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
		return fault.New(fault.Unavailable, "this server is shutting down, and nothing was published; publish again in a moment")
	}
	defer done()
	body := &upload{r: r.Body, patience: a.patience, end: time.Now().Add(a.patience.most), deadline: http.NewResponseController(w).SetReadDeadline}
	err := a.acceptPublish(w, r, body, from)
	if err != nil {
		result := "refused"
		if kind := fault.KindOf(err); kind == fault.Internal || kind == fault.Unavailable {
			result = "failed"
		}
		a.Metrics.Publishes.WithLabelValues(result).Inc()
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
		Admit: func(isNew bool) (func(), error) { return a.Limits.publish(w.principal, w.address, isNew) }}, body)
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
	patience patience
	deadline func(time.Time) error
	end      time.Time
	begun    bool

	waited time.Duration // for bytes, in this window
	got    int           // bytes in this window
}

func (u *upload) Read(p []byte) (int, error) {
	u.begun = true
	began := time.Now()
	until := began.Add(u.patience.stall)
	if until.After(u.end) {
		until = u.end
	}
	if err := u.deadline(until); err != nil {
		return 0, err
	}
	n, err := u.r.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, fault.New(fault.TimedOut, "the upload stood still for %s, or took more than %s; publish again", u.patience.stall, u.patience.most)
	}
	u.waited += time.Since(began)
	u.got += n
	if u.waited >= u.patience.window {
		if err == nil && float64(u.got) < u.patience.rate*u.waited.Seconds() {
			return n, fault.New(fault.TimedOut, "the upload came with less than %.0f bytes a second; publish again over a better connection", u.patience.rate)
		}
		u.waited, u.got = 0, 0
	}
	return n, err
}

// drainMost is what is read of a refused upload, so that its sender reads the answer: a connection that is closed on unread
// bytes is reset, and the answer lost. More than any archive that the default limit lets through.
const drainMost = 16 << 20

func (u *upload) drain(r *http.Request) {
	if !u.begun && r.Header.Get("Expect") != "" {
		return // the sender waits for our word before it sends anything
	}
	if err := u.deadline(time.Now().Add(u.patience.drain)); err == nil {
		_, _ = io.CopyN(io.Discard, u.r, drainMost) // best effort, for the sender's sake
	}
}
