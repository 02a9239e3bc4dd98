package registry_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/upstream"
)

// mirrored is a registry with a mirror, m, of another one, and a proxy between them.
type mirrored struct {
	*yard
	from   *yard
	proxy  *upstream.Proxy
	client *client.Client
}

func openMirror(t *testing.T, change func(*wire.MirrorSpec), crates ...string) *mirrored {
	t.Helper()
	m := openUpstream(t, crates...)
	m.yard = open(t, func(c *registry.Config) { c.Limits.MirroredCrateSize = 1 << 20 })
	m.client = client.New(m.url, m.admin)
	m.put("m", change)
	return m
}

// openUpstream is a registry with crates, NAME VERSION each, and the proxy before it; nothing mirrors it yet.
func openUpstream(t *testing.T, crates ...string) *mirrored {
	t.Helper()
	m := &mirrored{proxy: upstream.New(t)}
	m.from = open(t, func(c *registry.Config) { c.URL = m.proxy.URL })
	m.proxy.To(m.from.url)
	for _, c := range crates {
		name, version, _ := strings.Cut(c, " ")
		m.from.ship(name, version)
	}
	return m
}

func (m *mirrored) put(name string, change func(*wire.MirrorSpec)) {
	m.t.Helper()
	spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + m.proxy.URL + "/index/", MaxAge: wire.Duration(time.Second)}}
	if change != nil {
		change(&spec)
	}
	if _, err := m.client.PutMirror(m.t.Context(), name, wire.MirrorChange{Spec: spec}); err != nil {
		m.t.Fatal(err)
	}
}

// ship publishes a version.
func (y *yard) ship(name, version string) {
	y.t.Helper()
	if a := y.publish(frame(metadata(name, version), crateFile(y.t, name, version))); a.status != 200 {
		y.t.Fatalf("publish %s %s: %d %s", name, version, a.status, a.body)
	}
}

func (m *mirrored) index(name string) answer { return m.do("GET", "/mirrors/m/"+path(name), "", nil) }

// status is how the mirror stands.
func (m *mirrored) status() wire.MirrorStatus {
	m.t.Helper()
	mirror, err := m.client.Mirror(m.t.Context(), "m")
	if err != nil {
		m.t.Fatal(err)
	}
	return mirror.Status
}

func path(name string) string {
	switch n := strings.ToLower(name); len(n) {
	case 1, 2:
		return fmt.Sprintf("%d/%s", len(n), n)
	case 3:
		return "3/" + n[:1] + "/" + n
	default:
		return n[:2] + "/" + n[2:4] + "/" + n
	}
}

// crate downloads an archive; whole is false when the connection was cut.
func (m *mirrored) crate(name, version string) (a answer, whole bool) {
	m.t.Helper()
	resp, err := http.Get(m.url + "/mirrors/m/crates/" + name + "/" + version + "/download")
	if err != nil {
		return answer{}, false
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(data)}, err == nil
}

// sums are the checksums of an index file by version.
func sums(t *testing.T, file string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for text := range strings.Lines(file) {
		var l struct{ Vers, Cksum string }
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		out[l.Vers] = l.Cksum
	}
	return out
}

func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// What comes through a mirror is upstream's, byte for byte, and config.json is its own.
func TestMirrorPassesBytesThrough(t *testing.T) {
	m := openMirror(t, nil, "a 1.0.0", "abc 1.0.0", "Acme-Core 1.0.0", "Acme-Core 1.1.0-rc.1+b.2")
	for _, name := range []string{"a", "abc", "Acme-Core"} {
		want := m.from.do("GET", "/index/"+path(name), "", nil)
		got := m.index(name)
		if got.status != 200 || got.body != want.body || got.header.Get("Etag") == "" {
			t.Errorf("%s: %d %s\nwant %s", name, got.status, got.body, want.body)
		}
		again := m.do("GET", "/mirrors/m/"+path(name), "", nil, "If-None-Match", got.header.Get("Etag"))
		if again.status != 304 || again.body != "" {
			t.Errorf("%s again: %d", name, again.status)
		}
		for version, sum := range sums(t, want.body) {
			for range 2 {
				if c, _ := m.crate(name, version); c.status != 200 || digest(c.body) != sum || c.header.Get("Content-Encoding") != "" {
					t.Errorf("%s %s: %d, %d bytes", name, version, c.status, len(c.body))
				}
			}
			if n := m.proxy.Count("/crates/" + name + "/" + version + "/"); n != 1 {
				t.Errorf("%s %s was fetched %d times", name, version, n)
			}
		}
	}
	config := m.do("GET", "/mirrors/m/config.json", "", nil)
	if want := `{"dl":"` + m.url + `/mirrors/m/crates"}` + "\n"; config.body != want {
		t.Errorf("config.json: %s want %s", config.body, want)
	}
	for path, status := range map[string]int{"/mirrors/m/" + path("nothing"): 404, "/mirrors/m/no/pe/other": 404, "/mirrors/m/crates/a/9.0.0/download": 404,
		"/mirrors/m/crates/A/1.0.0/download": 404, "/mirrors/none/config.json": 404, "/mirrors/m/crates/..%2f..%2fx/1.0.0/download": 404} {
		if a := m.do("GET", path, "", nil); a.status != status {
			t.Errorf("%s: %d %s, want %d", path, a.status, a.body, status)
		}
	}
	if a := m.do("GET", "/mirrors/m/crates/a/1.0.0/download", "", nil, "Range", "bytes=0-9"); a.status != 206 || len(a.body) != 10 {
		t.Errorf("a range: %d, %d bytes", a.status, len(a.body))
	}
}

// A new version is seen when the file is older than MaxAge; a name that upstream lacks is asked for again after a while, too.
func TestMirrorIsFresh(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0")
	m.put("hour", func(s *wire.MirrorSpec) { s.Upstream.MaxAge = wire.Duration(time.Hour) })
	for range 6 {
		if a := m.do("GET", "/mirrors/hour/ac/me/acme", "", nil); a.status != 200 {
			t.Fatal(a.status, a.body)
		}
	}
	if n := m.proxy.Count("/index/ac/me/acme"); n != 1 {
		t.Errorf("a fresh file was asked for %d times more", n-1)
	}
	if a := m.index("acme"); a.status != 200 {
		t.Fatal(a.status, a.body)
	}
	m.from.ship("acme", "1.1.0")
	eventually(t, "1.1.0 is in the file", func() bool { return strings.Contains(m.index("acme").body, `"1.1.0"`) })
	if a := m.index("later"); a.status != 404 {
		t.Errorf("later: %d", a.status)
	}
	m.from.ship("later", "1.0.0")
	eventually(t, "later is there", func() bool { return m.index("later").status == 200 })
}

// Fifty who ask for one crate at once cost upstream one request.
func TestMirrorFetchesOnce(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0")
	sum := sums(t, m.index("acme").body)["1.0.0"]
	m.proxy.Fail("/crates/acme/", upstream.Slow, 1)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if a, _ := m.crate("acme", "1.0.0"); a.status != 200 || digest(a.body) != sum {
				t.Errorf("%d, %d bytes", a.status, len(a.body))
			}
		})
	}
	wg.Wait()
	if n := m.proxy.Count("/crates/acme/"); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// With upstream gone, what is cached goes on, after a restart too.
func TestMirrorWithoutUpstream(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0")
	file := m.index("acme")
	crate, _ := m.crate("acme", "1.0.0")
	if file.status != 200 || crate.status != 200 {
		t.Fatal(file.status, crate.status)
	}
	if err := m.from.stop(); err != nil {
		t.Fatal(err)
	}
	m.proxy.Fail("/", upstream.Down, -1)
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	again := openIn(t, m.data, nil)
	time.Sleep(1100 * time.Millisecond)
	if a := again.do("GET", "/mirrors/m/ac/me/acme", "", nil); a.status != 200 || a.body != file.body {
		t.Errorf("index: %d %s", a.status, a.body)
	}
	if a := again.do("GET", "/mirrors/m/crates/acme/1.0.0/download", "", nil); a.status != 200 || a.body != crate.body {
		t.Errorf("crate: %d", a.status)
	}
}
