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

// Mirrors that are upstreams of each other, directly or by way of a third, say so, and do not wait for each other.
func TestMirrorsOfEachOther(t *testing.T) {
	for name, length := range map[string]int{"two": 2, "three": 3} {
		t.Run(name, func(t *testing.T) {
			managers, address := make([]*Manager, length), make([]string, length)
			for i := range managers {
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					m := managers[i].Mirror("m")
					if m == nil || !strings.HasSuffix(r.URL.Path, "/config.json") {
						t.Errorf("%d is asked for %s", i, r.URL.Path)
						http.NotFound(w, r)
						return
					}
					w.Header().Set(wire.UpstreamHeader, m.Spec.Upstream.Index)
					_, _ = w.Write(m.ConfigJSON(false))
				}))
				t.Cleanup(s.Close)
				managers[i], address[i] = started(t), s.URL
				managers[i].URL = s.URL
			}
			for i := range managers { // while not all of them are there nobody is asked: a mirror with mode Pinned asks nobody
				spec := wire.MirrorSpec{Mode: Pinned, Upstream: wire.MirrorUpstream{Index: "sparse+" + address[(i+1)%length] + "/mirrors/m/"}}
				if _, _, err := managers[i].Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: spec}); err != nil {
					t.Fatal(err)
				}
			}
			for i := range managers {
				up := managers[i].Mirror("m").up
				if _, err := up.ask(t.Context()); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "whose own upstream is this mirror") {
					t.Errorf("%d: %v", i, err)
				}
				if _, err := up.index(t.Context(), "acme", "", ""); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "whose own upstream is this mirror") {
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
}
