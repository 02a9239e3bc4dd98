// Package s3 starts a real S3 server, versitygw, as a process of its own, for tests and measurements that need a bucket. It
// also has a proxy that makes such a server fail.
//
// The program is built from its Go module once and stays in the user's cache folder.
package s3

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// Version is the release of versitygw that is built.
const Version = "v1.8.0"

// Program builds the server where the cache lacks it, which takes some minutes, and gives its path.
var Program = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "crateyard", "tools", "versitygw-"+Version)
	bin := filepath.Join(dir, "versitygw")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// The tests of two packages run side by side: the second waits and finds it built.
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }() // nothing is written to it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", dir, err)
	}
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	return bin, build(dir, bin)
})

// build gives the program its name only when it is whole.
func build(dir, bin string) error {
	tmp := filepath.Join(dir, "new")
	cmd := exec.Command("go", "install", "-trimpath", "-ldflags", "-s -w", "github.com/versity/versitygw/cmd/versitygw@"+Version)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOBIN="+tmp, "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GOOS=", "GOARCH=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build versitygw %s: %w\n%s", Version, err, out)
	}
	return os.Rename(filepath.Join(tmp, "versitygw"), bin)
}
