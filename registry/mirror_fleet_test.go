package registry_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/upstream"
)

// openFleet is openMirror with two servers of one registry, which share a database and a folder: m and the one that is given beside it.
func openFleet(t *testing.T, change func(*wire.MirrorSpec), crates ...string) (m, other *mirrored) {
	t.Helper()
	return openFleetOn(t, postgres.Database(t), change, crates...)
}

// openFleetOn is openFleet with a database of the caller's.
func openFleetOn(t *testing.T, uri string, change func(*wire.MirrorSpec), crates ...string) (m, other *mirrored) {
	t.Helper()
	folder := t.TempDir()
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

// Two servers that are asked for the same archives while one of them caches these ahead fetch each once, and all get them.
func TestMirrorFetchesWhileItSyncsInAFleet(t *testing.T) {
	var crates []string
	for i := range 20 {
		for v := range 3 {
			crates = append(crates, fmt.Sprintf("crate-%d 1.%d.0", i, v))
		}
	}
	m, other := openFleet(t, nil, crates...)
	m.proxy.Fail("/crates/", upstream.Slow, 5)
	m.put("m", func(s *wire.MirrorSpec) {
		for i := range 20 {
			s.Crates = append(s.Crates, wire.MirrorCrate{Name: fmt.Sprintf("crate-%d", i), Latest: 3})
		}
		s.Policy.Deny = []string{"heard"}
	})
	var wg sync.WaitGroup
	for _, server := range []*mirrored{m, other} {
		// What the mirror fetches as it was before goes on beside what it fetches as it is.
		eventually(t, "the server has heard of the change", func() bool { return server.index("heard").status == 403 })
	}
	for _, server := range []*mirrored{m, other} {
		for part := range 4 {
			wg.Go(func() {
				for _, i := range rand.Perm(len(crates)) {
					if i%4 == part {
						server.fetched(crates[i])
					}
				}
			})
		}
	}
	wg.Wait()
	for _, server := range []*mirrored{m, other} {
		eventually(t, "the sync has ended", func() bool {
			got, err := server.client.Mirror(t.Context(), "m")
			s := got.Status.Sync
			return err == nil && !s.Running && s.LastSuccessful != nil && s.Done == int64(len(crates)) && got.Status.Crates == int64(len(crates))
		})
	}
	for _, c := range crates {
		if n := m.proxy.Count("/crates/" + strings.Replace(c, " ", "/", 1) + "/"); n != 1 {
			t.Errorf("%s was fetched %d times", c, n)
		}
	}
}

// A lease that a server left which died keeps the others from an archive until it ends, and from no other. A server that ends in order leaves none.
func TestMirrorFetchesWhatADeadServerLeft(t *testing.T) {
	uri := postgres.Database(t)
	m, other := openFleetOn(t, uri, nil, "acme 1.0.0", "quick 1.0.0")
	c, err := catalog.OpenPostgres(t.Context(), catalog.PostgresOptions{URI: uri})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	row, err := c.Mirror(t.Context(), "m")
	if err != nil {
		t.Fatal(err)
	}
	lease, err := c.LeaseMirrorCrates(t.Context(), catalog.MirrorLeases{Holder: "dead", TTL: 4 * time.Second, Take: []catalog.MirrorKey{{MirrorID: row.ID, Name: "acme", Num: "1.0.0"}}})
	if err != nil || !lease[0].Has {
		t.Fatal(lease, err)
	}
	begin := time.Now()
	var wg sync.WaitGroup
	for _, server := range []*mirrored{m, other, m, other} {
		wg.Go(func() {
			server.fetched("acme 1.0.0")
			if took := time.Since(begin); took < 3*time.Second {
				t.Errorf("it was fetched after %s", took)
			}
		})
		wg.Go(func() { server.fetched("quick 1.0.0") })
	}
	time.Sleep(time.Second)
	if n := m.proxy.Count("/crates/acme/"); n != 0 {
		t.Errorf("%d requests while another server has the lease", n)
	}
	wg.Wait()
	for _, name := range []string{"acme", "quick"} {
		if n := m.proxy.Count("/crates/" + name + "/"); n != 1 {
			t.Errorf("%d requests for %s", n, name)
		}
	}
	for _, y := range []*yard{m.yard, other.yard} {
		if err := y.stop(); err != nil {
			t.Error(err)
		}
	}
	conn, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	var left int
	if err := errors.Join(conn.QueryRow(t.Context(), "SELECT count(*) FROM leases WHERE name LIKE 'mirror/%@%'").Scan(&left), conn.Close(t.Context())); err != nil || left != 0 {
		t.Errorf("%d leases are left, %v", left, err)
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
