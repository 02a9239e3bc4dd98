package storage

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func openFS(t *testing.T, dir string) *Filesystem {
	t.Helper()
	f, err := OpenFilesystem(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func write(t *testing.T, f *Filesystem, text string) Writer {
	t.Helper()
	w, err := f.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestFilesystemCommitAndCancel(t *testing.T) {
	dir := t.TempDir()
	f := openFS(t, dir)
	key := CrateKey("demo", "1.0.0+b", "00ff")
	w := write(t, f, "bytes")
	if _, err := f.Open(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("visible before its commit: %v", err)
	}
	durable, err := w.Commit(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := durable(); err != nil {
		t.Fatal(err)
	}
	if err := w.Cancel(); err != nil {
		t.Errorf("cancel after commit: %v", err)
	}
	b, err := f.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(b); err != nil || string(text) != "bytes" {
		t.Errorf("%q %v", text, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := write(t, f, "cancelled").Cancel(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, incoming)); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
	if err := f.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// What is stored under a key already is replaced as a whole: two publishes of the same bytes must not take each other's away,
// and half a file that a crash left under the key must not stay.
func TestFilesystemCommitTwice(t *testing.T) {
	dir := t.TempDir()
	f := openFS(t, dir)
	key := CrateKey("demo", "1.0.0", "00ff")
	for _, text := range []string{"half", "whole"} {
		durable, err := write(t, f, text).Commit(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if err := durable(); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, key)); err != nil || string(text) != "whole" {
		t.Errorf("%q %v", text, err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, incoming)); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// What was being written when a server died is gone at the next start.
func TestFilesystemForgetsWhatWasNotCommitted(t *testing.T) {
	dir := t.TempDir()
	write(t, openFS(t, dir), "half")
	openFS(t, dir)
	if left, err := os.ReadDir(filepath.Join(dir, incoming)); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

func TestFilesystemKeysStayInside(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "outside"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := openFS(t, filepath.Join(dir, "store"))
	for link, to := range map[string]string{"link": "../outside", "folder": ".."} {
		if err := os.Symlink(to, filepath.Join(dir, "store", link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"../outside", "crates/../../outside", "/etc/passwd", "link", "folder/outside"} {
		if _, err := f.Open(t.Context(), key); err == nil {
			t.Errorf("%q can be read", key)
		}
		if file, err := f.createFile(key); err == nil {
			t.Errorf("%q can be made: %v", key, file.Close())
		}
		if key == "link" { // whose own place may be taken
			continue
		}
		if _, err := write(t, f, "x").Commit(t.Context(), key); err == nil {
			t.Errorf("%q can be written", key)
		}
	}
}
