package registry_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/test/s3"
)

// documented gives the names of metrics in the table of docs/operations.md, and those in its alerts. "…_x" goes on from the name before it.
func documented(t *testing.T) (table, alerts []string) {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, watch, _ := strings.Cut(string(text), "\n## What to watch\n")
	watch, _, _ = strings.Cut(watch, "\n## ")
	for row := range strings.Lines(watch) {
		if names, isRow := strings.CutPrefix(row, "| `"); isRow {
			names, _, _ = strings.Cut(names, " | ")
			table = append(table, regexp.MustCompile(`crateyard_[a-z0-9_]+|…_[a-z0-9_]+`).FindAllString(names, -1)...)
		}
	}
	_, code, _ := strings.Cut(watch, "```promql\n")
	code, _, _ = strings.Cut(code, "```")
	return table, regexp.MustCompile(`crateyard_[a-z0-9_]+`).FindAllString(code, -1)
}

// madeLongAgo makes a backup and has it be an hour old, so that the next is due when a server starts; and another server has swept.
func madeLongAgo(t *testing.T, config func(*registry.Config), dir string) {
	t.Helper()
	k := registry.DefaultConfig()
	config(&k)
	k.Data = t.TempDir()
	b, err := registry.OpenBackends(t.Context(), &k, registry.BackendOptions{Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	target, err := k.OpenStore(t.Context(), nil, dir, registry.BackendOptions{Beside: true})
	if err != nil {
		t.Fatal(err)
	}
	id, err := b.Catalog.RegistryID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := (&backup.Creator{Catalog: b.Catalog, Store: b.Store, Target: target, Leases: b.Catalog, Holder: "test", Registry: backup.Registry{ID: id, Name: k.Name, URL: k.URL, Instance: k.Instance}}).Create(t.Context())
	note := `{"name":"sweep","lastSucceeded":"` + time.Now().UTC().Format(time.RFC3339) + `","last":{"Items":7,"Bytes":700}}` // as another server tells it
	if err := errors.Join(err, b.Catalog.SetNote(t.Context(), "task/sweep", note), target.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "backups", m.Name, "manifest.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`"finished": *"[^"]*"`).ReplaceAllString(string(data), `"finished":"`+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)+`"`)
	old = regexp.MustCompile(`,\s*"sealed": true,\s*"seal": "[^"]*"`).ReplaceAllString(old, "") // as before there were seals
	if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
}

// All that docs/operations.md has operators watch is on /metrics of a server over PostgreSQL and S3, and says what was done: requests to S3 and one
// that had to be repeated, the cache, the pool, the result of a backup that came by itself, and of a sweep that another server did.
func TestWhatToWatch(t *testing.T) {
	g := newGrown(t)
	proxy := s3.NewProxy(t, g.bucket)
	backups := t.TempDir()
	config := func(c *registry.Config) {
		g.config(c)
		c.Storage.S3.Endpoint, c.Storage.Cache.Size = proxy.Endpoint, 1<<20
		c.Backup = registry.Backup{Schedule: "* * * * *", Keep: 3, Folder: backups}
	}
	y := open(t, config)
	upload := good(t, "demo", "1.0.0")
	if a := y.publish(upload); a.status != 200 {
		t.Fatal(a.status, a.body)
	}
	if err := y.stop(); err != nil {
		t.Fatal(err)
	}
	madeLongAgo(t, config, backups)
	alice := y.alice
	y = openIn(t, t.TempDir(), config) // with an empty cache
	y.alice = alice
	eventually(t, "the server is ready", func() bool { return y.asked("/readyz").status == 200 })
	n := 0
	eventually(t, "an upload to S3 is repeated", func() bool { // and no request of the backup, which may be at work, or of a look at the bucket
		n++
		proxy.Fail(1, s3.Unavailable)
		if a := y.publish(good(t, "demo", fmt.Sprintf("1.%d.0", n))); a.status != 200 {
			t.Fatal(a.status, a.body)
		}
		values, _ := y.metrics()
		return values[`crateyard_s3_requests_total{code="503",operation="PutObject"}`] > 0
	})
	for range 2 {
		if a := y.do("GET", "/crates/demo/1.0.0/download", "", nil); a.status != 200 {
			t.Fatal(a.status, a.body)
		}
	}
	at := float64(time.Now().Add(-time.Minute).Unix())
	for name, atLeast := range map[string]float64{
		`crateyard_catalog_pool_open_connections{pool="shared"}`:                  1,
		`crateyard_catalog_pool_in_use_connections{pool="shared"}`:                0,
		`crateyard_catalog_pool_idle_connections{pool="shared"}`:                  1,
		`crateyard_catalog_pool_waits_total{pool="shared"}`:                       0,
		`crateyard_catalog_pool_wait_seconds_total{pool="shared"}`:                0,
		`crateyard_s3_requests_total{code="200",operation="PutObject"}`:           1,
		`crateyard_s3_requests_total{code="503",operation="PutObject"}`:           1,
		`crateyard_s3_requests_total{code="200",operation="GetObject"}`:           1,
		`crateyard_s3_request_seconds_count{operation="PutObject"}`:               2,
		`crateyard_s3_retries_total{operation="PutObject"}`:                       1,
		`crateyard_s3_bytes_total{direction="sent"}`:                              100,
		`crateyard_s3_bytes_total{direction="received"}`:                          100,
		`crateyard_blob_cache_hits_total`:                                         1,
		`crateyard_blob_cache_misses_total`:                                       1,
		`crateyard_blob_cache_bytes`:                                              100,
		`crateyard_change_feed_lag_seconds`:                                       0,
		`crateyard_task_runs_total{task="sweep"}`:                                 0,
		`crateyard_task_last_items{task="sweep"}`:                                 7,
		`crateyard_task_last_bytes{task="sweep"}`:                                 700,
		`crateyard_task_last_success_timestamp_seconds{task="sweep"}`:             at,
		`crateyard_task_runs_total{task="backup"}`:                                1,
		`crateyard_task_last_success_timestamp_seconds{task="backup"}`:            at,
		`crateyard_task_last_items{task="backup"}`:                                1,
		`crateyard_task_last_bytes{task="backup"}`:                                100,
		`crateyard_task_last_duration_seconds{task="backup"}`:                     0.000001,
		`crateyard_task_failures_total{task="backup"}`:                            0,
		`crateyard_backend_up{backend="catalog"}`:                                 1,
		`crateyard_backend_up{backend="storage"}`:                                 1,
		`crateyard_index_cache_bytes`:                                             0,
		`crateyard_http_request_duration_seconds_bucket{route="publish",le="30"}`: 1,
	} {
		eventually(t, name, func() bool {
			values, _ := y.metrics()
			got, there := values[name]
			return there && got >= atLeast
		})
	}
	_, types := y.metrics()
	eventually(t, "a server that hears all is not behind", func() bool {
		values, _ := y.metrics()
		return values["crateyard_change_feed_lag_seconds"] < 10
	})
	table, alerts := documented(t)
	if len(table) < 20 || len(alerts) < 8 {
		t.Fatalf("docs/operations.md tells of %q, and its alerts of %q", table, alerts)
	}
	first := ""
	for _, name := range append(table, alerts...) {
		rest, goesOn := strings.CutPrefix(name, "…")
		if !goesOn {
			first = name
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(types)), func(family string) bool {
			return family == name || goesOn && strings.HasSuffix(family, rest) && strings.HasPrefix(family, strings.Join(strings.SplitN(first, "_", 4)[:2], "_")+"_")
		}) {
			t.Errorf("docs/operations.md tells of %s, after %s, and there is none", name, first)
		}
	}
}
