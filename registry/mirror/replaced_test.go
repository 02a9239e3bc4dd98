package mirror

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/wire"
)

// trickling is an upstream that never comes to the end of an archive. asked has one for each request for one.
func trickling(t *testing.T, o *oddly) (asked chan struct{}) {
	asked, over := make(chan struct{}, 100), make(chan struct{})
	o.be(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/download") {
			return false
		}
		asked <- struct{}{}
		w.Header().Set("Content-Length", "1000000")
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = w.Write([]byte("x")) // the mirror has gone away when this fails
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return true
			case <-over:
				return true
			}
		}
	})
	t.Cleanup(func() { close(over) })
	return asked
}

// synced waits for the end of a sync of the mirror as it is now.
func (o *oddly) synced(m *Mirror) wire.MirrorSync {
	o.t.Helper()
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		got, err := o.Get(o.t.Context(), m.Name())
		if err != nil {
			o.t.Fatal(err)
		}
		if s := got.Status.Sync; !s.Running && s.LastEnded != nil && s.Generation == got.Generation {
			return s
		}
		if time.Now().After(end) {
			o.t.Fatalf("no sync has ended: %+v", got.Status.Sync)
		}
	}
}

// A sync of a mirror that is changed ends at once, whatever it was fetching, and one of the mirror as it is now begins.
func TestSyncOfAReplacedMirror(t *testing.T) {
	o := openOddly(t)
	asked := trickling(t, o)
	spec := o.mirror().Spec
	spec.Crates = []wire.MirrorCrate{{Name: "acme"}}
	if _, _, err := o.Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	<-asked
	spec.Crates = nil
	if _, _, err := o.Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	if s := o.synced(o.mirror()); s.Total != 0 || s.Failed != 0 || s.Message != "" {
		t.Errorf("%+v", s)
	}
}

// Nor does one of a mirror that is deleted go on.
func TestSyncOfADeletedMirror(t *testing.T) {
	o := openOddly(t)
	asked := trickling(t, o)
	spec := o.mirror().Spec
	spec.Upstream.Concurrency, spec.Crates = 1, []wire.MirrorCrate{{Name: "acme"}}
	if _, _, err := o.Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	<-asked
	was := o.mirror()
	if err := o.Delete(t.Context(), catalog.Actor{}, "m"); err != nil {
		t.Fatal(err)
	}
	for lease := "mirror/" + strings.TrimSuffix(was.cratePrefix, "/") + "/sync"; ; time.Sleep(20 * time.Millisecond) {
		free, err := o.Catalog.LeaseWithin(t.Context(), lease, "another", time.Minute, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if free {
			return
		}
	}
}
