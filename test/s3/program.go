// Package s3 starts a real S3 server, versitygw, as a process of its own, for tests and measurements that need a bucket. It
// also has a proxy that makes such a server fail.
//
// The program is built from the module below versitygw/ once and stays in the user's cache folder.
package s3

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/crateyard/crateyard/test/program"
)

// Program builds the server where the cache lacks it, which takes a minute or two, and gives its path.
var Program = sync.OnceValues(func() (string, error) {
	root, err := program.Root()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, "test", "s3", "versitygw")
	dir, err := cached(source)
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "versitygw")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	// The tests of two packages run side by side: the second waits and finds it built.
	unlock, err := program.Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	return bin, build(source, bin)
})

// cached gives the folder of the program that this source makes.
func cached(source string) (string, error) {
	digest := sha256.New()
	for _, name := range []string{"main.go", "go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", err
		}
		_, _ = digest.Write(text) // never fails
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "crateyard", "tools", fmt.Sprintf("versitygw-%.8x", digest.Sum(nil))), err
}

// build gives the program its name only when it is whole.
func build(source, bin string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", "-s -w", "-o", bin+".new", ".")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GOOS=", "GOARCH=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build versitygw: %w\n%s", err, out)
	}
	return os.Rename(bin+".new", bin)
}
