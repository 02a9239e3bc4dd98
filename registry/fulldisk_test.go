package registry_test

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/test/disk"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/s3"
)

// big is the upload of a crate whose archive does not compress.
func big(t *testing.T, version string, size int) []byte {
	t.Helper()
	text := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(version))).Read(text) // it never fails
	dir := "full-" + version + "/"
	return frame(metadata("full", version), archive(t, file(dir+"Cargo.toml", manifest("full", version)), file(dir+"src/lib.rs", ""), file(dir+"noise", string(text))))
}

// On a disk that is full publishes are refused with words that say so, and so do readiness and the metric; what was acknowledged is served, and
// nothing else is visible. With room the server goes on by itself, and neither catalog nor archives have come to harm.
func TestFullDisk(t *testing.T) {
	if !disk.Own(t) {
		return
	}
	for _, c := range []struct {
		name, part, says string
		size             int // of an archive: it is what fills the disk, or small where the catalog is to
		config           func(t *testing.T, disk string) func(*registry.Config)
	}{
		{"SQLite and folder on it", "storage", "the registry's disk is full; make room there", 150_000,
			func(*testing.T, string) func(*registry.Config) { return func(*registry.Config) {} }},
		{"SQLite on it and S3", "catalog", "the registry's catalog takes no writes at the moment", 1000,
			func(t *testing.T, _ string) func(*registry.Config) { return onS3(t, s3.New(t)) }},
		{"PostgreSQL and folder on it", "storage", "the registry's disk is full; make room there", 150_000,
			func(t *testing.T, disk string) func(*registry.Config) {
				uri, data := postgres.Database(t), t.TempDir()
				return func(c *registry.Config) {
					c.Data, c.Storage.Folder = data, filepath.Join(disk, "crates")
					c.Catalog.Postgres, c.AdminToken = &registry.Postgres{URI: uri}, "cy_test_"+strings.Repeat("a", 43)
				}
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			small := disk.Small(t, 6<<20)
			ballast := filepath.Join(small, "ballast")
			if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			config := c.config(t, small)
			var data string
			y := openIn(t, filepath.Join(small, "data"), func(k *registry.Config) { config(k); data = k.Data })
			y.makeAlice()
			leave(t, data)
			var there []string
			var refused answer
			publish := func(n int) (answer, string) {
				version := fmt.Sprintf("1.0.%d", n)
				a := y.publish(big(t, version, c.size))
				if a.status == 200 {
					there = append(there, version)
				}
				return a, version
			}
			n := 0
			for ; n < 3; n++ {
				if a, _ := publish(n); a.status != 200 {
					t.Fatalf("the disk has room: %d %s", a.status, a.body)
				}
			}
			if c.part == "catalog" {
				fill(t, filepath.Join(small, "filler"))
			}
			for refused.status == 0 {
				a, _ := publish(n)
				if n++; a.status != 200 {
					refused = a
				}
				if n > 200 {
					t.Fatal("the disk never was full")
				}
			}
			if detail := refused.detail(t); refused.status != 503 || !strings.HasPrefix(detail, c.says) || refused.header.Get("Retry-After") == "" {
				t.Errorf("publish: %d %s", refused.status, detail)
			}
			fill(t, filepath.Join(small, "last"))
			served := func() {
				t.Helper()
				index := y.do("GET", "/index/fu/ll/full", "", nil)
				if index.status != 200 || strings.Count(index.body, "\n") != len(there) {
					t.Errorf("index: %d, %d of %d lines", index.status, strings.Count(index.body, "\n"), len(there))
				}
				for _, v := range there {
					if a := y.do("GET", "/crates/full/"+v+"/download", "", nil); a.status != 200 || !strings.Contains(index.body, sha256Hex(a.body)) {
						t.Errorf("%s: %d", v, a.status)
					}
				}
				for _, path := range []string{"/api/v1/crates?q=full", "/api/v1/crates/full", "/index/config.json"} {
					if a := y.do("GET", path, "", nil); a.status != 200 {
						t.Errorf("%s: %d %s", path, a.status, a.body)
					}
				}
			}
			served()
			if a, _ := publish(n); a.status != 503 {
				t.Errorf("another publish: %d %s", a.status, a.body)
			}
			ready := y.asked("/readyz")
			if ready.status != 503 || !strings.Contains(ready.body, c.part+": "+c.says) {
				t.Errorf("readiness: %d %s", ready.status, ready.body)
			}
			if a := y.asked("/readyz?exclude=catalog&exclude=storage"); a.status != 200 {
				t.Errorf("it would be taken out of its Service: %s", a.body)
			}
			if values, _ := y.metrics(); values[`crateyard_backend_up{backend="`+c.part+`"}`] != 0 || values[`crateyard_publishes_total{result="failed"}`] == 0 {
				t.Errorf("the metrics do not say that %s is down, and that publishes failed", c.part)
			}

			// A server that starts now serves, too, and refuses in the same way.
			if err := y.stop(); err != nil {
				t.Error(err)
			}
			alice := y.alice
			y = openIn(t, y.data, config)
			y.alice = alice
			served()
			if a, _ := publish(n); a.status != 503 || !strings.HasPrefix(a.detail(t), c.says) {
				t.Errorf("a publish after a start: %d %s", a.status, a.body)
			}
			if a := y.asked("/readyz"); a.status != 503 || !strings.Contains(a.body, c.part+": "+c.says) {
				t.Errorf("readiness after a start: %d %s", a.status, a.body)
			}

			for _, name := range []string{"ballast", "filler", "last"} {
				if err := os.RemoveAll(filepath.Join(small, name)); err != nil {
					t.Fatal(err)
				}
			}
			if a, version := publish(n); a.status != 200 {
				t.Errorf("there is room, and %s: %d %s", version, a.status, a.body)
			}
			if a := y.asked("/readyz"); a.status != 200 {
				t.Errorf("readiness: %d %s", a.status, a.body)
			}
			if values, _ := y.metrics(); values[`crateyard_backend_up{backend="`+c.part+`"}`] != 1 {
				t.Error("the metric still says that it is down")
			}
			served()
			if err := y.stop(); err != nil {
				t.Error(err)
			}
			unharmed(t, data, config, int64(len(there)))
		})
	}
}

// leave has a server that was killed leave a lease, where the catalog is in the data folder.
func leave(t *testing.T, data string) {
	t.Helper()
	path := filepath.Join(data, "catalog.db")
	if _, err := os.Stat(path); err != nil {
		return
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO leases (name, holder, until) VALUES ('mirror/1/sync', 'killed', ?)", time.Now().Add(time.Hour).UnixMilli()); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// fill writes a file for as long as there is room, to the last byte.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		return // there is no room for a name
	}
	for size := 1 << 16; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// unharmed holds catalog, archives and index of a registry against each other, and has SQLite look at its file.
func unharmed(t *testing.T, data string, config func(*registry.Config), versions int64) {
	t.Helper()
	k := registry.DefaultConfig()
	k.Data = data
	config(&k)
	b, err := registry.OpenBackends(t.Context(), &k, registry.BackendOptions{Beside: true, Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	report := &upkeep.Report{}
	if err := (&upkeep.Checker{Catalog: b.Catalog, Feed: b.Catalog, Store: b.Store}).Run(t.Context(), report); err != nil || report.Damaged() > 0 || report.Versions != versions {
		t.Errorf("check: %+v %v; %d versions were acknowledged", report, err, versions)
	}
	if k.Catalog.Postgres != nil {
		return
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	var found string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&found); err != nil || found != "ok" {
		t.Errorf("SQLite finds: %s %v", found, err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
