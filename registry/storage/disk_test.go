package storage

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/crateyard/crateyard/registry/fault"
)

// inMounts is set in a process that may mount what it likes: it has mounts of its own.
const inMounts = "CRATEYARD_TEST_MOUNTS"

// withMounts runs the rest of the test in such a process, and reports whether this is it. It asks for no root where users may have
// namespaces of their own.
func withMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inMounts) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inMounts+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// smallDisk mounts a disk of one megabyte.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("small", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A full disk refuses blobs and says so. What it took is whole, and once there is room it takes more.
func TestFullDisk(t *testing.T) {
	if !withMounts(t) {
		return
	}
	for name, open := range map[string]func(*testing.T, string) *Filesystem{"alone": openFS, "shared": openShared} {
		t.Run(name, func(t *testing.T) {
			s := open(t, smallDisk(t))
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
		sp := newSpoolMemories(smallDisk(t)).open()
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
	if !withMounts(t) {
		return
	}
	dir := smallDisk(t)
	s := openFS(t, dir)
	key, data := blobOf("read-only", "1.0.0", 1000)
	mustStore(t, s, key, data)
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("small", dir, "tmpfs", syscall.MS_REMOUNT|flags, "size=1m"); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	for what, err := range map[string]error{"check": s.Check(t.Context()), "store": store(t.Context(), s, key, data), "delete": s.Delete(t.Context(), key)} {
		if fault.KindOf(err) != fault.Unavailable || !errors.Is(err, ErrNoWrites) {
			t.Errorf("%s: %v", what, err)
		}
	}
	mustHold(t, s, key, data)
	remount(0)
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
