package debian

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Crates gives the folders of the sources of crates, each with its Cargo.toml as it was published: those that the packages of the given crates
// bring along, and all that these need to be built with the features that Debian packages. Of some crates there are several versions.
func Crates(names ...string) (folders []string, err error) {
	one.Lock()
	defer one.Unlock()
	var roots []string
	for _, name := range names {
		roots = append(roots, "librust-"+strings.ReplaceAll(name, "_", "-")+"-dev")
	}
	versions, err := needed(roots)
	if err != nil {
		return nil, err
	}
	dirs, err := unpackAll(versions)
	if err != nil {
		return nil, err
	}
	for name, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(dir, "usr/share/cargo/registry/*/Cargo.toml"))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("Debian package %s has no crate", name)
		}
		for _, manifest := range found {
			folders = append(folders, filepath.Dir(manifest))
		}
	}
	return folders, nil
}

// installs finds them in what apt says; one with a plus in its name stands for a feature, and has no files.
var installs = regexp.MustCompile(`(?m)^Inst (librust-[^ +]+-dev) \(([^ ]+) `)

// needed asks apt which packages of crates it would install for some, on a machine that has none.
func needed(roots []string) (map[string]string, error) {
	ask := append([]string{"-s", "-o", "Dir::State::status=/dev/null", "--no-install-recommends", "install"}, roots...)
	out, err := output("apt-get", ask...)
	if err != nil { // perhaps no lists yet, as on a new machine
		if err := run(exec.Command("apt-get", "update", "-qq")); err != nil {
			return nil, err
		}
		if out, err = output("apt-get", ask...); err != nil {
			return nil, err
		}
	}
	versions := map[string]string{}
	for _, m := range installs.FindAllSubmatch(out, -1) {
		versions[string(m[1])] = string(m[2])
	}
	return versions, nil
}
