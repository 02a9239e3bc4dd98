package cargo

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/crateyard/crateyard/test/debian"
)

// cargo is one cargo under test.
type cargo struct {
	version minor
	path    string // what PATH begins with: the folder of cargo, and of the rustc that it calls
	// gitProgram: fetches git indexes with the git program. Debian's cargo-web was built for a newer libgit2 than Debian has and
	// can fetch nothing with it ("invalid version 0 on git_proxy_options").
	gitProgram bool
}

// minor is a version of cargo as people call it: 1.95.
type minor struct{ major, minor int }

func (m minor) String() string { return fmt.Sprintf("%d.%d", m.major, m.minor) }

// sparse reports whether the cargo reads sparse indexes without being asked to in a nightly's way: from 1.68 on.
func (c cargo) sparse() bool { return c.version.minor >= 68 }

// findCargos gives the machine's own cargo and Debian's two: cargo-web, which is new (1.96 in bookworm), and cargo, which is
// old (1.65 in bookworm). All of them call the machine's own rustc. README.md says where they differ.
func findCargos() ([]cargo, error) {
	sysroot, err := exec.Command("rustc", "--print", "sysroot").Output()
	if err != nil {
		return nil, fmt.Errorf("rustc --print sysroot: %w; install Rust", err)
	}
	// The programs themselves and not rustup's, which find them by a HOME that scripts have not got.
	rust := filepath.Join(strings.TrimSpace(string(sysroot)), "bin")
	found := []cargo{{path: rust}}
	for _, pkg := range []string{"cargo-web", "cargo"} {
		dir, err := debian.Program(pkg, "cargo")
		if err != nil {
			return nil, err
		}
		found = append(found, cargo{path: dir + ":" + rust, gitProgram: pkg == "cargo-web"})
	}
	for i := range found {
		c := &found[i]
		dir, _, _ := strings.Cut(c.path, ":")
		out, err := exec.Command(filepath.Join(dir, "cargo"), "--version").Output()
		if err != nil {
			return nil, fmt.Errorf("%s/cargo --version: %w", dir, err)
		}
		if _, err := fmt.Sscanf(string(out), "cargo %d.%d.", &c.version.major, &c.version.minor); err != nil {
			return nil, fmt.Errorf("%s/cargo --version: %q: %w", dir, out, err)
		}
	}
	if n := newestOf(found); n.version.minor < 96 {
		return nil, fmt.Errorf("the newest cargo here is %s; the rules that changed with 1.96 would go untested: run `apt-get update`", n.version)
	}
	return found, nil
}

func newestOf(cargos []cargo) (newest cargo) {
	for _, c := range cargos {
		if c.version.minor >= newest.version.minor {
			newest = c
		}
	}
	return newest
}

// isFile reports whether a script's folder has a file.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
