package mirror

import (
	"net/http"
	"slices"
	"testing"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/wire"
)

// That one upstream has a crate is enough to know, whatever another has: who is told that it cannot be found out tries again, and in vain.
func TestHavingWhileAnotherIsAway(t *testing.T) {
	o := openOddly(t)
	for _, name := range []string{"l", "n"} {
		spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+http://127.0.0.1:1/"}}
		if _, _, err := o.Put(t.Context(), catalog.Actor{}, name, wire.MirrorChange{Spec: spec}); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.ask(); err != nil {
		t.Fatal(err)
	}
	o.writer.settled(t.Context())
	o.be(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true })
	if have, err := o.Having(t.Context(), "acme", true); err != nil || !slices.Equal(have, []string{"m"}) {
		t.Errorf("%q, %v", have, err)
	}
	if have, err := o.Having(t.Context(), "another", true); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("%q, %v", have, err)
	}
}
