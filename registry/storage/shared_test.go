package storage

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Servers that share a folder leave each other's uploads alone, see each other's blobs, and cope with folders that another one made
// or removed.
func TestSharedFilesystem(t *testing.T) {
	dir := t.TempDir()
	one := openShared(t, dir)
	key, data := blobOf("shared", "1.0.0", 1000)
	w, err := one.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	two := openShared(t, dir) // starts while the other receives an upload
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	durable, err := w.Commit(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := durable(); err != nil {
		t.Fatal(err)
	}
	mustHold(t, two, key, data)
	mustStore(t, two, key, data) // the same, at the other
	if err := two.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "crates", "shared")); err != nil {
		t.Fatal(err)
	}
	mustStore(t, one, key, data)
	mustHold(t, two, key, data)
}

// A server that shares the folder syncs the folders of a crate once, and again when another has made them anew.
func TestSharedFoldersAreSyncedOnce(t *testing.T) {
	dir := t.TempDir()
	s := openShared(t, dir)
	known := identify(s.self, ".") != folderID{} // some filesystems do not tell
	above := func() int {
		t.Helper()
		made, err := s.mkdirAll("crates/once")
		if err != nil {
			t.Fatal(err)
		}
		return len(made)
	}
	key, data := blobOf("once", "1.0.0", 1000)
	for range 2 {
		if n := above(); n != 2 {
			t.Errorf("%d folders are to be synced at first", n)
		}
		mustStore(t, s, key, data)
		if n := above(); n != 0 && known {
			t.Errorf("%d folders are to be synced again", n)
		}
		time.Sleep(20 * time.Millisecond) // a folder's time is as coarse as the kernel's clock ticks, and its inode is used again
		if err := os.RemoveAll(filepath.Join(dir, "crates")); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "crates", "once"), 0o750); err != nil {
			t.Fatal(err)
		}
	}
}

// What a server left that is gone is removed after a day, and not what another one is using. One that was idle for longer goes on.
func TestSharedFilesystemLeftovers(t *testing.T) {
	dir := t.TempDir()
	idle := openShared(t, dir)
	fresh := filepath.Join(dir, incoming, "fresh")
	old := filepath.Join(dir, incoming, "old")
	for _, d := range []string{fresh, old} {
		if err := os.Mkdir(d, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "half"), nil, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-staleAge - time.Hour)
	for _, d := range []string{old, filepath.Join(dir, idle.incoming)} {
		if err := os.Chtimes(d, past, past); err != nil {
			t.Fatal(err)
		}
	}
	s, err := OpenSharedFilesystem(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("a server's upload was taken away: %v", err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the leftovers of a server that is gone stay: %v", err)
	}
	key, data := blobOf("idle", "1.0.0", 1000)
	mustStore(t, idle, key, data)
	mustHold(t, s, key, data)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, incoming)); err != nil || len(left) != 2 { // fresh, and idle's
		t.Errorf("%v %v", left, err)
	}
}

// A folder that this process knows and that somebody took away is made again.
func TestFilesystemFolderTakenAway(t *testing.T) {
	dir := t.TempDir()
	s := openFS(t, dir)
	key, data := blobOf("away", "1.0.0", 1000)
	mustStore(t, s, key, data)
	if err := os.RemoveAll(filepath.Join(dir, "crates")); err != nil {
		t.Fatal(err)
	}
	mustStore(t, s, key, data)
	mustHold(t, s, key, data)
}

// A spool can be read more than once, and from anywhere, in memory and on disk.
func TestSpool(t *testing.T) {
	for _, size := range []int{0, 10, spoolMemory, spoolMemory + 1} {
		sp := newSpoolMemories(t.TempDir()).open()
		_, data := blobOf("spool", "1.0.0", size)
		if _, err := sp.Write(data); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			r := sp.reader()
			if end, err := r.Seek(0, io.SeekEnd); err != nil || end != int64(size) {
				t.Errorf("%d: %d %v", size, end, err)
			}
			if _, err := r.Seek(0, io.SeekStart); err != nil {
				t.Error(err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != string(data) {
				t.Errorf("%d: %d bytes, %v", size, len(got), err)
			}
		}
		if err := sp.close(); err != nil {
			t.Error(err)
		}
	}
}
