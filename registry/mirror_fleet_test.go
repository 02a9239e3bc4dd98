package registry_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/upstream"
)

// openFleet is openMirror with two servers of one registry, which share a database and a folder: m and the one that is given beside it.
func openFleet(t *testing.T, change func(*wire.MirrorSpec), crates ...string) (m, other *mirrored) {
	t.Helper()
	uri, folder := postgres.Database(t), t.TempDir()
	config := func(c *registry.Config) {
		c.Instance, c.Storage.Folder, c.AdminToken = "ns/a", folder, "cy_test_"+strings.Repeat("a", 43)
		c.Catalog.Postgres = &registry.Postgres{URI: uri, MaxConnections: 8}
	}
	m = openUpstream(t, crates...)
	m.yard = open(t, config)
	m.client = client.New(m.url, m.admin)
	m.put("m", change)
	second := *m
	second.yard = openIn(t, t.TempDir(), config)
	second.client = client.New(second.url, second.admin)
	return m, &second
}

// Fifty who ask two servers for one archive that is not cached cost upstream one request, and all get it.
func TestMirrorFetchesOnceInAFleet(t *testing.T) {
	m, other := openFleet(t, nil, "acme 1.0.0")
	sum := sums(t, m.from.do("GET", "/index/ac/me/acme", "", nil).body)["1.0.0"]
	m.proxy.Fail("/crates/acme/", upstream.Slow, 1)
	var wg sync.WaitGroup
	for i := range 50 {
		server := []*mirrored{m, other}[i%2]
		wg.Go(func() {
			if a, _ := server.crate("acme", "1.0.0"); a.status != 200 || digest(a.body) != sum {
				t.Errorf("%d, %d bytes", a.status, len(a.body))
			}
		})
	}
	wg.Wait()
	if n := m.proxy.Count("/crates/acme/"); n != 1 {
		t.Errorf("%d requests for the archive", n)
	}
	if n := m.proxy.Count("/index/ac/me/acme"); n > 2 { // each server may have asked before the other noted it
		t.Errorf("%d requests for the index file", n)
	}
}

// Of two servers one syncs, and both tell the same of it.
func TestMirrorSyncsOnceInAFleet(t *testing.T) {
	names := []string{"one", "two", "three", "four", "five", "six", "seven", "eight"}
	var crates []string
	for _, n := range names {
		crates = append(crates, n+" 1.0.0", n+" 1.1.0")
	}
	m, other := openFleet(t, nil, crates...)
	m.proxy.Fail("/crates/", upstream.Slow, 2) // so that the sync is still at work when the other server looks
	m.put("m", func(s *wire.MirrorSpec) {
		for _, n := range names {
			s.Crates = append(s.Crates, wire.MirrorCrate{Name: n, Latest: 2})
		}
	})
	for _, server := range []*mirrored{m, other} {
		eventually(t, "the sync has ended", func() bool {
			got, err := server.client.Mirror(t.Context(), "m")
			s := got.Status.Sync
			return err == nil && !s.Running && s.LastSuccessful != nil && s.Total == 16 && s.Done == 16 && s.Fetched == 16 && got.Status.Crates == 16
		})
	}
	for _, n := range names {
		for _, v := range []string{"1.0.0", "1.1.0"} {
			if count := m.proxy.Count("/crates/" + n + "/" + v + "/"); count != 1 {
				t.Errorf("%s %s was fetched %d times", n, v, count)
			}
		}
	}
	time.Sleep(3 * time.Second) // more than the time after which servers look for work
	if n := strings.Count(m.logs.String()+other.logs.String(), "Sync of a mirror begins"); n != 1 {
		t.Errorf("%d syncs began", n)
	}
}

// After another upstream no server gives out an archive of the one before, and one of them fetches what is another now.
func TestMirrorMovesInAFleet(t *testing.T) {
	m, other := openFleet(t, nil, "same 1.0.0", "other 1.0.0")
	for _, server := range []*mirrored{m, other} {
		server.fetched("same 1.0.0", "other 1.0.0")
	}
	b := openUpstream(t, "same 1.0.0")
	b.from.shipOther("other", "1.0.0")
	m.move(b, nil)
	sum := sums(t, b.from.do("GET", "/index/"+path("other"), "", nil).body)["1.0.0"]
	for _, server := range []*mirrored{m, other} {
		eventually(t, "the server has heard of it", func() bool {
			a, whole := server.crate("other", "1.0.0")
			return a.status == 200 && whole && digest(a.body) == sum
		})
		server.fetched("same 1.0.0")
	}
	if n, same := m.proxy.Count("/crates/other/"), m.proxy.Count("/crates/same/"); n != 1 || same != 0 {
		t.Errorf("other was fetched %d times, same %d times", n, same)
	}
}
