package importer

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crateyard/crateyard/registry/crate"
)

// Folder is a folder of .crate files, in any depth, under any names. Their order is that of their versions; none is yanked, for
// nobody says so.
type Folder struct{ Dir string }

// Crates reads the name and version of each file from its Cargo.toml first, and keeps these only.
func (f Folder) Crates(ctx context.Context) iter.Seq2[Crate, error] {
	return func(yield func(Crate, error) bool) {
		found := map[string][]Version{}
		goOn, none := true, true
		err := filepath.WalkDir(f.Dir, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return fmt.Errorf("the folder of .crate files cannot be read: %w", err)
			case ctx.Err() != nil:
				return ctx.Err()
			case d.IsDir() || !strings.HasSuffix(path, ".crate"):
				return nil
			}
			none = false
			name, v, err := crateFile(path)
			if err != nil {
				if goOn = yield(Crate{Name: path}, err); !goOn {
					return fs.SkipAll
				}
				return nil
			}
			found[name] = append(found[name], v)
			return nil
		})
		if err == nil && none {
			err = fmt.Errorf("there is no .crate file in %s: say the folder that has them, in any depth. Meuse's archives, which are called NAME/VERSION/download, are for `crateyard import meuse`", f.Dir)
		}
		if err != nil {
			yield(Crate{}, err)
			return
		}
		for _, name := range sortedKeys(found) {
			if !goOn {
				return
			}
			versions := found[name]
			slices.SortStableFunc(versions, compareVersions)
			goOn = yield(Crate{Name: name, Versions: versions}, nil)
		}
	}
}

// crateFile looks into a .crate file.
func crateFile(path string) (name string, _ Version, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", Version{}, err
	}
	defer func() { _ = f.Close() }() // it was read only
	m, err := named(f)
	if err != nil {
		return "", Version{}, err
	}
	return m.Name, Version{Vers: m.Version, File: path, Open: openFile(path)}, nil
}

func openFile(path string) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("the source has no archive of it: %w", err)
		}
		return f, nil
	}
}

// compareVersions orders by version, those that are none last.
func compareVersions(a, b Version) int {
	x, errX := crate.ParseVersion(a.Vers)
	y, errY := crate.ParseVersion(b.Vers)
	switch {
	case errX != nil || errY != nil:
		return cmp.Compare(a.Vers, b.Vers)
	default:
		return x.Compare(y)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
