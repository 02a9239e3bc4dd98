package mirror

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/wire"
)

// Of a crate that upstream deletes, what is cached goes on for who has it in a lockfile, and is chosen by nobody; the rest is gone. It comes back with the
// crate, unless that is another's by now.
func TestDeletedUpstream(t *testing.T) {
	o := openOddly(t)
	both := func(w http.ResponseWriter, r *http.Request) bool { // an older version that nobody asks for
		if r.URL.Path == "/index/ac/me/acme" {
			_, _ = fmt.Fprintf(w, `{"name":"acme","vers":"0.9.0","deps":[],"cksum":"%064x","features":{},"yanked":false}`+"\n", 9)
		}
		return false
	}
	o.be(both)
	if err := o.ask(); err != nil {
		t.Fatal(err)
	}
	if _, err := o.archive(); err != nil {
		t.Fatal(err)
	}
	o.stored()
	says := func(when string, lines int, has, hasNot string) {
		t.Helper()
		f, err := o.mirror().Index(t.Context(), "acme")
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if got := string(f.Plain); strings.Count(got, "\n") != lines || !strings.Contains(got, has) || strings.Contains(got, hasNot) {
			t.Errorf("%s: %s", when, got)
		}
	}
	o.be(absent)
	for _, when := range []string{"deleted", "deleted still"} {
		if err := o.ask(); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		says(when, 1, `"vers":"1.0.0"`, `"yanked":false`)
	}
	o.writer.settled(t.Context())
	if row, err := o.Catalog.MirrorIndexFile(t.Context(), o.mirror().Row.ID, "acme"); err != nil || row == nil || row.File == nil {
		t.Errorf("a restart would forget it: %+v, %v", row, err)
	}
	if got, err := o.archive(); err != nil || got != string(*o.file.Load()) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := o.mirror().Archive(t.Context(), "acme", "0.9.0", false); fault.KindOf(err) != fault.NotFound {
		t.Errorf("what is not cached: %v", err)
	}
	if !o.mirror().problems.about("acme") {
		t.Errorf("nobody is told: %q", o.mirror().problems.all())
	}
	o.be(both)
	if err := o.ask(); err != nil {
		t.Fatal(err)
	}
	says("back", 2, `"vers":"0.9.0"`, `"yanked":true`)
	if o.mirror().problems.about("acme") {
		t.Errorf("%q", o.mirror().problems.all())
	}
	o.be(absent)
	if err := o.ask(); err != nil {
		t.Fatal(err)
	}
	o.publish("somebody else's archive")
	o.be(func(http.ResponseWriter, *http.Request) bool { return false })
	if err := o.ask(); err != nil {
		t.Fatal(err)
	}
	says("another's", 1, `"yanked":true`, "0.9.0")
	if p := strings.Join(o.mirror().problems.all(), "\n"); !strings.Contains(p, "changed the checksum of acme 1.0.0") {
		t.Errorf("%q", p)
	}
	o.be(absent)
	if err := o.ForgetCrate(t.Context(), catalog.Actor{}, "m", "acme"); err != nil {
		t.Fatal(err)
	}
	if err := o.ask(); fault.KindOf(err) != fault.NotFound {
		t.Errorf("forgotten: %v", err)
	}
}

// What a deleted crate has not, upstream is asked for now and then, and not each time that somebody asks.
func TestDeletedUpstreamIsNotAskedEachTime(t *testing.T) {
	o := openOddly(t)
	spec := o.mirror().Spec
	spec.Upstream.MaxAge = wire.Duration(time.Hour)
	if _, _, err := o.Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	if err := o.ask(); err != nil {
		t.Fatal(err)
	}
	if _, err := o.archive(); err != nil {
		t.Fatal(err)
	}
	o.stored()
	var asked atomic.Int64
	o.be(func(w http.ResponseWriter, r *http.Request) bool {
		if !absent(w, r) {
			return false
		}
		asked.Add(1)
		return true
	})
	if err := o.ask(); err != nil {
		t.Fatal(err)
	}
	const times = 200
	for range times {
		if _, err := o.mirror().Archive(t.Context(), "acme", "0.9.0", false); fault.KindOf(err) != fault.NotFound {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n > times/2 { // it is more than once where what is in memory was voided meanwhile
		t.Errorf("upstream was asked %d times", n)
	}
}

// Once retention has taken the last archive of a crate that upstream deleted, nothing is left of it, and nothing is said of it.
func TestDeletedUpstreamAndEvicted(t *testing.T) {
	o := openOddly(t)
	if err := o.ask(); err != nil {
		t.Fatal(err)
	}
	if _, err := o.archive(); err != nil {
		t.Fatal(err)
	}
	o.stored()
	o.be(absent)
	if err := o.ask(); err != nil || !o.mirror().problems.about("acme") {
		t.Fatalf("%v, and the problems are %q", err, o.mirror().problems.all())
	}
	rows, err := o.Catalog.MirrorCratesOf(t.Context(), o.mirror().Row.ID, "acme")
	if err != nil || len(rows) != 1 {
		t.Fatalf("%v, %v", rows, err)
	}
	if gone, err := o.Catalog.DeleteMirrorCrate(t.Context(), o.mirror().Row.ID, 0, rows[0]); err != nil || !gone {
		t.Fatalf("%v, %v", gone, err)
	}
	if err := o.ask(); fault.KindOf(err) != fault.NotFound {
		t.Errorf("with nothing left of it: %v", err)
	}
	if o.mirror().problems.about("acme") {
		t.Errorf("%q", o.mirror().problems.all())
	}
}
