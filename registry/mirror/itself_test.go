package mirror

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/wire"
)

// A mirror of itself, by a host name that it does not know as its own, says so, and has nobody wait for what waits for that.
func TestMirrorOfItself(t *testing.T) {
	m := started(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/config.json") {
			_, _ = w.Write(m.Mirror("m").ConfigJSON(false))
			return
		}
		t.Errorf("it asks itself for %s", r.URL.Path)
		http.NotFound(w, r)
	}))
	t.Cleanup(s.Close)
	spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + s.URL + "/mirrors/m/"}}
	if _, _, err := m.Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Mirror("m").up.ask(t.Context()); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "is this mirror itself") {
		t.Error(err)
	}
	if _, err := m.Mirror("m").Index(t.Context(), "acme"); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "is this mirror itself") {
		t.Error(err)
	}
}
