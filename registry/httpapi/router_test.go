package httpapi

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
