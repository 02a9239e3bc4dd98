// Package disk gives tests a real disk of a few megabytes, to fill or to make read-only.
//
// To mount one, a test runs once more in a process with mounts of its own, so nothing is left on the machine. Root may do that everywhere;
// anybody else needs a kernel that gives users namespaces of their own. Where neither is so the test fails: it is never passed over.
package disk

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// inMounts is set in a process that may mount what it likes.
const inMounts = "CRATEYARD_TEST_MOUNTS"

// Own runs the rest of the test in a process of its own that may mount, and reports whether this is it. A test begins with it, and ends where it
// is false.
func Own(t *testing.T) bool {
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
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Errorf("this test mounts a small disk: run it as root, or where users may have namespaces of their own (`unshare -rm true` says whether): %v", err)
	} else if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// Small mounts a disk of so many bytes in a new folder.
func Small(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	SmallAt(t, dir, size)
	return dir
}

// SmallAt mounts a disk of so many bytes at a folder.
func SmallAt(t *testing.T, dir string, size int64) {
	t.Helper()
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("small", dir, "tmpfs", 0, fmt.Sprint("size=", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// SetReadOnly makes a disk that Small or SmallAt mounted read-only, or writable again.
func SetReadOnly(t *testing.T, dir string, readOnly bool) {
	t.Helper()
	flags := uintptr(syscall.MS_REMOUNT)
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	if err := syscall.Mount("small", dir, "tmpfs", flags, ""); err != nil {
		t.Fatal(err)
	}
}
