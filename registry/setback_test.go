package registry_test

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/s3"
)

// A catalog that is of an earlier time than the storage is told of at each start, also when it has gone on since, and no sweep removes what it does not name,
// until somebody accepts it.
func TestCatalogSetBack(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		data := t.TempDir()
		file := filepath.Join(data, "catalog.db")
		var kept []byte
		testCatalogSetBack(t, data, filepath.Join(data, "storage"), func(*registry.Config) {}, func() {
			var err error
			if kept, err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}, func() {
			for _, name := range []string{file + "-wal", file + "-shm"} {
				if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(file, kept, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("database", func(t *testing.T) {
		server := s3.New(t)
		inBucket := onS3(t, server)
		var probe registry.Config
		inBucket(&probe)
		uri := postgres.Database(t)
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		own := strings.TrimPrefix(u.Path, "/")
		testCatalogSetBack(t, t.TempDir(), filepath.Join(server.Dir, probe.Storage.S3.Bucket), func(c *registry.Config) {
			inBucket(c)
			c.AdminToken, c.Catalog.Postgres = "cy_test_"+strings.Repeat("a", 43), &registry.Postgres{URI: uri, MaxConnections: 5}
		}, func() {
			all := *u
			all.Path = "/postgres"
			eventually(t, "nobody is connected any more, and the database is copied", func() bool { return tryExecute(t, all.String(), "CREATE DATABASE "+own+"_early TEMPLATE "+own) == nil })
		}, func() {
			u.Path = "/" + own + "_early"
			uri = u.String()
		})
	})
}

func tryExecute(t *testing.T, uri, statement string) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

func testCatalogSetBack(t *testing.T, data, stored string, config func(*registry.Config), keep, setBack func()) {
	ship := func(y *yard, name, version string) {
		t.Helper()
		if a := y.publish(good(t, name, version)); a.status != 200 {
			t.Fatal(a.status, a.body)
		}
	}
	stop := func(y *yard) {
		t.Helper()
		if err := y.stop(); err != nil {
			t.Fatal(err)
		}
	}
	y := openIn(t, data, config)
	y.makeAlice()
	alice := y.alice
	ship(y, "demo", "1.0.0")
	stop(y)
	keep()
	y = openIn(t, data, config)
	y.alice = alice
	ship(y, "demo", "1.1.0")
	stop(y)
	lost, err := filepath.Glob(filepath.Join(stored, "crates", "demo", "1.1.0-*.crate"))
	if err != nil || len(lost) != 1 {
		t.Fatal(lost, err)
	}
	then := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(lost[0], then, then); err != nil {
		t.Fatal(err)
	}
	setBack()
	says := func(y *yard, back bool) {
		t.Helper()
		eventually(t, "readiness says so", func() bool {
			a := y.asked("/readyz")
			return a.status == 200 && strings.Contains(a.body, "\ncrates: the catalog was set back to an earlier time: the storage knows of change ") == back
		})
		eventually(t, "the metric says so", func() bool {
			values, _ := y.metrics()
			v, there := values["crateyard_catalog_set_back"]
			return there && (v == 1) == back
		})
		if strings.Contains(y.logs.String(), "older than the storage") != back {
			t.Errorf("log, set back %v: %s", back, y.logs.String())
		}
		st, err := client.New(y.url, y.admin).Status(t.Context())
		if err != nil || st.Catalog == nil || strings.Contains(st.Catalog.SetBack, "set back") != back {
			t.Errorf("status, set back %v: %+v %v", back, st.Catalog, err)
		}
	}
	for _, name := range []string{"third", "fourth"} { // then it has as many changes as before, and more
		y = openIn(t, data, config)
		y.alice = alice
		says(y, true)
		ship(y, name, "1.0.0")
		stop(y)
	}
	c := registry.DefaultConfig()
	c.Data = data
	config(&c)
	b, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Beside: true, Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	sweeper := upkeep.Sweeper{Catalog: b.Catalog, Marks: b.Catalog, Store: b.Store, Leases: b.Catalog, Holder: "test", Owns: b.MaySweep, OlderThan: 24 * time.Hour,
		Force: true, Grace: time.Millisecond}
	if rep, err := sweeper.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "may be the only copies") || rep.Removed != 0 {
		t.Errorf("a sweep: %+v %v", rep, err)
	}
	if _, err := os.Stat(lost[0]); err != nil {
		t.Fatal(err)
	}
	y = openIn(t, data, func(c *registry.Config) {
		config(c)
		c.TakeOver = true
	})
	if text := y.logs.String(); !strings.Contains(text, "taken over as it is, though it is older than the storage") {
		t.Errorf("a takeover accepted the catalog in silence: %s", text)
	}
	stop(y)
	y = openIn(t, data, config)
	says(y, false)
	stop(y)
	if rep, err := sweeper.Run(t.Context()); err != nil || rep.Removed != 1 {
		t.Errorf("a sweep of what was accepted: %+v %v", rep, err)
	}
}

// A note that tells of a change which the catalog does not have, or has otherwise, stays; any other gives way to what the catalog has.
func TestNotePosition(t *testing.T) {
	y := open(t, nil)
	if a := y.publish(good(t, "demo", "1.0.0")); a.status != 200 {
		t.Fatal(a.status, a.body)
	}
	if err := y.stop(); err != nil {
		t.Fatal(err)
	}
	c := registry.DefaultConfig()
	c.Data = y.data
	b, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Beside: true, Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	note := filepath.Join(y.data, "storage", ".crateyard", "catalog")
	was, err := os.ReadFile(note)
	if err != nil || !strings.Contains(string(was), `"crate":"demo","kind":"publish"`) {
		t.Fatal(string(was), err)
	}
	if err := b.SetBack(t.Context()); err != nil {
		t.Error(err)
	}
	for text, back := range map[string]bool{
		strings.Replace(string(was), `"change":1`, `"change":2`, 1): true, strings.Replace(string(was), "demo", "other", 1): true,
		string(was): false, "": false, `{"registry":`: false, strings.Replace(string(was), `"registry":"`, `"registry":"x`, 1): false,
	} {
		if err := os.WriteFile(note, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, isBack := errors.AsType[*registry.SetBackError](b.SetBack(t.Context()))
		if isBack != back {
			t.Errorf("%s: set back %v", text, isBack)
		}
		other, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Beside: true, Existing: true})
		if err != nil {
			t.Fatal(err)
		}
		_, isBack = errors.AsType[*registry.SetBackError](other.NotePosition(t.Context()))
		if err := other.Close(); err != nil || isBack != back {
			t.Errorf("%s: noted, though set back %v: %v", text, isBack, err)
		}
		is, err := os.ReadFile(note)
		if want := map[bool]string{true: text, false: string(was)}[back]; err != nil || string(is) != want { // a note that is damaged, or another's, is made anew
			t.Errorf("%s\nbecame %s\nwant %s %v", text, is, want, err)
		}
	}
}

// calling is a storage that calls back when something is to be read from it, or written to it, beside its blobs.
type calling struct {
	registry.ClosableStore
	call func()
}

func (b *calling) Unwrap() storage.Store {
	b.call()
	return b.ClosableStore
}

// Of two servers that note at once, the one that writes last does not leave an earlier change there than the other has noted.
func TestNotePositionAtOnce(t *testing.T) {
	y := open(t, nil)
	if a := y.publish(good(t, "demo", "1.0.0")); a.status != 200 {
		t.Fatal(a.status, a.body)
	}
	if err := y.stop(); err != nil {
		t.Fatal(err)
	}
	c := registry.DefaultConfig()
	c.Data = y.data
	server := func() *registry.Backends {
		b, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Beside: true, Existing: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
		return b
	}
	late, quick := server(), server()
	yank := func(yanked bool) {
		if _, err := late.Catalog.SetYanked(t.Context(), catalog.Actor{}, "demo", "1.0.0", &yanked, nil, func(catalog.Standing) error { return nil }); err != nil {
			t.Error(err)
		}
	}
	yank(true)
	calls := 0
	late.Store = &calling{late.Store, func() {
		if calls++; calls == 2 { // it is about to write
			yank(false)
			if err := quick.NotePosition(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}}
	if err := late.NotePosition(t.Context()); err != nil || calls < 2 {
		t.Error(calls, err)
	}
	if note, err := os.ReadFile(filepath.Join(y.data, "storage", ".crateyard", "catalog")); err != nil || !strings.Contains(string(note), `"kind":"unyank"`) {
		t.Errorf("%s %v", note, err)
	}
}
