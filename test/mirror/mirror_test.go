// Package mirror holds mirrors against real cargo and real crates: an upstream is filled with those that Debian packages, some two hundred and thirty versions
// with their trees of dependencies, and stands for crates.io. A second server mirrors it. What needs no cargo is tested in registry/mirror_test.go
// and its neighbours.
package mirror

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/port"
	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upstream"
)

// world is an upstream that stands for crates.io, a proxy before it that counts, and a server that mirrors it.
type world struct {
	crates []realCrate
	from   *serve.Server
	proxy  *upstream.Proxy
	server *serve.Server
	client *client.Client
}

func newWorld(t *testing.T) *world {
	w := &world{crates: realCrates(t), proxy: upstream.New(t)}
	address := port.Address(t)
	w.from = start(t, "--url", w.proxy.URL, "--listen", address)
	w.proxy.To("http://" + address)
	fill(t, w.from, "http://"+address, w.crates)
	w.server = start(t)
	w.client = client.New(w.server.URL, w.server.AdminToken)
	return w
}

func start(t *testing.T, flags ...string) *serve.Server {
	t.Helper()
	s, err := serve.Start(t.TempDir(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop: %v\n%s", err, s.Logs())
		}
	})
	return s
}

// put makes a mirror of the upstream.
func (w *world) put(t *testing.T, c *client.Client, name string, spec wire.MirrorSpec) {
	t.Helper()
	spec.Upstream.Index = "sparse+" + w.proxy.URL + "/index/"
	if _, err := c.PutMirror(t.Context(), name, wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
}

// home makes a CARGO_HOME with nothing in it but, where mirror is not empty, the lines that have the mirror of a server take the place of crates.io.
func home(t *testing.T, server, mirror string) string {
	t.Helper()
	dir := t.TempDir()
	if mirror != "" {
		write(t, filepath.Join(dir, "config.toml"), wire.MirrorConfig("", mirror, server))
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// cargo runs cargo, to which the upstream is crates.io.
func (w *world) cargo(dir, home string, args ...string) (string, error) {
	cmd := exec.Command("cargo", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CARGO_HOME="+home, "CARGO_NET_RETRY=0", "CARGO_TERM_COLOR=never", "CARGO_PROFILE_DEV_DEBUG=0", "CARGO_TARGET_DIR="+filepath.Join(dir, "target"),
		"__CARGO_TEST_CRATES_IO_URL_DO_NOT_USE_THIS=sparse+"+w.proxy.URL+"/index/")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("cargo %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

func (w *world) mustCargo(t *testing.T, dir, home string, args ...string) {
	t.Helper()
	if _, err := w.cargo(dir, home, args...); err != nil {
		t.Fatal(err)
	}
}

// app makes a package with dependencies.
func app(t *testing.T, dependencies string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Cargo.toml"), "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\n"+dependencies)
	write(t, filepath.Join(dir, "src", "lib.rs"), "")
	return dir
}

// everything depends on all crates. Of those that are no roots it leaves out the default features, of which Debian does not package each.
func everything(crates []realCrate) string {
	var text strings.Builder
	for i, c := range crates {
		fmt.Fprintf(&text, "c%d = { package = %q, version = \"=%s\", default-features = %v }\n", i, c.name, c.version, slices.Contains(roots, c.name))
	}
	return text.String()
}

func TestMirrorWithRealCrates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if len(w.crates) < 200 {
		t.Fatalf("Debian gave %d crates", len(w.crates))
	}
	t.Run("as from upstream", w.asFromUpstream)
	t.Run("many cargos", w.manyCargos)
	t.Run("denied", w.denied)
	t.Run("around", w.around)
	t.Run("pinned", w.pinned)
	t.Run("air gap", w.airGap)
}

// What is resolved and fetched through the mirror is what upstream itself would have given; without upstream it goes on.
func (w *world) asFromUpstream(t *testing.T) {
	w.put(t, w.client, "all", wire.MirrorSpec{})
	direct, mirrored := app(t, everything(w.crates)), app(t, everything(w.crates))
	w.mustCargo(t, direct, home(t, "", ""), "fetch")
	w.mustCargo(t, mirrored, home(t, w.server.URL, "all"), "fetch")
	lock := read(t, filepath.Join(direct, "Cargo.lock"))
	if n := strings.Count(lock, `source = "registry+https://github.com/rust-lang/crates.io-index"`); n < len(w.crates) {
		t.Errorf("the lockfile has %d crates of crates.io", n)
	}
	if got := read(t, filepath.Join(mirrored, "Cargo.lock")); got != lock {
		t.Errorf("through the mirror:\n%s\nwant\n%s", got, lock)
	}
	for _, c := range w.crates {
		for from, to := range map[string]string{
			"/index/" + index.Path(c.name):                      "/mirrors/all/" + index.Path(c.name),
			"/crates/" + c.name + "/" + c.version + "/download": "/mirrors/all/crates/" + c.name + "/" + c.version + "/download",
		} {
			want, got := get(t, w.proxy.URL+from), get(t, w.server.URL+to)
			if len(want) == 0 || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes, want %d", to, len(got), len(want))
			}
		}
	}

	w.proxy.Fail("/", upstream.Down, -1)
	defer w.proxy.Heal()
	requests := w.proxy.Count("/crates/")
	later := app(t, everything(w.crates))
	write(t, filepath.Join(later, "Cargo.lock"), lock)
	h := home(t, w.server.URL, "all")
	w.mustCargo(t, later, h, "fetch", "--locked")
	w.mustCargo(t, later, h, "build", "--locked", "--offline", "-p", "itoa", "-p", "ryu", "-p", "cfg-if@1.0.0", "-p", "smallvec", "-p", "scopeguard")
	if n := w.proxy.Count("/crates/") - requests; n != 0 {
		t.Errorf("upstream was asked for %d archives", n)
	}
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: %d %v", url, resp.StatusCode, err)
	}
	return data
}

// Cargos that come at the same time with nothing cached cost upstream one request for each file.
func (w *world) manyCargos(t *testing.T) {
	w.put(t, w.client, "cold", wire.MirrorSpec{})
	deps := "serde_json = \"1\"\nregex = { version = \"1\", default-features = false }\n"
	first := app(t, deps)
	w.mustCargo(t, first, home(t, "", ""), "generate-lockfile")
	before := map[string]int{}
	for _, c := range w.crates {
		before[c.name] = w.proxy.Count("/crates/" + c.name + "/" + c.version + "/")
	}
	var wg sync.WaitGroup
	for range 6 {
		dir, h := app(t, deps), home(t, w.server.URL, "cold")
		write(t, filepath.Join(dir, "Cargo.lock"), read(t, filepath.Join(first, "Cargo.lock")))
		wg.Go(func() {
			if _, err := w.cargo(dir, h, "fetch", "--locked"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	fetched := 0
	for _, c := range w.crates {
		n := w.proxy.Count("/crates/"+c.name+"/"+c.version+"/") - before[c.name]
		fetched += n
		if n > 1 {
			t.Errorf("%s was fetched %d times", c.name, n)
		}
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // the last are noted after cargo has them
		m, err := w.client.Mirror(t.Context(), "cold")
		if err == nil && fetched > 3 && m.Status.Crates == int64(fetched) {
			break
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("%v: %d were fetched, %+v", err, fetched, m.Status)
		}
	}
}
