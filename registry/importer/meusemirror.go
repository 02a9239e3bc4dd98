package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/storage"
)

// MeuseMirror is what Meuse cached of crates.io: .crates.io/{name}/{version}/download below the folder of its crates, or in its bucket. Meuse
// kept no checksums of these files, and a reader could get a part of one that was still being written.
type MeuseMirror struct {
	Dir    string        // crate.path of its configuration, or the .crates.io in it; empty: Bucket
	Bucket storage.Store // opened at what its keys begin with
}

// meuseCache is the folder of what Meuse mirrored.
const meuseCache = ".crates.io"

// Crates reads the names of the files.
func (m MeuseMirror) Crates(ctx context.Context) iter.Seq2[Crate, error] {
	return func(yield func(Crate, error) bool) {
		var c Crate
		for key, err := range m.files(ctx) {
			if err != nil {
				yield(Crate{}, err)
				return
			}
			name, version, err := meuseFile(key)
			if err != nil {
				if !yield(Crate{Name: key}, err) {
					return
				}
				continue
			}
			if name != c.Name && c.Name != "" && !yield(c, nil) {
				return
			}
			if name != c.Name {
				c = Crate{Name: name}
			}
			c.Versions = append(c.Versions, Version{Vers: version, Open: func(ctx context.Context) (io.ReadCloser, error) { return m.open(ctx, key) }})
		}
		if c.Name != "" {
			yield(c, nil)
		}
	}
}

// meuseFile takes apart the name of a file.
func meuseFile(key string) (name, version string, err error) {
	part := strings.Split(key, "/")
	if len(part) != 3 || part[2] != "download" {
		return "", "", errors.New("it is none of Meuse's files, which are called NAME/VERSION/download")
	}
	if err := crate.CheckDependencyName(part[0]); err != nil {
		return "", "", err
	}
	if _, err := crate.ParseVersion(part[1]); err != nil {
		return "", "", err
	}
	return part[0], part[1], nil
}

// files gives the names of the files below .crates.io, those of a crate one after the other.
func (m MeuseMirror) files(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		none := true
		if m.Dir != "" {
			err := fs.WalkDir(os.DirFS(m.root()), ".", func(path string, d fs.DirEntry, err error) error {
				switch {
				case err != nil && path == ".":
					if p, ok := errors.AsType[*fs.PathError](err); ok { // it names the folder as "."
						err = p.Err
					}
					return fmt.Errorf("%s: %w; is this crate.path of Meuse's configuration, and did it mirror anything?", m.root(), err)
				case err != nil:
					return err
				case ctx.Err() != nil:
					return ctx.Err()
				case d.IsDir():
					return nil
				}
				none = false
				if !yield(path, nil) {
					return fs.SkipAll
				}
				return nil
			})
			if err == nil && none {
				err = fmt.Errorf("there is nothing in %s; is this crate.path of Meuse's configuration, and did it mirror anything?", m.root())
			}
			if err != nil {
				yield("", err)
			}
			return
		}
		for info, err := range m.Bucket.List(ctx, meuseCache+"/", "") {
			none = false
			if !yield(strings.TrimPrefix(info.Key, meuseCache+"/"), err) || err != nil {
				return
			}
		}
		if none {
			yield("", errors.New("there is nothing under "+meuseCache+"/ in the bucket; is it Meuse's, and did it mirror anything?"))
		}
	}
}

func (m MeuseMirror) root() string {
	if filepath.Base(m.Dir) == meuseCache {
		return m.Dir
	}
	return filepath.Join(m.Dir, meuseCache)
}

func (m MeuseMirror) open(ctx context.Context, key string) (io.ReadCloser, error) {
	if m.Dir != "" {
		return openFile(filepath.Join(m.root(), filepath.FromSlash(key)))(ctx)
	}
	return m.Bucket.Open(ctx, meuseCache+"/"+key)
}
