package storage

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
)

// Stat tells of a blob.
func (f *Filesystem) Stat(_ context.Context, key string) (Info, error) {
	info, err := f.root.Stat(key)
	if err != nil {
		return Info{}, err
	}
	if !info.Mode().IsRegular() {
		return Info{}, &fs.PathError{Op: "stat", Path: key, Err: fs.ErrNotExist}
	}
	return Info{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil
}

// List walks the folders. It holds the names of one folder on each level.
func (f *Filesystem) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		dir := path.Clean(prefix)
		if prefix == "" {
			dir = "."
		}
		f.walk(ctx, dir, after, yield)
	}
}

// walk gives what lies in and below a folder, and reports whether to go on.
func (f *Filesystem) walk(ctx context.Context, dir, after string, yield func(Info, error) bool) bool {
	if err := ctx.Err(); err != nil {
		yield(Info{}, err)
		return false
	}
	names, err := f.names(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		yield(Info{}, err)
		return false
	}
	for _, name := range names {
		key := path.Join(dir, name)
		if sub, isDir := strings.CutSuffix(name, "/"); isDir {
			// All keys below lie between sub/ and sub0, since '0' follows '/'.
			if dir == "." && (sub == incoming || name == metaDir) || after >= path.Join(dir, sub)+"0" {
				continue
			}
			if !f.walk(ctx, key, after, yield) {
				return false
			}
			continue
		}
		if key <= after {
			continue
		}
		info, err := f.Stat(ctx, key)
		if errors.Is(err, fs.ErrNotExist) { // gone meanwhile
			continue
		}
		if !yield(info, err) || err != nil {
			return false
		}
	}
	return true
}

// names gives the entries of a folder in the order of the keys' bytes: a folder's name counts with the slash behind it.
func (f *Filesystem) names(dir string) (names []string, err error) {
	d, err := f.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	entries, err := d.ReadDir(-1)
	for _, e := range entries {
		switch {
		case e.IsDir():
			names = append(names, e.Name()+"/")
		case e.Type().IsRegular():
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, err
}

// Delete removes a blob, and makes that durable. Its folder stays: another publish may be about to use it.
func (f *Filesystem) Delete(_ context.Context, key string) error {
	err := f.root.Remove(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return diskFault(err)
	}
	return diskFault(f.syncDir(path.Dir(key)))
}
