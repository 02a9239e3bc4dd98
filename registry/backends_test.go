package registry_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
)

// opens wants a server over a folder to be refused, or not, with certain words.
func opens(t *testing.T, dir, want string, change func(*registry.Config)) {
	t.Helper()
	c := registry.DefaultConfig()
	c.Listen, c.OpsListen, c.Data = "127.0.0.1:0", "", dir
	change(&c)
	s, err := registry.Open(t.Context(), c, "test", io.Discard)
	if err == nil {
		ended, cancel := canceled(t)
		defer cancel()
		if err := s.Serve(ended); err != nil {
			t.Error(err)
		}
	}
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%v; want %q", err, want)
	}
}

// A catalog with the archives of another registry, or with none, is served by nobody, and no command touches them.
func TestStorageBelongsToItsCatalog(t *testing.T) {
	a, b := open(t, nil), open(t, nil)
	for _, y := range []*yard{a, b} {
		if r := y.publish(good(t, "demo", "1.0.0")); r.status != 200 {
			t.Fatal(r.status, r.body)
		}
		if err := y.stop(); err != nil {
			t.Fatal(err)
		}
	}
	foreign := func(c *registry.Config) { c.Storage.Folder = filepath.Join(b.data, "storage") }
	empty := t.TempDir()
	opens(t, a.data, "belongs to another registry", foreign)
	opens(t, a.data, "demo 1.0.0", func(c *registry.Config) { c.Storage.Folder = empty })
	c := registry.DefaultConfig()
	c.Data = a.data
	foreign(&c)
	if _, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Beside: true, Existing: true}); err == nil || !strings.Contains(err.Error(), "belongs to another registry") {
		t.Errorf("a command beside the server: %v", err)
	}
	opens(t, a.data, "", func(*registry.Config) {})
	// A catalog that was lost does not make its archives anybody's.
	opens(t, t.TempDir(), "belongs to another registry", func(c *registry.Config) { c.Storage.Folder = filepath.Join(a.data, "storage") })
	if err := os.RemoveAll(filepath.Join(a.data, "storage", ".crateyard")); err != nil {
		t.Fatal(err)
	}
	opens(t, t.TempDir(), "the catalog is empty", func(c *registry.Config) { c.Storage.Folder = filepath.Join(a.data, "storage") })
	opens(t, a.data, "", func(c *registry.Config) { c.Storage.Folder, c.TakeOver = empty, true })
}

// Two registries keep out of one catalog.
func TestInstances(t *testing.T) {
	dir := t.TempDir()
	named := func(name string, takeOver bool) func(*registry.Config) {
		return func(c *registry.Config) { c.Instance, c.TakeOver = name, takeOver }
	}
	opens(t, dir, "", named("ns/a", false))
	opens(t, dir, "", named("ns/a", false))
	opens(t, dir, "belongs to registry ns/a; this is ns/b", named("ns/b", false))
	opens(t, dir, "", named("ns/b", true))
	opens(t, dir, "belongs to registry ns/b", named("ns/a", false))
}

// Commands change nothing that is not there.
func TestExisting(t *testing.T) {
	c := registry.DefaultConfig()
	c.Data = t.TempDir()
	if b, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Beside: true, Existing: true}); err == nil {
		t.Error("an empty folder is a registry", b.Close())
	}
	// A bucket whose credentials are not there is an error, and no bucket.
	c.Storage.S3 = &registry.S3{Bucket: "crates", CredentialsDir: filepath.Join(c.Data, "none")}
	if _, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{}); err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("no credentials: %v", err)
	}
}

// In a storage that nobody has claimed yet, as after a restore, one archive that is lost keeps no other from being served.
func TestOneLostArchive(t *testing.T) {
	y := open(t, nil)
	for _, name := range []string{"demo", "more"} {
		if r := y.publish(good(t, name, "1.0.0")); r.status != 200 {
			t.Fatal(r.status, r.body)
		}
	}
	if err := y.stop(); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{".crateyard", "crates/demo"} {
		if err := os.RemoveAll(filepath.Join(y.data, "storage", filepath.FromSlash(part))); err != nil {
			t.Fatal(err)
		}
	}
	opens(t, y.data, "", func(*registry.Config) {})
}
