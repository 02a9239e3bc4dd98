package importer

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// Meuse is what Meuse leaves behind: the folder of its crates, {name}/{version}/download, and a clone of its git index.
type Meuse struct {
	Store string // crate.path of its configuration; what it mirrored (.crates.io) is passed over: see MeuseMirror
	Index string // metadata.path of its configuration
}

// Crates reads the index, which is what cargo believed.
func (m Meuse) Crates(ctx context.Context) iter.Seq2[Crate, error] {
	return func(yield func(Crate, error) bool) {
		err := filepath.WalkDir(m.Index, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case ctx.Err() != nil:
				return ctx.Err()
			case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != m.Index:
				return fs.SkipDir // .git
			case d.IsDir() || filepath.Dir(path) == filepath.Clean(m.Index): // config.json, a README
				return nil
			}
			file, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, versions, err := parseIndex(file)
			if name == "" {
				name = d.Name()
			}
			for i, v := range versions {
				versions[i].Open = openFile(filepath.Join(m.Store, name, v.Vers, "download"))
			}
			if !yield(Crate{Name: name, Versions: versions}, err) {
				return fs.SkipAll
			}
			return nil
		})
		if err == nil {
			_, err = os.Stat(m.Store)
		}
		if err != nil && !errors.Is(err, fs.SkipAll) {
			yield(Crate{}, err)
		}
	}
}
