package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/wire"
)

// unheard is Metrics that nobody looks at.
type unheard struct{ Metrics }

func (unheard) Forget(string)                                         {}
func (unheard) Served(string, string, string)                         {}
func (unheard) UpstreamRequest(string, string, string, time.Duration) {}
func (unheard) UpstreamBytes(string, string, int64)                   {}
func (unheard) Evicted(string, int64)                                 {}

// started is a manager at work, without mirrors.
func started(t *testing.T) *Manager {
	t.Helper()
	dir := t.TempDir()
	c, err := catalog.Open(t.Context(), filepath.Join(dir, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := storage.OpenFilesystem(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	m := &Manager{Catalog: c, Store: store, Metrics: unheard{}, Log: slog.New(slog.DiscardHandler), URL: "http://127.0.0.1", SpoolDir: filepath.Join(dir, "spool"), MaxArchive: 1 << 20, Holder: "h"}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.Stop()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// registryOf is a registry with archives, by crate; all are of version 1.0.0.
func registryOf(t *testing.T, crates map[string]string) string {
	t.Helper()
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		if name == "download" {
			name = strings.Split(r.URL.Path, "/")[2]
			_, _ = w.Write([]byte(crates[name]))
			return
		}
		body, ok := crates[name]
		switch sum := sha256.Sum256([]byte(body)); {
		case name == "config.json":
			_, _ = fmt.Fprintf(w, `{"dl":"%s/crates"}`, s.URL)
		case ok:
			_, _ = fmt.Fprintf(w, `{"name":%q,"vers":"1.0.0","deps":[],"cksum":%q,"features":{},"yanked":false}`+"\n", name, hex.EncodeToString(sum[:]))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return "sparse+" + s.URL + "/index/"
}

// The sweep removes what another upstream from before had and this one has not; while this one is away it removes nothing.
func TestSweepAfterAMove(t *testing.T) {
	m := started(t)
	be := func(index string) {
		t.Helper()
		if _, _, err := m.Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: index}}}); err != nil {
			t.Fatal(err)
		}
	}
	sweep := func(want ...string) {
		t.Helper()
		if err := m.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.writer.settled(t.Context())
		var have []string
		for row, err := range m.Catalog.MirrorCrates(t.Context(), m.Mirror("m").Row.ID) {
			if err != nil {
				t.Fatal(err)
			}
			have = append(have, row.Name)
		}
		if slices.Sort(have); !slices.Equal(have, want) {
			t.Errorf("there are %q, want %q", have, want)
		}
	}
	be(registryOf(t, map[string]string{"same": "a", "other": "b", "gone": "c"}))
	for _, name := range []string{"same", "other", "gone"} {
		if _, err := m.Cache(t.Context(), "m", name, "1.0.0"); err != nil {
			t.Fatal(err)
		}
	}
	sweep("gone", "other", "same")
	be("sparse+http://127.0.0.1:1/index/")
	sweep("gone", "other", "same")
	be(registryOf(t, map[string]string{"same": "a", "other": "B"}))
	sweep("same")
	if row, err := m.Mirror("m").stored(t.Context(), "same", "1.0.0"); err != nil || row == nil {
		t.Errorf("%+v, %v", row, err)
	}
}

// What was looked up before an archive was stored, and is ready only after, does not stay in memory.
func TestKeepKnowsWhatWasDropped(t *testing.T) {
	m := started(t)
	if _, _, err := m.Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: registryOf(t, nil)}}}); err != nil {
		t.Fatal(err)
	}
	a := m.Mirror("m")
	early := a.newEntry()
	a.keep("acme", a.newEntry(), time.Now())
	a.drop("acme")
	if a.keep("acme", early, time.Now()) != early || a.cached("acme") != nil {
		t.Error("what was looked up before is back")
	}
	late := a.keep("acme", a.newEntry(), time.Now())
	if a.cached("acme") != late {
		t.Error("what was looked up after is not kept")
	}
}

// What answers and is no registry was never reached, one that says nothing for long is told, and one that was of no help is asked again by itself.
func TestFirstWord(t *testing.T) {
	m := started(t)
	var right atomic.Bool
	wait := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/silent/"):
			<-wait
		case right.Load() && strings.HasSuffix(r.URL.Path, "config.json"):
			_, _ = fmt.Fprint(w, `{"dl":"http://127.0.0.1/crates"}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(wait) })
	make := func(name, path string) *Mirror {
		t.Helper()
		spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + s.URL + path}}
		if _, _, err := m.Put(t.Context(), catalog.Actor{}, name, wire.MirrorChange{Spec: spec}); err != nil {
			t.Fatal(err)
		}
		return m.Mirror(name)
	}
	silent, wrong := make("silent", "/silent/"), make("wrong", "/nothere/")
	if out, err := m.Get(t.Context(), "silent"); err != nil || out.Status.Upstream.Ready || out.Status.Upstream.Message == "" {
		t.Errorf("%v %+v", err, out.Status.Upstream)
	}
	_, _ = wrong.Index(t.Context(), "acme")
	if out, err := m.Get(t.Context(), "wrong"); err != nil || out.Status.Upstream.Ready || !out.Status.NeverReached() {
		t.Errorf("%v %+v", err, out.Status)
	}
	right.Store(true)
	wrong.up.health.Store(&health{at: time.Now().Add(-time.Hour), err: "it was of no help"})
	for wrong.up.health.Load().err != "" {
		time.Sleep(10 * time.Millisecond)
	}
	silent.up.answers()
	if out, err := m.Get(t.Context(), "silent"); err != nil || !out.Status.Upstream.Ready || out.Status.NeverReached() {
		t.Errorf("%v %+v", err, out.Status)
	}
}
