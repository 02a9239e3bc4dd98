// Package debian gets files out of Debian's packages without installing them, for tests that need a program or sources
// which the machine does not have. What was unpacked stays in the user's cache folder.
//
// It needs apt-get, apt-cache and dpkg, so a Debian machine. The package lists are fetched when they are empty, which asks for
// root.
package debian

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// one at a time: apt-get update holds a lock, and two tests may ask at once.
var one sync.Mutex

// Unpack gives for each package a folder that holds its files as they would lie below /. Of several versions it takes the one
// that apt would install.
func Unpack(packages ...string) (dirs map[string]string, err error) {
	one.Lock()
	defer one.Unlock()
	candidates, err := candidates(packages)
	if err != nil {
		return nil, err
	}
	return unpackAll(candidates)
}

// unpackAll unpacks packages of the given versions, those that are not in the cache after one download for all of them.
func unpackAll(versions map[string]string) (dirs map[string]string, err error) {
	dirs = map[string]string{}
	var missing, wanted []string
	for name, version := range versions {
		if dirs[name], err = cacheDir(name + "_" + strings.ReplaceAll(version, ":", "%3a")); err != nil {
			return nil, err
		}
		if _, err := os.Stat(dirs[name]); err != nil {
			missing, wanted = append(missing, name), append(wanted, name+"="+version)
		}
	}
	if len(missing) == 0 {
		return dirs, nil
	}
	debs, err := os.MkdirTemp("", "debs-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(debs) }() // what is left in a folder for such files hurts nobody
	download := exec.Command("apt-get", append([]string{"download", "-qq"}, wanted...)...)
	download.Dir = debs
	if err := run(download); err != nil {
		return nil, err
	}
	for _, name := range missing {
		found, err := filepath.Glob(filepath.Join(debs, name+"_*.deb"))
		if err != nil || len(found) != 1 {
			return nil, fmt.Errorf("Debian package %s: apt-get download left %q", name, found)
		}
		if err := into(dirs[name], func(tmp string) error { return run(exec.Command("dpkg", "-x", found[0], tmp)) }); err != nil {
			return nil, fmt.Errorf("Debian package %s: %w", name, err)
		}
	}
	return dirs, nil
}

// into fills a folder beside dir and renames it, so that dir is whole or absent whatever happens meanwhile.
func into(dir string, fill func(tmp string) error) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // gone after the rename
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := fill(tmp); err != nil {
		return err
	}
	err = os.Rename(tmp, dir)
	if _, there := os.Stat(dir); there == nil {
		return nil // ours, or that of another process that was faster
	}
	return err
}

func cacheDir(name string) (string, error) {
	cache, err := os.UserCacheDir() // XDG_CACHE_HOME, or ~/.cache
	return filepath.Join(cache, "crateyard", "debian", name), err
}

// candidates asks apt which version of each package it would install.
func candidates(packages []string) (map[string]string, error) {
	found, err := policy(packages)
	if err == nil && len(found) < len(packages) { // no lists yet, as on a new machine
		if err = run(exec.Command("apt-get", "update", "-qq")); err == nil {
			found, err = policy(packages)
		}
	}
	if err != nil {
		return nil, err
	}
	for _, name := range packages {
		if found[name] == "" {
			return nil, fmt.Errorf("apt knows no Debian package %s", name)
		}
	}
	return found, nil
}

func policy(packages []string) (map[string]string, error) {
	out, err := output("apt-cache", append([]string{"policy"}, packages...)...)
	found := map[string]string{}
	name := ""
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		if line := sc.Text(); !strings.HasPrefix(line, " ") {
			name = strings.TrimSuffix(line, ":")
		} else if version, ok := strings.CutPrefix(line, "  Candidate: "); ok && version != "(none)" {
			found[name] = version
		}
	}
	return found, err
}

func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

func output(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C") // words are looked for
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}
