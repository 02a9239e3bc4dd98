package registry_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/disk"
	"github.com/crateyard/crateyard/test/postgres"
)

// A sync onto a disk that is full says of each version that has no room there that it is not cached, and why; who asks for one gets it from upstream all the same.
// With room, the next sync caches the rest, and only that.
func TestMirrorSyncOnFullDisk(t *testing.T) {
	if !disk.Own(t) {
		return
	}
	const versions, size = 12, 150_000
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("shared=%v", shared), func(t *testing.T) {
			m := openUpstream(t)
			for i := range versions {
				if a := m.from.publish(big(t, fmt.Sprintf("1.0.%d", i), size)); a.status != 200 {
					t.Fatal(a.status, a.body)
				}
			}
			small := disk.Small(t, 3<<20)
			m.yard = open(t, func(c *registry.Config) {
				c.Storage.Folder = filepath.Join(small, "crates")
				if shared {
					c.Catalog.Postgres, c.AdminToken = &registry.Postgres{URI: postgres.Database(t)}, "cy_test_"+strings.Repeat("a", 43)
				}
			})
			m.client = client.New(m.url, m.admin)
			ballast := filepath.Join(small, "ballast")
			if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			m.put("m", func(s *wire.MirrorSpec) { s.Crates = []wire.MirrorCrate{{Name: "full", Latest: versions}} })
			got := m.synced()
			s := got.Status.Sync
			if s.Total != versions || s.Failed == 0 || s.Done == 0 || s.Done+s.Failed != versions || s.LastSuccessful != nil || got.Status.Crates != s.Done {
				t.Errorf("%d crates: %+v", got.Status.Crates, s)
			}
			for _, f := range s.Failures {
				if f.Crate != "full" || f.Version == "" || !strings.Contains(f.Reason, "could not be stored") {
					t.Errorf("%+v", f)
				}
			}
			sum := sums(t, m.index("full").body)
			for v, want := range sum {
				if a, whole := m.crate("full", v); a.status != 200 || !whole || digest(a.body) != want {
					t.Errorf("%s: %d, %d bytes", v, a.status, len(a.body))
				}
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			was := *s.LastEnded
			if _, err := m.client.SyncMirror(t.Context(), "m"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "another sync has ended", func() bool { return m.synced().Status.Sync.LastEnded.After(was) })
			again := m.synced()
			if now := again.Status.Sync; now.Done != versions || now.Failed != 0 || now.Fetched != versions-s.Done || now.LastSuccessful == nil || again.Status.Crates != versions {
				t.Errorf("with room, %d crates: %+v", again.Status.Crates, now)
			}
			asked := m.proxy.Count("/crates/")
			for v, want := range sum {
				if a, whole := m.crate("full", v); a.status != 200 || !whole || digest(a.body) != want {
					t.Errorf("%s, cached: %d, %d bytes", v, a.status, len(a.body))
				}
			}
			if now := m.proxy.Count("/crates/"); now != asked {
				t.Errorf("%d requests to upstream for what is cached", now-asked)
			}
		})
	}
}
