package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/test/disk"
)

// A full disk refuses blobs and says so. What it took is whole, and once there is room it takes more.
func TestFullDisk(t *testing.T) {
	if !disk.Own(t) {
		return
	}
	for name, open := range map[string]func(*testing.T, string) *Filesystem{"alone": openFS, "shared": openShared} {
		t.Run(name, func(t *testing.T) {
			s := open(t, disk.Small(t, 1<<20))
			stored := map[string][]byte{}
			var last string
			var err error
			for n := 0; err == nil && n < 100; n++ {
				key, data := blobOf("full", fmt.Sprint(n), 100_000)
				if err = store(t.Context(), s, key, data); err == nil {
					stored[key], last = data, key
				}
			}
			isFull(t, "store", err)
			for err = nil; err == nil; { // crumbs, until a page is too much
				key, data := blobOf("crumb", fmt.Sprint(len(stored)), 1)
				if err = store(t.Context(), s, key, data); err == nil {
					stored[key] = data
				}
			}
			isFull(t, "check", s.Check(t.Context()))
			isFull(t, "claim", Claim(t.Context(), s, "ours", false))
			if got := keys(t, s, "", ""); len(got) != len(stored) {
				t.Errorf("%d blobs, %d stored", len(got), len(stored))
			}
			for key, data := range stored {
				mustHold(t, s, key, data)
			}
			if err := s.Delete(t.Context(), last); err != nil {
				t.Fatal(err)
			}
			mustStore(t, s, last, stored[last])
			mustHold(t, s, last, stored[last])
			if left, err := filepath.Glob(filepath.Join(s.root.Name(), s.incoming, "*")); err != nil || len(left) > 0 {
				t.Errorf("left: %v %v", left, err)
			}
		})
	}
	t.Run("uploads on their way to S3", func(t *testing.T) {
		sp := newSpoolMemories(disk.Small(t, 1<<20)).open()
		_, err := sp.Write(make([]byte, 2<<20))
		isFull(t, "spool", err)
		if err := sp.close(); err != nil || len(sp.memories.free) != spoolMemoryMost {
			t.Errorf("%v, %d free", err, len(sp.memories.free))
		}
	})
}

func isFull(t *testing.T, what string, err error) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Unavailable || f.Detail != "the registry's disk is full; make room there" || !errors.Is(err, ErrNoWrites) {
		t.Errorf("%s on a full disk: %v", what, err)
	}
}

// A disk that became read-only is said to be so, and what lies there is served.
func TestReadOnlyDisk(t *testing.T) {
	if !disk.Own(t) {
		return
	}
	dir := disk.Small(t, 1<<20)
	s := openFS(t, dir)
	key, data := blobOf("read-only", "1.0.0", 1000)
	mustStore(t, s, key, data)
	disk.SetReadOnly(t, dir, true)
	for what, err := range map[string]error{"check": s.Check(t.Context()), "store": store(t.Context(), s, key, data), "delete": s.Delete(t.Context(), key)} {
		if fault.KindOf(err) != fault.Unavailable || !errors.Is(err, ErrNoWrites) {
			t.Errorf("%s: %v", what, err)
		}
	}
	mustHold(t, s, key, data)
	disk.SetReadOnly(t, dir, false)
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// So is one of the archives alone, with uploads on another.
func TestReadOnlyDiskOfArchives(t *testing.T) {
	if !disk.Own(t) {
		return
	}
	dir := t.TempDir()
	s := openFS(t, dir)
	if err := s.Check(t.Context()); err != nil { // there is no such folder yet
		t.Error(err)
	}
	archives := filepath.Join(dir, "crates")
	if err := os.MkdirAll(archives, 0o750); err != nil {
		t.Fatal(err)
	}
	disk.SmallAt(t, archives, 1<<20)
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	disk.SetReadOnly(t, archives, true)
	if err := s.Check(t.Context()); fault.KindOf(err) != fault.Unavailable || !errors.Is(err, ErrNoWrites) {
		t.Errorf("%v", err)
	}
}
