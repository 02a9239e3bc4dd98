package httpapi

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/metrics"
)

// An answer that fails on its way must not end as if it were whole: of a list, nobody could tell.
func TestFailureOnTheWay(t *testing.T) {
	logs := &strings.Builder{}
	rt := newRouter(&API{Metrics: metrics.New("test"), Log: slog.New(slog.NewTextHandler(logs, nil))})
	half := func(end func() error) handler {
		return func(w *response, _ *http.Request) error {
			_, _ = io.WriteString(w, "first line\n")
			_ = http.NewResponseController(w).Flush()
			return end()
		}
	}
	rt.handle("GET /error", "a", anyone, half(func() error { return errors.New("disk on fire") }))
	rt.handle("GET /panic", "b", anyone, half(func() error { panic("on fire") }))
	rt.handle("GET /whole", "c", anyone, half(func() error { return nil }))
	s := httptest.NewServer(rt)
	defer s.Close()
	for path, cut := range map[string]bool{"/error": true, "/panic": true, "/whole": false} {
		resp, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != "first line\n" || (err != nil) != cut {
			t.Errorf("%s: %q, %v", path, body, err)
		}
	}
	s.Close() // waits for the handlers
	if !strings.Contains(logs.String(), "disk on fire") {
		t.Errorf("the log lacks the cause: %s", logs)
	}
}

// deadlined keeps the last deadline for what the client sends.
type deadlined struct {
	*httptest.ResponseRecorder
	last time.Time
}

func (d *deadlined) SetReadDeadline(t time.Time) error {
	d.last = t
	return nil
}

// A body has its time to arrive, and what the server does with it afterwards is not cut off by that; one that was not read to its end keeps it.
func TestTimeOfBodyEndsWithIt(t *testing.T) {
	rt := newRouter(&API{Metrics: metrics.New("test"), Log: slog.New(slog.DiscardHandler)})
	w := &deadlined{}
	var within bool // has a deadline when it was read
	rt.handle("PUT /json", "a", anyone, func(_ *response, r *http.Request) error {
		var into struct{}
		err := readJSON(r, &into)
		within = !w.last.IsZero()
		return err
	})
	rt.handle("PUT /upload", "b", anyone, func(_ *response, r *http.Request) error {
		_, err := io.ReadAll(&upload{r: r.Body, patience: uploadPatience, end: time.Now().Add(time.Hour), deadline: w.SetReadDeadline})
		within = !w.last.IsZero()
		return err
	})
	rt.handle("PUT /unread", "c", anyone, func(*response, *http.Request) error {
		within = !w.last.IsZero()
		return nil
	})
	for path, want := range map[string]bool{"/json": false, "/upload": false, "/unread": true} {
		*w = deadlined{ResponseRecorder: httptest.NewRecorder()}
		rt.ServeHTTP(w, httptest.NewRequest(http.MethodPut, path, strings.NewReader("{}")))
		if w.Code != http.StatusOK || within != want {
			t.Errorf("%s: %d, a deadline: %v", path, w.Code, within)
		}
	}
}
