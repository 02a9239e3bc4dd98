package cargo

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crateyard/crateyard/test/debian"
)

// cmdReal: real CRATE…
//
// Makes a folder of each crate, with the sources and the manifest that Debian packages. Of the manifest only goes what would
// pull in half of crates.io: dev-dependencies, and optional dependencies on crates that are not named here.
func cmdReal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: real CRATE…")
	}
	packageOf := func(name string) string { return "librust-" + strings.ReplaceAll(name, "_", "-") + "-dev" }
	var packages []string
	for _, name := range args {
		packages = append(packages, packageOf(name))
	}
	dirs, err := debian.Unpack(packages...)
	ts.Check(err)
	for _, name := range args {
		found, err := filepath.Glob(filepath.Join(dirs[packageOf(name)], "usr/share/cargo/registry", name+"-[0-9]*"))
		if err != nil || len(found) != 1 {
			ts.Fatalf("Debian's %s has the sources %q, %v", packageOf(name), found, err)
		}
		into := ts.MkAbs(name)
		ts.Check(os.CopyFS(into, os.DirFS(found[0])))
		// What cargo writes into an archive itself it does not take from us.
		ts.Check(os.Remove(filepath.Join(into, ".cargo_vcs_info.json")))
		ts.Check(os.Remove(filepath.Join(into, ".cargo-checksum.json")))
		manifest := filepath.Join(into, "Cargo.toml")
		text, err := os.ReadFile(manifest)
		ts.Check(err)
		text, err = prune(text, args)
		ts.Check(err)
		ts.Check(os.WriteFile(manifest, text, 0o644))
	}
}

// prune takes dev-dependencies, optional dependencies but those on crates of the list, and their features from a manifest.
func prune(text []byte, keep []string) ([]byte, error) {
	var m map[string]any
	if err := toml.Unmarshal(text, &m); err != nil {
		return nil, err
	}
	tables := []map[string]any{m}
	if targets, ok := m["target"].(map[string]any); ok {
		for _, t := range targets {
			tables = append(tables, t.(map[string]any))
		}
	}
	gone := map[string]bool{}
	for _, table := range tables {
		delete(table, "dev-dependencies")
		for _, kind := range []string{"dependencies", "build-dependencies"} {
			deps, _ := table[kind].(map[string]any)
			for name, value := range deps {
				dep, _ := value.(map[string]any)
				real := name
				if p, ok := dep["package"].(string); ok {
					real = p
				}
				if dep["optional"] == true && !slices.Contains(keep, real) {
					delete(deps, name)
					gone[name] = true
				}
			}
		}
	}
	features, _ := m["features"].(map[string]any)
	for name, values := range features {
		list, _ := values.([]any)
		features[name] = slices.DeleteFunc(list, func(v any) bool {
			of, _, _ := strings.Cut(strings.TrimPrefix(fmt.Sprint(v), "dep:"), "/")
			of = strings.TrimSuffix(of, "?")
			_, isFeature := features[of]
			return gone[of] && !isFeature
		})
	}
	return toml.Marshal(m)
}
