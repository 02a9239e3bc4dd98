// Package upkeeptest makes registries without a server around them, for tests that damage what is stored.
package upkeeptest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/publish"
	"github.com/crateyard/crateyard/registry/storage"
)

// Yard is a catalog, a storage and one user who publishes.
type Yard struct {
	T       testing.TB
	Dir     string // of the storage, when it is a folder
	Catalog *catalog.Catalog
	Store   storage.Store
	User    catalog.User
}

// URL is the address of every yard.
const URL = "https://crates.example.com"

// New makes a yard of SQLite and a folder.
func New(t testing.TB) *Yard {
	t.Helper()
	dir := t.TempDir()
	c, err := catalog.Open(context.Background(), filepath.Join(dir, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := storage.OpenFilesystem(filepath.Join(dir, "storage"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Yard{T: t, Dir: filepath.Join(dir, "storage"), Catalog: c, Store: s}
}

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
	who := publish.Uploader{Principal: &auth.Principal{UserID: y.User.ID, User: y.User.Name, Role: auth.Publisher}, Admit: func(bool) error { return nil }}
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
