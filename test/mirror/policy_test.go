package mirror

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upstream"
)

const jsonApp = "serde_json = \"1\"\n"

// locked makes a package with the lockfile that upstream itself gives it.
func (w *world) locked(t *testing.T, dependencies string) string {
	t.Helper()
	dir := app(t, dependencies)
	w.mustCargo(t, dir, home(t, "", ""), "generate-lockfile")
	return dir
}

// cargo prints which rule keeps what a lockfile names.
func (w *world) denied(t *testing.T) {
	const twoYears = wire.Duration(2 * 365 * 24 * time.Hour)
	others := []string{"serde*", "itoa"} // ryu is what is left
	for name, c := range map[string]struct {
		spec wire.MirrorSpec
		says string
	}{
		"version": {wire.MirrorSpec{Policy: wire.MirrorPolicy{Deny: []string{"ryu@1"}}}, "does not give out crate `ryu` 1.0.2 (rule deny)"},
		"crate":   {wire.MirrorSpec{Policy: wire.MirrorPolicy{Deny: []string{"ryu"}}}, "does not give out crate `ryu` (rule deny)"},
		"allow":   {wire.MirrorSpec{Policy: wire.MirrorPolicy{Allow: others}}, "does not give out crate `ryu` (rule allow)"},
		"license": {wire.MirrorSpec{Policy: wire.MirrorPolicy{Licenses: []string{"MIT"}, LicenseExceptions: others}}, "`ryu` 1.0.2 (rule license): version 1.0.2 of ryu is licensed \"Apache-2.0 OR BSL-1.0\""},
		"young":   {wire.MirrorSpec{Policy: wire.MirrorPolicy{MinimumAge: twoYears, MinimumAgeExceptions: others}}, "`ryu` 1.0.2 (rule minimum-age)"},
		"size":    {wire.MirrorSpec{Policy: wire.MirrorPolicy{MaxCrateSize: 50_000}}, "(rule max-size)"},
	} {
		mirror := "denied-" + name
		w.put(t, w.client, mirror, c.spec)
		out, err := w.cargo(w.locked(t, jsonApp), home(t, w.server.URL, mirror), "fetch", "--locked")
		if err == nil || !strings.Contains(out, "got 403") || !strings.Contains(out, "mirror `"+mirror+"`") || !strings.Contains(out, c.says) {
			t.Errorf("%s: cargo says\n%s\nwithout %q", name, out, c.says)
		}
	}
}

// cargo resolves around what is denied.
func (w *world) around(t *testing.T) {
	w.put(t, w.client, "around", wire.MirrorSpec{Policy: wire.MirrorPolicy{Deny: []string{"clap@4"}}})
	const deps = "clap = { version = \">=3\", default-features = false }\n"
	if lock := read(t, filepath.Join(w.locked(t, deps), "Cargo.lock")); !strings.Contains(lock, "name = \"clap\"\nversion = \"4.") {
		t.Fatalf("upstream's own lockfile has no clap 4:\n%s", lock)
	}
	dir := app(t, deps)
	w.mustCargo(t, dir, home(t, w.server.URL, "around"), "fetch")
	if lock := read(t, filepath.Join(dir, "Cargo.lock")); !strings.Contains(lock, "name = \"clap\"\nversion = \"3.") {
		t.Errorf("the lockfile is\n%s", lock)
	}
}

// A mirror that is pinned gives cargo what its lockfile pins, and nothing else.
func (w *world) pinned(t *testing.T) {
	w.put(t, w.client, "pinned", wire.MirrorSpec{Mode: "Pinned"})
	dir := w.locked(t, jsonApp)
	if out, err := w.cargo(dir, home(t, w.server.URL, "pinned"), "fetch", "--locked"); err == nil || !strings.Contains(out, "no matching package named `serde_json`") {
		t.Errorf("an empty mirror: %v %s", err, out)
	}
	if out, err := command(w.server, "mirror", "pin", "pinned", "--lockfile", filepath.Join(dir, "Cargo.lock")); err != nil {
		t.Fatal(err, out)
	}
	w.proxy.Fail("/", upstream.Down, -1)
	defer w.proxy.Heal()
	w.mustCargo(t, dir, home(t, w.server.URL, "pinned"), "fetch", "--locked")
	w.mustCargo(t, app(t, jsonApp), home(t, w.server.URL, "pinned"), "fetch") // it resolves to what is there
	if out, err := w.cargo(app(t, "regex = \"1\"\n"), home(t, w.server.URL, "pinned"), "fetch"); err == nil || !strings.Contains(out, "no matching package named `regex`") {
		t.Errorf("what is not pinned: %v %s", err, out)
	}
}

// A bundle carries a mirror to where there is no network, and cargo builds there.
func (w *world) airGap(t *testing.T) {
	w.put(t, w.client, "bundled", wire.MirrorSpec{})
	dir := w.locked(t, jsonApp)
	w.mustCargo(t, dir, home(t, w.server.URL, "bundled"), "fetch", "--locked")
	bundle := filepath.Join(t.TempDir(), "crates.tar")
	if out, err := command(w.server, "mirror", "export", "bundled", "--to", bundle); err != nil {
		t.Fatal(err, out)
	}
	if out, err := exec.Command("sh", "-c", `cd "$(mktemp -d -p "$(dirname "$0")")" && tar xf "$0" && sha256sum --quiet -c SHA256SUMS`, bundle).CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v %s", err, out)
	}
	far := start(t)
	there := client.New(far.URL, far.AdminToken)
	w.put(t, there, "bundled", wire.MirrorSpec{})
	w.proxy.Fail("/", upstream.Down, -1)
	defer w.proxy.Heal()
	for what, c := range map[string]struct {
		prefix string // of the names of the files that are altered
		change func([]byte) []byte
		says   string
	}{
		"archive": {"crates/serde_json/", func(data []byte) []byte { data[len(data)/2] ^= 1; return data }, "serde_json"},
		"index file": {"index/se/rd/serde_json", func(data []byte) []byte {
			return bytes.ReplaceAll(data, []byte(`"yanked":false`), []byte(`"yanked":true`))
		}, "index/se/rd/serde_json"},
		"digests":    {"SHA256SUMS", func(data []byte) []byte { return data[:len(data)/2] }, "digest"},
		"other name": {"index/it/oa/itoa", func([]byte) []byte { return nil }, "itoa"},
	} {
		altered := alter(t, bundle, c.prefix, c.change)
		out, err := command(far, "mirror", "import", "bundled", "--from", altered)
		if err == nil || !strings.Contains(out, "refused") || !strings.Contains(out, c.says) {
			t.Errorf("%s: %v %s", what, err, out)
		}
		if m, err := there.Mirror(t.Context(), "bundled"); err != nil || m.Status.Crates != 0 || m.Status.IndexFiles != 0 {
			t.Errorf("%s: of an altered bundle is kept %v %+v", what, err, m.Status)
		}
		if files, err := filepath.Glob(filepath.Join(far.Data, "storage", "mirrors", "*", "*", "*.crate")); err != nil || len(files) != 0 {
			t.Errorf("%s: left %q %v", what, files, err)
		}
	}
	if out, err := command(far, "mirror", "import", "bundled", "--from", bundle); err != nil {
		t.Fatal(err, out)
	}
	w.mustCargo(t, dir, home(t, far.URL, "bundled"), "build", "--locked")
}

// command runs a command of the program against a server.
func command(s *serve.Server, args ...string) (string, error) {
	bin, err := serve.Binary()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "CRATEYARD_URL="+s.URL, "CRATEYARD_TOKEN="+s.AdminToken)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// alter writes a tar file again, with some of its files changed.
func alter(t *testing.T, from, prefix string, change func([]byte) []byte) string {
	t.Helper()
	var out bytes.Buffer
	tr, tw := tar.NewReader(strings.NewReader(read(t, from))), tar.NewWriter(&out)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(h.Name, prefix) {
			data = change(data)
			h.Size = int64(len(data))
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	to := from + ".altered"
	write(t, to, out.String())
	return to
}
