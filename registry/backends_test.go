package registry_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/s3"
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

// A catalog that was used with one storage is not served over a second one, be the two empty or not, nor is anything done to either; and a storage has one
// catalog. It is told before anything is written.
func TestOneCatalogOneStorage(t *testing.T) {
	server := s3.New(t)
	keys := t.TempDir()
	if err := server.WriteCredentials(keys); err != nil {
		t.Fatal(err)
	}
	bucket, err := server.Bucket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	inBucket := func(prefix string) func(*registry.Config) {
		return func(c *registry.Config) {
			c.Storage.S3 = &registry.S3{Bucket: bucket, Prefix: prefix, Endpoint: server.Endpoint, ForcePathStyle: true, CredentialsDir: keys}
		}
	}
	inFolder := func(dir string) func(*registry.Config) { return func(c *registry.Config) { c.Storage.Folder = dir } }
	second := t.TempDir()
	for _, tc := range []struct {
		name       string
		own, other func(*registry.Config)
		says       string
	}{
		{"two prefixes", inBucket("one"), inBucket("two"), "in another storage, s3://" + bucket + "/one at "},
		{"folder and bucket", inFolder(t.TempDir()), inBucket("three"), "and this one is s3://" + bucket + "/three at "},
		{"bucket and folder", inBucket("four"), inFolder(second), "and this one is the folder " + second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, database := range []string{"", postgres.Database(t)} {
				over := func(storage func(*registry.Config)) func(*registry.Config) {
					return func(c *registry.Config) {
						storage(c)
						c.AdminToken = "cy_test_" + strings.Repeat("a", 43)
						if database != "" {
							c.Catalog.Postgres = &registry.Postgres{URI: database, MaxConnections: 5}
						}
					}
				}
				own := func(c *registry.Config) { // a part of its own for each database
					tc.own(c)
					if c.Storage.S3 != nil && database != "" {
						c.Storage.S3.Prefix += "/p"
					} else if database != "" {
						c.Storage.Folder += "/p"
					}
				}
				dir := t.TempDir()
				opens(t, dir, "", over(own))
				says := tc.says
				if database != "" {
					says = strings.Replace(says, "/one at", "/one/p at", 1)
				}
				opens(t, dir, says, over(tc.other))
				c := registry.DefaultConfig()
				c.Data = dir
				over(tc.other)(&c)
				if _, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Beside: true, Existing: true}); err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("a command: %v", err)
				}
				opens(t, t.TempDir(), "belongs to another registry", func(c *registry.Config) { own(c) })
				opens(t, dir, "", over(own))
			}
		})
	}
	if left, err := os.ReadDir(second); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return e.Name() == ".crateyard" }) {
		t.Errorf("it was marked: %v %v", left, err)
	}
}

// Where the storage of a registry is gone for good, a repair that fills a new one makes it the registry's; taking over does, too.
func TestNewStorage(t *testing.T) {
	y := open(t, nil)
	if r := y.publish(good(t, "demo", "1.0.0")); r.status != 200 {
		t.Fatal(r.status, r.body)
	}
	if err := y.stop(); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "moved")
	to := func(c *registry.Config) { c.Storage.Folder = moved }
	if err := errors.Join(os.Mkdir(moved, 0o750), os.Rename(filepath.Join(y.data, "storage", "crates"), filepath.Join(moved, "crates"))); err != nil {
		t.Fatal(err)
	}
	opens(t, y.data, "in another storage", to)
	adopt := func() bool {
		c := registry.DefaultConfig()
		c.Data = y.data
		to(&c)
		b, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Beside: true, Existing: true, MayLack: true})
		if err != nil {
			t.Fatal(err)
		}
		adopted, err := b.Adopt(t.Context())
		if err := errors.Join(err, b.Close()); err != nil {
			t.Fatal(err)
		}
		return adopted
	}
	if err := os.Rename(filepath.Join(moved, "crates"), filepath.Join(moved, "aside")); err != nil {
		t.Fatal(err)
	}
	if adopt() {
		t.Error("a storage without archives was adopted")
	}
	if err := os.Rename(filepath.Join(moved, "aside"), filepath.Join(moved, "crates")); err != nil {
		t.Fatal(err)
	}
	if !adopt() || adopt() {
		t.Error("it is adopted once")
	}
	// A copy from before storages had names has the registry's mark alone.
	copied := filepath.Join(t.TempDir(), "copied")
	if err := errors.Join(os.Remove(filepath.Join(moved, ".crateyard", "storage")), os.Rename(moved, copied)); err != nil {
		t.Fatal(err)
	}
	moved = copied
	opens(t, y.data, "in another storage", to)
	if !adopt() {
		t.Error("a copy without a name was not adopted")
	}
	opens(t, y.data, "", to)
	opens(t, y.data, "in another storage", func(*registry.Config) {})
	opens(t, y.data, "", func(c *registry.Config) { c.TakeOver = true })
	opens(t, y.data, "is gone for good, start once with takeOver: true", to) // a repair takes none that has another name
}

// A repair that took a storage for the registry, and was cut off when the catalog was to be told, can be run again; there is no need to take over.
func TestAdoptCutOff(t *testing.T) {
	y := open(t, nil)
	if r := y.publish(good(t, "demo", "1.0.0")); r.status != 200 {
		t.Fatal(r.status, r.body)
	}
	if err := y.stop(); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "moved")
	to := func(c *registry.Config) { c.Storage.Folder = moved }
	if err := errors.Join(os.Mkdir(moved, 0o750), os.Rename(filepath.Join(y.data, "storage", "crates"), filepath.Join(moved, "crates"))); err != nil {
		t.Fatal(err)
	}
	adopt := func() (bool, error) {
		c := registry.DefaultConfig()
		c.Data = y.data
		to(&c)
		b, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Beside: true, Existing: true, MayLack: true})
		if err != nil {
			return false, err
		}
		adopted, err := b.Adopt(t.Context())
		return adopted, errors.Join(err, b.Close())
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(y.data, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // what it wrote is seen below
	run := func(query string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	run("CREATE TRIGGER cut_off BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'cut off'); END")
	if adopted, err := adopt(); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Fatalf("%v, %v: it was to be cut off", adopted, err)
	}
	run("DROP TRIGGER cut_off")
	if adopted, err := adopt(); err != nil || !adopted {
		t.Errorf("run again: %v, %v", adopted, err)
	}
	opens(t, y.data, "", to)
}

// A name of the storage that a crash of the machine left empty, or took away, is given again where all else says that the storage is the catalog's.
func TestLostNameOfStorage(t *testing.T) {
	y := open(t, nil)
	if r := y.publish(good(t, "demo", "1.0.0")); r.status != 200 {
		t.Fatal(r.status, r.body)
	}
	if err := y.stop(); err != nil {
		t.Fatal(err)
	}
	mark := func(name string) string { return filepath.Join(y.data, "storage", ".crateyard", name) }
	was, err := os.ReadFile(mark("storage"))
	if err != nil {
		t.Fatal(err)
	}
	for name, lose := range map[string]func() error{
		"emptied": func() error { return os.Truncate(mark("storage"), 0) },
		"gone":    func() error { return os.Remove(mark("storage")) },
		"emptied, as all marks": func() error {
			return errors.Join(os.Truncate(mark("storage"), 0), os.Truncate(mark("registry"), 0), os.Truncate(mark("catalog"), 0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := lose(); err != nil {
				t.Fatal(err)
			}
			c := registry.DefaultConfig()
			c.Data = y.data
			b, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Beside: true, Existing: true})
			if err != nil {
				t.Fatal("a command:", err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			opens(t, y.data, "", func(*registry.Config) {})
			if is, err := os.ReadFile(mark("storage")); err != nil || !bytes.Equal(is, was) {
				t.Errorf("its name is %q, was %q; %v", is, was, err)
			}
		})
	}
	// A copy that is not complete is not taken for the storage, though its owner and its address are the catalog's.
	archives, aside := filepath.Join(y.data, "storage", "crates"), filepath.Join(y.data, "aside")
	if err := errors.Join(os.Remove(mark("storage")), os.Rename(archives, aside)); err != nil {
		t.Fatal(err)
	}
	opens(t, y.data, "in another storage", func(*registry.Config) {})
	if err := errors.Join(os.RemoveAll(archives), os.Rename(aside, archives)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(mark("")); err != nil { // a copy may be without any
		t.Fatal(err)
	}
	opens(t, y.data, "in another storage", func(*registry.Config) {})
}

// Servers that begin at once over a new database and a new storage, or one whose marks are empty, agree on its name, also where the storage cannot decide between them,
// and where each knows it by another path.
func TestNameAtOnce(t *testing.T) {
	server := s3.New(t)
	proxy := s3.NewProxy(t, server)
	proxy.Fail(0, s3.Ignorant)
	inBucket := onS3(t, server)
	var probe registry.Config
	inBucket(&probe)
	bucket, shared := filepath.Join(server.Dir, probe.Storage.S3.Bucket), t.TempDir()
	for i := range 6 {
		uri := postgres.Database(t)
		folder, prefix := filepath.Join(shared, fmt.Sprint(i)), fmt.Sprintf("p%d", i)
		if err := os.Mkdir(folder, 0o750); err != nil {
			t.Fatal(err)
		}
		marks := filepath.Join(folder, ".crateyard")
		if i%2 == 0 {
			marks = filepath.Join(bucket, prefix, ".crateyard")
		}
		if i > 1 {
			empty := errors.Join(os.MkdirAll(marks, 0o750), os.WriteFile(filepath.Join(marks, "storage"), nil, 0o600), os.WriteFile(filepath.Join(marks, "registry"), nil, 0o600))
			if empty != nil {
				t.Fatal(empty)
			}
		}
		var g errgroup.Group
		var all []*registry.Backends
		for n := range 4 {
			c := registry.DefaultConfig()
			c.Data, c.Catalog.Postgres = t.TempDir(), &registry.Postgres{URI: uri, MaxConnections: 3}
			c.Storage.Folder = filepath.Join(t.TempDir(), "mount")
			if err := os.Symlink(folder, c.Storage.Folder); err != nil {
				t.Fatal(n, err)
			}
			if i%2 == 0 {
				inBucket(&c)
				c.Storage.S3.Endpoint, c.Storage.S3.Prefix = proxy.Endpoint, prefix
			}
			b, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b)
		}
		for _, b := range all {
			g.Go(func() error {
				_, err := b.Take(t.Context(), false)
				return errors.Join(err, b.Close())
			})
		}
		if err := g.Wait(); err != nil {
			t.Errorf("round %d: %v", i, err)
		}
	}
}

// In a storage that nobody has claimed yet, one archive that is lost keeps no other from being served.
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
	c, err := catalog.Open(t.Context(), filepath.Join(y.data, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	// As it is where both are new: that the catalog knows another storage is told first.
	if _, err := c.ClaimStorage(t.Context(), catalog.Storage{}, true); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	opens(t, y.data, "", func(*registry.Config) {})
}
