package registry_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/upstream"
)

// shipOther publishes a version with other bytes than ship does.
func (y *yard) shipOther(name, version string) {
	y.t.Helper()
	dir := name + "-" + version + "/"
	other := archive(y.t, file(dir+"Cargo.toml", manifest(name, version)), file(dir+"src/lib.rs", "pub fn another() {}\n"))
	if a := y.publish(frame(metadata(name, version), other)); a.status != 200 {
		y.t.Fatalf("publish %s %s: %d %s", name, version, a.status, a.body)
	}
}

// move gives the mirror another upstream, and gives the warnings.
func (m *mirrored) move(to *mirrored, change func(*wire.MirrorSpec)) []string {
	m.t.Helper()
	now, err := m.client.Mirror(m.t.Context(), "m")
	if err != nil {
		m.t.Fatal(err)
	}
	m.from, m.proxy = to.from, to.proxy
	spec := now.Spec
	spec.Upstream.Index = "sparse+" + m.proxy.URL + "/index/"
	if change != nil {
		change(&spec)
	}
	got, err := m.client.PutMirror(m.t.Context(), "m", wire.MirrorChange{Spec: spec})
	if err != nil {
		m.t.Fatal(err)
	}
	return got.Warnings
}

// Of a mirror that becomes another registry's nothing is given out as the new one's that is not: index files are asked for anew, and of the archives those
// stay whose digests the new index names.
func TestMirrorMoves(t *testing.T) {
	m := openMirror(t, nil, "same 1.0.0", "same 2.0.0", "other 1.0.0", "gone 1.0.0", "pinned 1.0.0")
	m.fetched("same 1.0.0", "other 1.0.0", "gone 1.0.0")
	m.pin("pinned 1.0.0")
	eventually(t, "all are stored", func() bool { return m.status().Crates == 4 })
	was := m.proxy.URL
	b := openUpstream(t, "same 1.0.0")
	b.from.shipOther("other", "1.0.0")
	b.from.shipOther("pinned", "1.0.0")
	warned := m.move(b, nil)
	if len(warned) != 1 || !strings.Contains(warned[0], m.proxy.URL) || !strings.Contains(warned[0], was) || strings.Contains(warned[0], "Pinned") {
		t.Errorf("warnings: %q", warned)
	}
	if got, want := m.index("same").body, b.from.do("GET", "/index/"+path("same"), "", nil).body; got != want {
		t.Errorf("the index file of same is\n%s\nwant\n%s", got, want)
	}
	if a := m.index("gone"); a.status != 404 {
		t.Errorf("the index file of gone: %d", a.status)
	}
	if a, _ := m.crate("gone", "1.0.0"); a.status != 404 {
		t.Errorf("an archive that the new upstream has not: %d", a.status)
	}
	if there := m.cached("same 1.0.0"); len(there) != 1 {
		t.Error("an archive that the new upstream has, too, was fetched again")
	}
	sum := sums(t, m.index("other").body)["1.0.0"]
	if a, whole := m.crate("other", "1.0.0"); a.status != 200 || !whole || digest(a.body) != sum {
		t.Errorf("an archive that is another one there: %d, SHA-256 %s, want %s", a.status, digest(a.body), sum)
	}
	// A lockfile stays, and says that what it wants is not what there is.
	if s := m.synced().Status; s.Sync.Failed != 1 || !strings.Contains(s.Sync.Failures[0].Crate, "pinned") || len(s.Problems) != 0 {
		t.Errorf("%+v", s)
	}
	list, err := m.client.StoredCrate(t.Context(), "m", "gone")
	if err != nil || len(list) != 0 {
		t.Errorf("stored of gone: %+v, %v", list, err)
	}
	var bundle bytes.Buffer
	if _, err := m.client.ExportMirror(t.Context(), "m", &bundle); err != nil || bytes.Contains(bundle.Bytes(), []byte("crates/gone/")) {
		t.Errorf("the bundle has gone, or: %v", err)
	}
	// The same at another address costs the index files.
	m.move(b, func(s *wire.MirrorSpec) {
		s.Upstream.Index = strings.Replace(s.Upstream.Index, "127.0.0.1", "localhost", 1)
	})
	if there := m.cached("same 1.0.0", "other 1.0.0"); !slices.Equal(there, []string{"same 1.0.0", "other 1.0.0"}) {
		t.Errorf("at another address only %q did not have to be fetched again", there)
	}
	// While the new one is away, nobody knows what is its.
	m.move(b, nil)
	m.proxy.Fail("/", upstream.Down, -1)
	if a, _ := m.crate("same", "1.0.0"); a.status != 503 {
		t.Errorf("with the new upstream away: %d", a.status)
	}
	m.proxy.Heal()
	eventually(t, "it is back", func() bool { a, _ := m.crate("same", "1.0.0"); return a.status == 200 })
}

// A mirror that serves nothing but what is cached says what another upstream means for it, and serves what is listed again after a sync.
func TestMirrorMovesPinned(t *testing.T) {
	m := openMirror(t, func(s *wire.MirrorSpec) { s.Mode, s.Crates = "Pinned", []wire.MirrorCrate{{Name: "acme"}} }, "acme 1.0.0")
	m.synced()
	if there := m.cached("acme 1.0.0"); len(there) != 1 {
		t.Fatal("it is not there")
	}
	b := openUpstream(t, "acme 1.0.0")
	warned := m.move(b, func(s *wire.MirrorSpec) { s.Suspend = true })
	if len(warned) != 1 || !strings.Contains(warned[0], "gives nothing out until `crateyard mirror sync m` has run") {
		t.Errorf("warnings: %q", warned)
	}
	if a := m.index("acme"); a.status != 404 {
		t.Errorf("before a sync: %d", a.status)
	}
	if _, err := m.client.SyncMirror(t.Context(), "m"); err != nil {
		t.Fatal(err)
	}
	m.synced()
	if there := m.cached("acme 1.0.0"); len(there) != 1 || m.proxy.Count("/crates/acme/") != 0 {
		t.Errorf("after it: %q, fetched %d times", there, m.proxy.Count("/crates/acme/"))
	}
}
