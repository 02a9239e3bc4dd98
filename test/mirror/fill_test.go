package mirror

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/importer"
	"github.com/crateyard/crateyard/test/debian"
	"github.com/crateyard/crateyard/test/serve"
)

// roots are crates whose trees together have some three hundred.
var roots = []string{"clap", "hyper", "rayon", "regex", "reqwest", "serde_json", "tokio", "tracing-subscriber"}

// realCrate is one version of a crate.
type realCrate struct {
	name, version, folder string
	manifest              []byte
}

// realCrates gives those of Debian's that the roots and what they need bring along, with a registry's limits held: winapi and web-sys keep of their
// hundreds of features those that others name, and compiler_builtins has a name that is Rust's own.
func realCrates(t *testing.T) (all []realCrate) {
	t.Helper()
	folders, err := debian.Crates(roots...)
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		c := realCrate{folder: folder}
		if c.manifest, err = os.ReadFile(filepath.Join(folder, "Cargo.toml")); err != nil {
			t.Fatal(err)
		}
		var m struct {
			Package struct{ Name, Version string }
		}
		if err := toml.Unmarshal(c.manifest, &m); err != nil {
			t.Fatalf("%s: %v", folder, err)
		}
		c.name, c.version = m.Package.Name, m.Package.Version
		if c.name != "compiler_builtins" {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b realCrate) int { return strings.Compare(a.name+" "+a.version, b.name+" "+b.version) })
	for i := range all {
		if err := all[i].trim(all); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// trim takes features away that nobody names, where there are too many.
func (c *realCrate) trim(all []realCrate) error {
	var m map[string]any
	if err := toml.Unmarshal(c.manifest, &m); err != nil {
		return err
	}
	features, _ := m["features"].(map[string]any)
	if len(features) <= crate.MaxFeatures {
		return nil
	}
	kept := map[string]any{}
	var keep func(name string)
	keep = func(name string) {
		if values, ok := features[name].([]any); ok && kept[name] == nil {
			kept[name] = values
			for _, v := range values {
				keep(fmt.Sprint(v))
			}
		}
	}
	for name := range features {
		for _, other := range all {
			if other.name != c.name && (bytes.Contains(other.manifest, []byte(`"`+name+`"`)) || bytes.Contains(other.manifest, []byte("/"+name+`"`))) {
				keep(name)
			}
		}
	}
	m["features"] = kept
	var err error
	c.manifest, err = toml.Marshal(m)
	return err
}

// Crates implements importer.Source. All were published a year ago.
func (s source) Crates(context.Context) iter.Seq2[importer.Crate, error] {
	return func(yield func(importer.Crate, error) bool) {
		byName := map[string][]importer.Version{}
		var names []string
		for _, c := range s {
			if byName[c.name] == nil {
				names = append(names, c.name)
			}
			byName[c.name] = append(byName[c.name], importer.Version{Vers: c.version, PublishedAt: time.Now().AddDate(-1, 0, 0),
				Open: func(context.Context) (io.ReadCloser, error) { return c.pack() }})
		}
		for _, name := range names {
			if !yield(importer.Crate{Name: name, Versions: byName[name]}, nil) {
				return
			}
		}
	}
}

type source []realCrate

// pack makes the .crate file, without what Debian added.
func (c realCrate) pack() (io.ReadCloser, error) {
	var out bytes.Buffer
	zw, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	tw := tar.NewWriter(zw)
	root := os.DirFS(c.folder)
	err = fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == ".cargo-checksum.json" {
			return err
		}
		data, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		if path == "Cargo.toml" {
			data = c.manifest
		}
		if err := tw.WriteHeader(&tar.Header{Name: c.name + "-" + c.version + "/" + path, Mode: 0o644, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err = tw.Write(data)
		return err
	})
	if err == nil {
		err = tw.Close()
	}
	if err == nil {
		err = zw.Close()
	}
	return io.NopCloser(&out), err
}

// fill publishes crates, as what they depend on is there or not: a registry does not ask.
func fill(t *testing.T, s *serve.Server, address string, crates []realCrate) {
	t.Helper()
	imp := &importer.Importer{Target: client.New(address, s.AdminToken), Registries: map[string]string{importer.CratesIO: ""}}
	report, err := imp.Run(t.Context(), source(crates))
	if err != nil || report.Imported != len(crates) {
		t.Fatalf("%v, %+v", err, report)
	}
}
