package importer

import (
	"context"
	"errors"
	"fmt"
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

// Crates reads the index, which is what cargo believed. Archives that it does not name come last, each as an UnlistedError.
func (m Meuse) Crates(ctx context.Context) iter.Seq2[Crate, error] {
	return func(yield func(Crate, error) bool) {
		if err := m.check(); err != nil {
			yield(Crate{}, err)
			return
		}
		listed, goOn := map[string]bool{}, true
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
				listed[name+"/"+v.Vers] = true
			}
			listed[name] = listed[name] || err != nil // nobody knows what it names
			if goOn = yield(Crate{Name: name, Versions: versions}, err); !goOn {
				return fs.SkipAll
			}
			return nil
		})
		if err == nil && len(listed) == 0 {
			err = fmt.Errorf("%s, --index, names no crates: is it a whole clone of Meuse's git index?", m.Index)
		}
		if err == nil && goOn {
			err = m.unlisted(ctx, listed, yield)
		}
		if err != nil {
			yield(Crate{}, err)
		}
	}
}

// check tells the two folders from others.
func (m Meuse) check() error {
	if _, err := os.Stat(filepath.Join(m.Index, "config.json")); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no config.json in %s: --index is a clone of Meuse's git index, metadata.path of its configuration", m.Index)
	} else if err != nil {
		return err
	}
	info, err := os.Stat(m.Store)
	if err == nil && !info.IsDir() {
		err = errors.New("it is no folder")
	}
	if err != nil {
		return fmt.Errorf("--store, crate.path of Meuse's configuration: %w", err)
	}
	return nil
}

// unlisted gives the archives that the index does not name.
func (m Meuse) unlisted(ctx context.Context, listed map[string]bool, yield func(Crate, error) bool) error {
	crates, err := os.ReadDir(m.Store)
	if err != nil {
		return err
	}
	for _, c := range crates {
		if !c.IsDir() || strings.HasPrefix(c.Name(), ".") || listed[c.Name()] {
			continue
		}
		versions, err := os.ReadDir(filepath.Join(m.Store, c.Name()))
		if err != nil {
			return err
		}
		for _, v := range versions {
			file := filepath.Join(m.Store, c.Name(), v.Name(), "download")
			if _, err := os.Stat(file); err != nil || listed[c.Name()+"/"+v.Name()] {
				continue
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !yield(Crate{Name: c.Name()}, &UnlistedError{v.Name(), "Meuse's index does not name it, so cargo never saw it. To import it, copy " + file + " to a file NAME.crate, and say `crateyard import folder`"}) {
				return nil
			}
		}
	}
	return nil
}
