package httpapi

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A server that waits for something says so, in the shape that the client reads.
func TestGate(t *testing.T) {
	g := NewGate("https://crates.example.com/acme")
	g.holds = time.Hour
	s := httptest.NewServer(g)
	defer s.Close()
	type answer struct {
		status int
		text   string
	}
	ask := func(path string) answer {
		resp, err := http.Get(s.URL + path)
		if err != nil {
			return answer{0, err.Error()}
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			return answer{0, err.Error()}
		}
		if resp.StatusCode == 503 && (resp.Header.Get("Retry-After") == "" || resp.Header.Get("Cache-Control") != "no-store") {
			t.Errorf("%s: %v", path, resp.Header)
		}
		return answer{resp.StatusCode, string(text)}
	}
	g.Waits("its disk is full")
	for path, want := range map[string]string{
		"/acme/index/config.json":  "this server is starting, and waits: its disk is full\n",
		"/acme/api/v1/crates?q=x":  `{"errors":[{"detail":"this server is starting, and waits: its disk is full"}]}`,
		"/api/v1/not/below/prefix": "this server is starting, and waits: its disk is full\n",
	} {
		if a := ask(path); a.status != 503 || strings.TrimSpace(a.text) != strings.TrimSpace(want) {
			t.Errorf("%s: %+v", path, a)
		}
	}
	g.Goes()
	g.holds = time.Millisecond
	if a := ask("/index"); a.status != 503 || strings.Contains(a.text, "disk") {
		t.Errorf("it waits no longer, and says %+v", a)
	}
	g.Open(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "served "+r.URL.Path) }))
	if a := ask("/late"); a != (answer{200, "served /late"}) {
		t.Errorf("%+v", a)
	}
}

// Held requests are answered by the server when it opens, or when they have been held for long.
func TestGateHolds(t *testing.T) {
	for _, opens := range []bool{true, false} {
		g := NewGate("")
		if g.holds = time.Hour; !opens {
			g.holds = time.Millisecond
		}
		began, done := make(chan struct{}), make(chan *httptest.ResponseRecorder)
		go func() {
			w := httptest.NewRecorder()
			close(began)
			g.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			done <- w
		}()
		<-began
		want := 503
		if opens {
			want = 204
			g.Open(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
		}
		if w := <-done; w.Code != want {
			t.Errorf("opens: %v; %d %s", opens, w.Code, w.Body)
		}
	}
}
