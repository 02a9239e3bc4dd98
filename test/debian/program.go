package debian

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program unpacks a package and the libraries that its program lacks on this machine, and gives the folder of a script that
// runs it: the libraries are named in the environment of that program and its children alone.
func Program(pkg, program string) (dir string, err error) {
	dirs, err := Unpack(pkg)
	if err != nil {
		return "", err
	}
	libraries, err := missingLibraries(pkg)
	if err != nil {
		return "", err
	}
	unpacked, err := Unpack(libraries...)
	if err != nil {
		return "", err
	}
	var paths []string
	for _, lib := range libraries {
		for _, place := range []string{"usr/lib", "lib"} {
			found, err := filepath.Glob(filepath.Join(unpacked[lib], place, "*-linux-*"))
			if err != nil {
				return "", err
			}
			paths = append(paths, found...)
		}
	}
	dir = filepath.Join(dirs[pkg], "run")
	script := fmt.Sprintf("#!/bin/sh\nLD_LIBRARY_PATH='%s'${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec '%s' \"$@\"\n",
		strings.Join(paths, ":"), filepath.Join(dirs[pkg], "usr", "bin", program))
	if err := writeScript(filepath.Join(dir, program), script); err != nil {
		return "", err
	}
	return dir, run(exec.Command(filepath.Join(dir, program), "--version"))
}

// writeScript replaces a script when it should read otherwise, whole, since another process may be about to run it.
func writeScript(path, text string) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(tmp, []byte(text), 0o755); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// missingLibraries follows the dependencies of a package through the libraries that are not installed here. By Debian's rule
// the package of a library is called after it: lib….
func missingLibraries(pkg string) (missing []string, err error) {
	seen := map[string]bool{pkg: true}
	for todo := []string{pkg}; len(todo) > 0; todo = todo[1:] {
		out, err := output("apt-cache", "depends", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks",
			"--no-replaces", "--no-enhances", todo[0])
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(out)) {
			_, name, isDependency := strings.Cut(strings.TrimSpace(line), "Depends: ")
			if !isDependency || !strings.HasPrefix(name, "lib") || seen[name] {
				continue
			}
			seen[name] = true
			if !installed(name) {
				missing = append(missing, name)
				todo = append(todo, name)
			}
		}
	}
	return missing, nil
}

func installed(name string) bool {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${db:Status-Status}", name).Output()
	return err == nil && string(out) == "installed"
}
