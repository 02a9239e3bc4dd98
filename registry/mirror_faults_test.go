package registry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/test/upstream"
)

// What upstream does wrong with an archive is mended, or nothing of it is kept.
func TestMirrorFaultsOfArchives(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0")
	sum := sums(t, m.index("acme").body)["1.0.0"]
	for _, tt := range []struct {
		fault upstream.Fault
		times int
		good  bool
	}{
		{upstream.WrongBytes, -1, false}, {upstream.Endless, -1, false}, {upstream.Page, -1, false}, {upstream.Down, -1, false}, {upstream.Error, -1, false},
		{upstream.Down, 1, true}, {upstream.Error, 2, true}, {upstream.TooMany, 1, true}, {upstream.Busy, 1, true}, {upstream.Cut, 3, true}, {upstream.CutNoRange, 2, true},
		{upstream.Redirect, -1, true}, {upstream.Gzip, -1, true}, {upstream.WrongLength, -1, true}, {upstream.Slow, -1, true},
	} {
		t.Run(fmt.Sprint(tt.fault, tt.times), func(t *testing.T) {
			if err := m.client.ForgetCrate(t.Context(), "m", "acme"); err != nil {
				t.Fatal(err)
			}
			m.proxy.Fail("/crates/acme/", tt.fault, tt.times)
			a, whole := m.crate("acme", "1.0.0")
			m.proxy.Heal()
			if got := a.status == 200 && digest(a.body) == sum; got != tt.good {
				t.Errorf("%d, %d bytes %.200s", a.status, len(a.body), a.body)
			}
			if !tt.good && a.status == 200 && whole {
				t.Errorf("the answer looks whole")
			}
			mirror, err := m.client.Mirror(t.Context(), "m")
			if err != nil {
				t.Fatal(err)
			}
			if stored := mirror.Status.Crates == 1; tt.good != stored && (tt.good || mirror.Status.Crates != 0) {
				eventually(t, "it is stored", func() bool {
					mirror, err := m.client.Mirror(t.Context(), "m")
					return err == nil && (mirror.Status.Crates == 1) == tt.good
				})
			}
			if a, _ := m.crate("acme", "1.0.0"); a.status != 200 || digest(a.body) != sum {
				t.Errorf("afterwards: %d %.200s", a.status, a.body)
			}
		})
	}
}

// What upstream does wrong with an index file leaves the old one, and a first one is refused with a reason.
func TestMirrorFaultsOfIndex(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0", "other 1.0.0")
	want := m.index("acme").body
	for _, fault := range []upstream.Fault{upstream.Down, upstream.Error, upstream.Still, upstream.Cut, upstream.Page, upstream.Endless, upstream.OtherSum} {
		t.Run(string(fault), func(t *testing.T) {
			if fault != upstream.OtherSum {
				m.from.ship("acme", "1.0."+fmt.Sprint(10+len(fault)+int(fault[0])))
			}
			m.proxy.Fail("/index/", fault, -1)
			time.Sleep(2100 * time.Millisecond) // twice MaxAge
			if a := m.index("acme"); a.status != 200 || a.body != want {
				t.Errorf("%d %s\nwant %s", a.status, a.body, want)
			}
			if fault != upstream.Still && fault != upstream.OtherSum { // that takes cargo's patience
				if a := m.index("other"); a.status != 503 || !strings.Contains(a.body, "upstream") {
					t.Errorf("a file that was never there: %d %s", a.status, a.body)
				}
			}
			m.proxy.Heal()
			eventually(t, "the new file is there", func() bool {
				now := m.index("acme").body
				done := now == m.from.do("GET", "/index/ac/me/acme", "", nil).body
				if done {
					want = now
				}
				return done
			})
		})
	}
	eventually(t, "the mirror tells of other checksums", func() bool { // who asked may have got the old file before
		p := m.status().Problems
		return len(p) == 1 && strings.Contains(p[0], "changed the checksum of acme")
	})
}

// What upstream does wrong with an index file that was never there is mended where it can be.
func TestMirrorMendsIndex(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0", "acme 1.1.0")
	want := m.from.do("GET", "/index/ac/me/acme", "", nil).body
	for _, tt := range []struct {
		fault upstream.Fault
		times int
	}{
		{upstream.Down, 1}, {upstream.Error, 2}, {upstream.TooMany, 1}, {upstream.Busy, 1}, {upstream.Cut, 1}, {upstream.CutNoRange, 2},
		{upstream.Slow, -1}, {upstream.Redirect, -1}, {upstream.Gzip, -1}, {upstream.WrongLength, -1},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			if err := m.client.ForgetCrate(t.Context(), "m", "acme"); err != nil && !client.IsNotFound(err) { // the first has nothing yet
				t.Fatal(err)
			}
			m.proxy.Fail("/index/", tt.fault, tt.times)
			defer m.proxy.Heal()
			before := m.proxy.Count("/index/ac/me/acme")
			if a := m.index("acme"); a.status != 200 || a.body != want {
				t.Errorf("%d %s\nwant %s", a.status, a.body, want)
			}
			// What failed is asked for again, what is moved is asked for at the other address; anything else, once.
			n := m.proxy.Count("/index/ac/me/acme") - before
			if most := max(tt.times+1, 1, map[upstream.Fault]int{upstream.Redirect: 2}[tt.fault]); n != most {
				t.Errorf("%d requests, want %d", n, most)
			}
		})
	}
}

// An archive that was cut goes on where it ended, and not from the beginning.
func TestMirrorResumes(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0")
	sum := sums(t, m.index("acme").body)["1.0.0"]
	m.proxy.Fail("/crates/acme/", upstream.Cut, 1)
	if a, whole := m.crate("acme", "1.0.0"); a.status != 200 || !whole || digest(a.body) != sum {
		t.Errorf("%d, %d bytes", a.status, len(a.body))
	}
	if all, parts := m.proxy.Count("/crates/acme/"), m.proxy.Count("/crates/acme/1.0.0/download bytes="); all != 2 || parts != 1 {
		t.Errorf("%d requests, %d of them for a part", all, parts)
	}
	if first := m.proxy.Count("bytes=0-"); first != 0 {
		t.Error("it was asked for from the beginning")
	}
}

// Where the first index file that was seen has other checksums than the archives, nothing is given out, and nothing kept; when upstream is right
// again, it is for a person to say so.
func TestMirrorOfWrongSums(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0")
	m.proxy.Fail("/index/", upstream.OtherSum, -1)
	wrong := m.index("acme")
	m.proxy.Heal()
	for range 2 {
		if a, whole := m.crate("acme", "1.0.0"); a.status == 200 && whole {
			t.Errorf("%d, %d bytes", a.status, len(a.body))
		}
	}
	if got := m.status(); got.Crates != 0 {
		t.Errorf("%d archives are kept", got.Crates)
	}
	values, _ := m.metrics()
	if n := values[`crateyard_mirror_checksum_changes_total{mirror="m"}`]; n == 0 {
		t.Errorf("no metric tells of it: %v", n)
	}
	eventually(t, "the right file is refused", func() bool {
		m.index("acme")
		p := m.status().Problems
		return len(p) == 1 && strings.Contains(p[0], "changed the checksum of acme 1.0.0") && strings.Contains(p[0], "crateyard mirror forget m acme")
	})
	if a := m.index("acme"); a.body != wrong.body {
		t.Errorf("the index file is\n%s", a.body)
	}
	if err := m.client.ForgetCrate(t.Context(), "m", "acme"); err != nil {
		t.Fatal(err)
	}
	sum := sums(t, m.index("acme").body)["1.0.0"]
	if a, _ := m.crate("acme", "1.0.0"); a.status != 200 || digest(a.body) != sum {
		t.Errorf("afterwards: %d", a.status)
	}
	if p := m.status().Problems; len(p) != 0 {
		t.Errorf("afterwards: %q", p)
	}
}

// What one archive of upstream's does wrong leaves the others alone.
func TestMirrorWaitsAsUpstreamAsks(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0", "other 1.0.0")
	m.index("acme")
	m.crate("other", "1.0.0")
	m.proxy.Fail("/", upstream.TooMany, 1)
	for _, name := range []string{"acme", "other"} { // the one waits for the pause, the other is there
		if a, _ := m.crate(name, "1.0.0"); a.status != 200 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if n := m.proxy.Count("/crates/acme/"); n != 2 {
		t.Errorf("%d requests", n)
	}
}
