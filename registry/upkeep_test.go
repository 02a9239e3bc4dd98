package registry_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/test/s3"
)

// What a scrub found does not heal by a restart: the alert on it stays until a scrub finds nothing.
func TestProblemsOutliveRestart(t *testing.T) {
	y := open(t, nil)
	if err := y.stop(); err != nil {
		t.Fatal(err)
	}
	c := registry.DefaultConfig()
	c.Data = y.data
	b, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	note := `{"name":"scrub","lastSucceeded":"` + at.Format(time.RFC3339) + `","last":{"Items":9,"Problems":2}}`
	if err := b.Catalog.SetNote(t.Context(), "task/scrub", note); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	y = openIn(t, y.data, nil)
	for name, want := range map[string]float64{"problems": 2, "items": 9, "success_timestamp_seconds": float64(at.Unix())} {
		eventually(t, name, func() bool {
			values, _ := y.metrics()
			return values["crateyard_task_last_"+name+`{task="scrub"}`] == want
		})
	}
	if a := y.asked("/readyz"); a.status != 200 || a.body != "ready\ncrates: 2 archives were found to be damaged or missing; run `crateyard check`\n" {
		t.Errorf("readiness: %d %s", a.status, a.body)
	}
}

// What a download finds missing, of another size or with other bytes is told at once, each once, and no more after a check that found all well.
func TestDamageIsToldAtOnce(t *testing.T) {
	t.Run("folder", func(t *testing.T) {
		testDamageIsToldAtOnce(t, func(*registry.Config) {}, func(data string, _ registry.Config) string { return filepath.Join(data, "storage") })
	})
	t.Run("bucket, without a scrub", func(t *testing.T) {
		server := s3.New(t)
		inBucket := onS3(t, server)
		testDamageIsToldAtOnce(t, func(c *registry.Config) {
			inBucket(c)
			c.Scrub.Rate = 0
		}, func(_ string, c registry.Config) string { return filepath.Join(server.Dir, c.Storage.S3.Bucket) })
	})
}

func testDamageIsToldAtOnce(t *testing.T, config func(*registry.Config), storedIn func(data string, c registry.Config) string) {
	y := open(t, config)
	c := registry.DefaultConfig()
	config(&c)
	c.Data = y.data
	damages := []func(string, []byte) error{
		func(path string, _ []byte) error { return os.Remove(path) },
		func(path string, was []byte) error { return os.WriteFile(path, was[:len(was)-1], 0o600) },
	}
	if c.Storage.S3 != nil { // a folder has no cache, which would see it
		damages = append(damages, func(path string, was []byte) error {
			return os.WriteFile(path, append(bytes.Clone(was[:len(was)-1]), was[len(was)-1]^1), 0o600)
		})
	}
	undo := []func() error{}
	for i, damage := range damages {
		name := fmt.Sprintf("demo-%d", i)
		if r := y.publish(good(t, name, "1.0.0")); r.status != 200 {
			t.Fatal(r.status, r.body)
		}
		paths, err := filepath.Glob(filepath.Join(storedIn(y.data, c), "crates", name, "*"))
		if err != nil || len(paths) != 1 {
			t.Fatal(paths, err)
		}
		was, err := os.ReadFile(paths[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(paths[0], was); err != nil {
			t.Fatal(err)
		}
		undo = append(undo, func() error { return os.WriteFile(paths[0], was, 0o600) })
		want := fmt.Sprintf("ready\ncrates: %d archives were found to be damaged or missing; run `crateyard check`\n", i+1)
		eventually(t, want, func() bool {
			y.do("GET", "/crates/"+name+"/1.0.0/download", "", nil) // again and again: it counts once
			return y.asked("/readyz").body == want
		})
		if values, _ := y.metrics(); values[`crateyard_task_last_problems{task="scrub"}`] != float64(i+1) {
			t.Errorf("metrics: %v", values[`crateyard_task_last_problems{task="scrub"}`])
		}
		eventually(t, "the status names it", func() bool {
			return strings.Contains(y.must(200, "GET", "/api/v1/status", y.admin, nil).body, name+" 1.0.0: ")
		})
	}
	for _, f := range undo {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	data := y.data
	if err := y.stop(); err != nil {
		t.Fatal(err)
	}
	b, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	report := &upkeep.Report{}
	if err := (&upkeep.Checker{Catalog: b.Catalog, Feed: b.Catalog, Store: b.Store}).Run(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	if err := b.NoteCheck(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	y = openIn(t, data, config)
	eventually(t, "all is well", func() bool { return y.asked("/readyz").body == "ready\n" })
}

// A size that is wrong in the catalog, and was in a server's memory, is forgotten when the archive contradicts it: what a repair corrects beside the
// server, it serves.
func TestCorrectedSizeIsServed(t *testing.T) {
	y := open(t, nil)
	if r := y.publish(good(t, "demo", "1.0.0")); r.status != 200 {
		t.Fatal(r.status, r.body)
	}
	c := registry.DefaultConfig()
	c.Data = y.data
	b, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Beside: true, Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	v, err := b.Catalog.Version(t.Context(), "demo", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	download := func() int { return y.do("GET", "/crates/demo/1.0.0/download", "", nil).status }
	if err := b.Catalog.CorrectSize(t.Context(), v.ID, v.SHA256, v.Size+1); err != nil {
		t.Fatal(err)
	}
	if status := download(); status != 500 {
		t.Errorf("with a wrong size: %d", status)
	}
	if err := b.Catalog.CorrectSize(t.Context(), v.ID, v.SHA256, v.Size); err != nil {
		t.Fatal(err)
	}
	if status := download(); status != 200 {
		t.Errorf("after the repair: %d", status)
	}
}
