package debian

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A package is unpacked once, whole, and one that does not exist is told of by its name.
func TestUnpack(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	const small = "librust-cfg-if-dev"
	dirs, err := Unpack(small)
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dirs[small], "usr/share/cargo/registry/cfg-if-*/Cargo.toml"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q %v", found, err)
	}
	mark := filepath.Join(dirs[small], "mark")
	if err := os.WriteFile(mark, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if again, err := Unpack(small); err != nil || again[small] != dirs[small] {
		t.Errorf("%v %v", again, err)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Errorf("unpacked a second time: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(dirs[small])); err != nil || len(left) != 1 {
		t.Errorf("in the cache: %v %v", left, err)
	}
}

// A step that fails leaves nothing behind that a later run would take for whole.
func TestIntoLeavesNothingBroken(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := into(dir, func(tmp string) error { return os.ErrInvalid }); err != os.ErrInvalid {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 0 {
		t.Errorf("left %v %v", left, err)
	}
	for range 2 { // the second time as if another process had been faster
		if err := into(dir, func(tmp string) error { return os.WriteFile(filepath.Join(tmp, "f"), nil, 0o644) }); err != nil {
			t.Error(err)
		}
	}
	if _, err := Unpack("no-such-package-of-debian"); err == nil || !strings.Contains(err.Error(), "no-such-package-of-debian") {
		t.Errorf("got %v", err)
	}
}

// Crates come with what they depend on.
func TestCrates(t *testing.T) {
	folders, err := Crates("serde_json")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range folders {
		name := filepath.Base(f)
		names = append(names, name[:strings.LastIndexByte(name, '-')])
	}
	slices.Sort(names)
	for _, want := range []string{"itoa", "ryu", "serde", "serde_json"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not in %q", want, names)
		}
	}
}
