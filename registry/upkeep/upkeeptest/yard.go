// Package upkeeptest makes registries without a server around them, for tests that damage what is stored.
package upkeeptest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/publish"
	"github.com/crateyard/crateyard/registry/storage"
)

// Yard is a catalog, a storage and one user who publishes.
type Yard struct {
	T       testing.TB
	Catalog *catalog.Catalog
	Store   storage.Store
	Folder  string // where the blobs lie as files, under their keys
	User    catalog.User

	db    *sql.DB
	other func(testing.TB) *Yard
}

// Other makes an empty yard of the other backends.
func (y *Yard) Other(t testing.TB) *Yard { return y.other(t) }

// URL is the address of every yard.
const URL = "https://crates.example.com"

// Publisher publishes into the yard.
func (y *Yard) Publisher() *publish.Publisher {
	return &publish.Publisher{Catalog: y.Catalog, Store: y.Store, Limits: crate.DefaultLimits, URL: URL}
}

// Archive makes a crate file; toml stands behind [package], name and version.
func Archive(t testing.TB, name, version, toml string, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	all := map[string]string{"Cargo.toml": fmt.Sprintf("[package]\nname = %q\nversion = %q\n%s", name, version, toml), "src/lib.rs": "pub fn f() {}\n"}
	for path, text := range files {
		all[path] = text
	}
	for path, text := range all {
		if err := tw.WriteHeader(&tar.Header{Name: name + "-" + version + "/" + path, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// Frame is the body of a publish.
func Frame(meta, archive []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(meta)))
	b = append(b, meta...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(archive)))
	return append(b, archive...)
}

// Publish publishes a small crate.
func (y *Yard) Publish(name, version string) publish.Result {
	y.T.Helper()
	r, err := y.TryPublish(Archive(y.T, name, version, "", nil), name, version)
	if err != nil {
		y.T.Fatal(err)
	}
	return r
}

// TryPublish publishes an archive whose manifest has name and version and nothing else of note.
func (y *Yard) TryPublish(archive []byte, name, version string) (publish.Result, error) {
	y.T.Helper()
	meta, err := json.Marshal(map[string]any{"name": name, "vers": version, "deps": []any{}, "features": map[string]any{}})
	if err != nil {
		y.T.Fatal(err)
	}
	if err := y.user(); err != nil {
		return publish.Result{}, err
	}
	who := publish.Uploader{Principal: &auth.Principal{UserID: y.User.ID, User: y.User.Name, Role: auth.Publisher}, Admit: func(bool) (func(), error) { return func() {}, nil }}
	return y.Publisher().Publish(context.Background(), who, bytes.NewReader(Frame(meta, archive)))
}

// user makes the user who publishes: a yard without versions is an empty one.
func (y *Yard) user() (err error) {
	if y.User.ID == 0 {
		y.User, err = y.Catalog.CreateUser(context.Background(), catalog.Actor{}, catalog.User{Name: "alice", Role: string(auth.Publisher)})
	}
	return err
}

// Index gives the index file of a crate.
func (y *Yard) Index(lower string) string {
	y.T.Helper()
	f, err := y.Catalog.IndexFile(context.Background(), lower)
	if err != nil {
		y.T.Fatal(err)
	}
	return string(f.Text)
}

// Key is the storage key of what was published.
func Key(r publish.Result) string { return storage.CrateKey(r.Name, r.Version, r.SHA256) }

// Exec changes the database behind the catalog's back.
func (y *Yard) Exec(query string) {
	y.T.Helper()
	if _, err := y.db.ExecContext(context.Background(), query); err != nil {
		y.T.Fatal(err)
	}
}

// Age makes a blob look as if it had been stored that much earlier.
func (y *Yard) Age(key string, by time.Duration) {
	y.T.Helper()
	then := time.Now().Add(-by)
	if err := os.Chtimes(filepath.Join(y.Folder, filepath.FromSlash(key)), then, then); err != nil {
		y.T.Fatal(err)
	}
}

// Put stores a blob.
func (y *Yard) Put(key string, data []byte) {
	y.T.Helper()
	Put(y.T, y.Store, key, data)
}

// Put stores a blob.
func Put(t testing.TB, s storage.Store, key string, data []byte) {
	t.Helper()
	w, err := s.Create(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	durable, err := w.Commit(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := durable(); err != nil {
		t.Fatal(err)
	}
}

// Get reads a blob.
func (y *Yard) Get(key string) []byte {
	y.T.Helper()
	b, err := y.Store.Open(context.Background(), key)
	if err != nil {
		y.T.Fatal(err)
	}
	data, err := io.ReadAll(b)
	if err := errors.Join(err, b.Close()); err != nil {
		y.T.Fatal(err)
	}
	return data
}

// Replace puts other bytes under a key, as a disk or a person would.
func (y *Yard) Replace(key string, change func([]byte) []byte) {
	y.T.Helper()
	data := change(y.Get(key))
	y.Remove(key)
	y.Put(key, data)
}

// Remove deletes a blob.
func (y *Yard) Remove(key string) {
	y.T.Helper()
	if err := y.Store.Delete(context.Background(), key); err != nil {
		y.T.Fatal(err)
	}
}

// Keys lists what is stored below a prefix.
func (y *Yard) Keys(prefix string) (keys []string) {
	y.T.Helper()
	for info, err := range y.Store.List(context.Background(), prefix, "") {
		if err != nil {
			y.T.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}
