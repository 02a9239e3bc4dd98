package registry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/upstream"
)

// again asks for a sync, and waits for its end.
func (m *mirrored) again() wire.MirrorSync {
	m.t.Helper()
	asked, err := m.client.SyncMirror(m.t.Context(), "m")
	if err != nil {
		m.t.Fatal(err)
	}
	var s wire.MirrorSync
	eventually(m.t, "the sync that was asked for has ended", func() bool {
		s = m.status().Sync
		return !s.Running && s.LastEnded.After(*asked.Status.Sync.LastEnded)
	})
	return s
}

// What a sync looks up, with upstream away, was served to nobody: the metric of what is served says nothing of it.
func TestMirrorSyncServesNobody(t *testing.T) {
	m := openMirror(t, func(s *wire.MirrorSpec) { s.Crates = []wire.MirrorCrate{{Name: "acme"}, {Name: "other"}} }, "acme 1.0.0", "other 1.0.0")
	m.synced()
	m.proxy.Fail("/", upstream.Down, -1)
	time.Sleep(1100 * time.Millisecond) // MaxAge
	m.again()
	const served = `crateyard_mirror_served_total{mirror="m",result="stale",what="index"}`
	values, _ := m.metrics()
	if n := values[served]; n != 0 {
		t.Errorf("stale: %v after a sync", n)
	}
	if a := m.index("acme"); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	eventually(t, "who is given an old file is counted", func() bool { m.index("acme"); values, _ = m.metrics(); return values[served] > 0 })
}

// synced waits until the last sync of m was of what it is now, and has ended.
func (m *mirrored) synced() wire.Mirror {
	m.t.Helper()
	var last wire.Mirror
	eventually(m.t, "a sync has ended", func() bool {
		var err error
		if last, err = m.client.Mirror(m.t.Context(), "m"); err != nil {
			m.t.Fatal(err)
		}
		s := last.Status.Sync
		return !s.Running && s.LastEnded != nil && s.Generation == last.Generation
	})
	return last
}

// What is wanted is what is cached and what failed, whatever leads to nothing.
func TestMirrorSyncAddsUp(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0", "acme 1.1.0", "other 1.0.0")
	m.put("m", func(s *wire.MirrorSpec) {
		s.Crates = []wire.MirrorCrate{{Name: "acme", Latest: 2}, {Name: "acme", Versions: "^7"}, {Name: "nowhere"}, {Name: "other"}}
	})
	s := m.synced().Status.Sync
	if s.Total != 5 || s.Done != 3 || s.Failed != 2 || len(s.Failures) != 2 || s.Counting || s.LastSuccessful != nil {
		t.Errorf("%+v", s)
	}
	// A sync that gave up says what it did not try.
	m.proxy.Fail("/", "down", -1)
	m.put("m", func(s *wire.MirrorSpec) {
		for range 40 {
			s.Crates = append(s.Crates, wire.MirrorCrate{Name: "far" + string(rune('a'+len(s.Crates)%26)), Versions: "^" + string(rune('1'+len(s.Crates)/26))})
		}
	})
	if s = m.synced().Status.Sync; s.Message == "" || s.Failed > s.Total || s.Counting {
		t.Errorf("%+v", s)
	}
}

// A mirror that is suspended syncs when it is asked to, and not by itself.
func TestMirrorSuspended(t *testing.T) {
	m := openMirror(t, func(s *wire.MirrorSpec) { s.Crates = []wire.MirrorCrate{{Name: "acme"}} }, "acme 1.0.0")
	first := m.synced()
	ended := first.Status.Sync.LastEnded
	later := fmt.Sprintf("0 0 1 %d *", time.Now().AddDate(0, 6, 0).Month()) // not while the test runs
	suspend := func(suspend bool, crates ...string) wire.Mirror {
		t.Helper()
		spec := first.Spec
		spec.Suspend, spec.Schedule, spec.Crates = suspend, later, []wire.MirrorCrate{{Name: "acme"}}
		for _, name := range crates {
			spec.Crates = append(spec.Crates, wire.MirrorCrate{Name: name})
		}
		out, err := m.client.PutMirror(t.Context(), "m", wire.MirrorChange{Spec: spec})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	suspend(false) // with a schedule
	m.synced()
	got := suspend(true)
	if s := got.Status.Sync; s.Next != nil || s.Generation != got.Generation {
		t.Errorf("suspended, and nothing else changed: generation %d, %+v", got.Generation, s)
	}
	m.from.ship("more", "1.0.0")
	got = suspend(true, "more")
	if s := got.Status.Sync; s.Generation == got.Generation || got.Status.Crates != 1 {
		t.Errorf("another crate, while suspended: %+v", got.Status)
	}
	if _, err := m.client.SyncMirror(t.Context(), "m"); err != nil {
		t.Fatal(err)
	}
	if got = m.synced(); got.Status.Crates != 2 || !got.Status.Sync.LastEnded.After(*ended) {
		t.Errorf("a sync that was asked for: %+v", got.Status)
	}
	if a, _ := m.crate("acme", "1.0.0"); a.status != 200 {
		t.Errorf("a download: %d", a.status)
	}
	if got = suspend(false, "more"); got.Status.Sync.Next == nil {
		t.Error("resumed, and not due ever again")
	}
}

// With an old Rust, what cargo chooses for it is cached beside the newest.
func TestMirrorForAnOldRust(t *testing.T) {
	m := openMirror(t, nil)
	ship := func(version, rust string) {
		t.Helper()
		meta := strings.Replace(metadata("acme", version), `"deps"`, `"rust_version":"`+rust+`","deps"`, 1)
		text := strings.Replace(manifest("acme", version), "[package]", "[package]\nrust-version = \""+rust+"\"", 1)
		crate := archive(t, file("acme-"+version+"/Cargo.toml", text), file("acme-"+version+"/src/lib.rs", ""))
		if a := m.from.publish(frame(meta, crate)); a.status != 200 {
			t.Fatalf("publish %s: %d %s", version, a.status, a.body)
		}
	}
	ship("1.0.0", "1.60")
	ship("1.1.0", "1.70")
	ship("1.2.0", "1.90")
	m.put("m", func(s *wire.MirrorSpec) { s.Crates, s.RustVersion = []wire.MirrorCrate{{Name: "acme"}}, "1.75" })
	if st := m.synced().Status; st.Crates != 2 || st.Sync.Total != 2 {
		t.Errorf("%+v", st)
	}
	for version, fetched := range map[string]bool{"1.0.0": true, "1.1.0": false, "1.2.0": false} {
		if c, err := m.client.CacheCrate(t.Context(), "m", "acme", version); err != nil || c.Fetched != fetched {
			t.Errorf("%s: %+v %v", version, c, err)
		}
	}
	_, err := m.client.PutMirror(t.Context(), "m", wire.MirrorChange{Spec: wire.MirrorSpec{RustVersion: ">=1.80"}})
	if !client.IsInvalid(err) || !strings.Contains(err.Error(), "rust_version") {
		t.Errorf("a requirement: %v", err)
	}
}

// A sync sees what was published a moment ago, whatever the age at which an index file is fresh, and so does who has one version cached.
func TestMirrorSyncSeesWhatIsNew(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0")
	m.put("m", func(s *wire.MirrorSpec) {
		s.Upstream.MaxAge = wire.Duration(time.Hour)
		s.Crates = []wire.MirrorCrate{{Name: "acme"}, {Name: "later"}}
	})
	if s := m.synced().Status.Sync; s.Done != 1 || s.Failed != 1 {
		t.Fatalf("%+v", s)
	}
	m.from.ship("acme", "1.1.0")
	m.from.ship("later", "1.0.0")
	if a := m.do("POST", "/api/v1/mirrors/m/crates/acme/1.1.0", m.admin, nil); a.status != 200 && a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
	m.from.ship("acme", "1.2.0")
	before := m.status().Sync.LastEnded
	if _, err := m.client.SyncMirror(t.Context(), "m"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the sync has ended", func() bool { return m.status().Sync.LastEnded.After(*before) })
	if there := m.cached("acme 1.1.0", "acme 1.2.0", "later 1.0.0"); len(there) != 3 {
		t.Errorf("there are %q", there)
	}
}
