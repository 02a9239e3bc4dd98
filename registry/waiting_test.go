package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/test/port"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/process"
)

// A server that is watched waits when the database is of a newer schema, or database or folder are another registry's: it says so in
// readiness and metrics, stays alive, and serves when that was put right. One that nobody watches ends.
func TestWaitsWhileBackendsAreNotItsOwn(t *testing.T) {
	for _, c := range []struct {
		name, part, says string
		wrong, right     func(t *testing.T, uri, folder string)
	}{
		{"newer schema", "catalog", "made by a newer crateyard",
			func(t *testing.T, uri, _ string) {
				execute(t, uri, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)")
			},
			func(t *testing.T, uri, _ string) {
				execute(t, uri, "DELETE FROM goose_db_version WHERE version_id = 999")
			}},
		{"another's database", "catalog", "belongs to registry ns/b; this is ns/a",
			func(t *testing.T, uri, _ string) {
				execute(t, uri, "UPDATE meta SET value = 'ns/b' WHERE key = 'instance'")
			},
			func(t *testing.T, uri, _ string) {
				execute(t, uri, "UPDATE meta SET value = 'ns/a' WHERE key = 'instance'")
			}},
		{"another's storage", "storage", "belongs to another registry",
			func(t *testing.T, _, folder string) { marked(t, folder, "registry", "somebody") },
			func(t *testing.T, uri, folder string) {
				marked(t, folder, "registry", metaOf(t, uri, "registry_id"))
			}},
		{"a second storage", "storage", "the catalog's archives are in another storage",
			func(t *testing.T, _, folder string) { marked(t, folder, "storage", "other") },
			func(t *testing.T, uri, folder string) { marked(t, folder, "storage", metaOf(t, uri, "storage_id")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			uri, folder := postgres.Database(t), t.TempDir()
			config := func(k *registry.Config) {
				k.Instance, k.Storage.Folder, k.AdminToken = "ns/a", folder, "cy_test_"+strings.Repeat("a", 43)
				k.Catalog.Postgres = &registry.Postgres{URI: uri, MaxConnections: 5}
			}
			if err := open(t, config).stop(); err != nil {
				t.Fatal(err)
			}
			c.wrong(t, uri, folder)
			opens(t, t.TempDir(), c.says, config) // it has no ops listener
			y, end := openWatched(t, config)
			eventually(t, "the server says what it waits for", func() bool {
				status, text := look(y.ops + "/readyz")
				return status == 503 && strings.HasPrefix(text, c.part+": ") && strings.Contains(text, c.says) && strings.Count(text, "\n") == 1
			})
			// Clients learn that it waits, and nothing that is only for who runs it.
			if status, text := look(y.url + "/index/config.json"); status != 503 || !strings.Contains(text, "at /readyz") || strings.Contains(text, "ns/") {
				t.Errorf("a client is told %d %q", status, text)
			}
			if status, text := look(y.ops + "/healthz"); status != 200 {
				t.Errorf("it is not alive: %d %s", status, text)
			}
			values, _ := y.metrics()
			for _, part := range []string{"catalog", "storage"} {
				want := 1.0
				if part == c.part {
					want = 0
				}
				if up, ok := values[`crateyard_backend_up{backend="`+part+`"}`]; !ok || up != want {
					t.Errorf("%s is up: %v %v", part, up, ok)
				}
			}
			c.right(t, uri, folder)
			eventually(t, "the server serves", func() bool {
				status, text := look(y.ops + "/readyz")
				return status == 200 && text == "ready\n"
			})
			if status, text := look(y.url + "/index/config.json"); status != 200 {
				t.Errorf("a client is told %d %q", status, text)
			}
			end()
		})
	}
}

// While the database is away clients of a server that starts are told so, with or without somebody who looks at its readiness, and none hangs.
func TestClientsOfServerThatWaits(t *testing.T) {
	y, end := openWatched(t, func(k *registry.Config) {
		k.URL, k.AdminToken = "https://crates.example.com/acme", "cy_test_"+strings.Repeat("a", 43)
		k.Catalog.Postgres = &registry.Postgres{URI: "postgres://nobody@" + port.Address(t) + "/none", MaxConnections: 5}
	})
	eventually(t, "the server says what it waits for", func() bool {
		_, text := look(y.ops + "/readyz")
		return strings.HasPrefix(text, "catalog: ")
	})
	const why = "the registry's catalog cannot be reached at the moment; try again"
	index := y.do("GET", "/acme/index/config.json", "", nil)
	if index.status != 503 || index.header.Get("Retry-After") == "" || !strings.Contains(index.body, why) || strings.Contains(index.body, "127.0.0.1") {
		t.Errorf("%d %v %q", index.status, index.header, index.body)
	}
	upload := y.do("PUT", "/acme/api/v1/crates/new", "x", bytes.NewReader(make([]byte, 4<<20))) // more than the sockets' buffers take
	if upload.status != 503 || !strings.Contains(upload.detail(t), why) {
		t.Errorf("%d %q", upload.status, upload.body)
	}
	end()
}

// openWatched starts a server that may have to wait. end ends it.
func openWatched(t *testing.T, config func(*registry.Config)) (_ *yard, end func()) {
	t.Helper()
	k := registry.DefaultConfig()
	config(&k)
	k.Listen, k.OpsListen, k.Data = port.Address(t), port.Address(t), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		s, err := registry.Open(ctx, k, "test", &process.Log{})
		if err == nil {
			err = s.Serve(ctx)
		}
		ended <- err
	}()
	return &yard{t: t, url: "http://" + k.Listen, ops: "http://" + k.OpsListen, data: k.Data, admin: k.AdminToken}, func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) { // which is that of one that still waits
			t.Error(err)
		}
	}
}

// look asks an address that may not answer yet.
func look(address string) (status int, text string) {
	resp, err := http.Get(address)
	if err != nil {
		return 0, err.Error()
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// execute runs a statement beside the server.
func execute(t *testing.T, uri, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := conn.Exec(ctx, statement)
	if err := errors.Join(err, conn.Close(ctx)); err != nil || (tag.Insert() || tag.Update() || tag.Delete()) && tag.RowsAffected() != 1 {
		t.Fatal(statement, tag, err)
	}
}

func metaOf(t *testing.T, uri, key string) (value string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	err = conn.QueryRow(t.Context(), "SELECT value FROM meta WHERE key = $1", key).Scan(&value)
	if err := errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	return value
}

// marked writes whose a folder of blobs is (registry), or which one it is (storage).
func marked(t *testing.T, folder, what, id string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, ".crateyard", what), []byte(id), 0o600); err != nil {
		t.Fatal(err)
	}
}
