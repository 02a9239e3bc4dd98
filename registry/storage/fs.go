package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"

	"golang.org/x/sync/errgroup"
)

// incoming is the folder of blobs that are being written. It is emptied at start: what lies there was never acknowledged.
const incoming = "incoming"

// Filesystem is a Store in one folder. Keys cannot lead out of it: every access goes through an os.Root.
type Filesystem struct {
	root    *os.Root
	durable sync.Map // folders that are known to outlive a crash; one entry a crate
}

// OpenFilesystem opens the store in folder dir, and makes the folder when it is not there. One process may have it open.
func OpenFilesystem(dir string) (*Filesystem, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f := &Filesystem{root: root}
	if err := root.RemoveAll(incoming); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if err := root.Mkdir(incoming, 0o750); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if err := f.syncDir("."); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return f, nil
}

// Close closes the store; blobs that are open stay readable.
func (f *Filesystem) Close() error { return f.root.Close() }

// Create begins a blob.
func (f *Filesystem) Create(context.Context) (Writer, error) {
	name := incoming + "/" + rand.Text()
	file, err := f.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, err
	}
	return &fsWriter{File: file, store: f, name: name}, nil
}

// Open opens a blob.
func (f *Filesystem) Open(_ context.Context, key string) (Blob, error) {
	file, err := f.root.Open(key)
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Check writes and removes a small file, which a full or read-only disk refuses.
func (f *Filesystem) Check(ctx context.Context) error {
	w, err := f.Create(ctx)
	if err != nil {
		return err
	}
	_, err = w.Write([]byte("check\n"))
	return errors.Join(err, w.Cancel())
}

type fsWriter struct {
	*os.File
	store *Filesystem
	name  string
	done  bool
}

// Commit gives the file its name at once and syncs it, its folder and the folders above in the background, side by side: a
// journaling filesystem then writes them all in one go. Until then a crash may leave a file under the key that is not whole,
// which nobody reads, since the catalog does not name it yet. What another publish has stored under the same key,
// the catalog may name: it is replaced by a file that is already whole on disk, and only so.
func (w *fsWriter) Commit(_ context.Context, key string) (func() error, error) {
	if !fs.ValidPath(key) {
		return nil, errors.Join(fmt.Errorf("invalid key %q", key), w.Cancel())
	}
	dir := path.Dir(key)
	made, err := w.store.mkdirAll(dir)
	if err != nil {
		return nil, errors.Join(err, w.Cancel())
	}
	linked := w.store.root.Link(w.name, key) == nil
	if !linked { // something is there, or the filesystem knows no links
		if err := w.Sync(); err != nil {
			return nil, errors.Join(err, w.Cancel())
		}
		if err := w.store.root.Rename(w.name, key); err != nil {
			return nil, errors.Join(err, w.Cancel())
		}
	}
	w.done = true
	synced := make(chan error, 1)
	go func() {
		var syncs errgroup.Group
		syncs.Go(w.Sync)
		for _, d := range append(made, dir) {
			syncs.Go(func() error { return w.store.syncDir(d) })
		}
		if linked {
			_ = w.store.root.Remove(w.name) // the next start removes what stays
		}
		err := syncs.Wait()
		if err == nil {
			w.store.madeDurable(dir)
		}
		synced <- errors.Join(err, w.Close())
	}()
	return func() error { return <-synced }, nil
}

func (w *fsWriter) Cancel() error {
	if w.done {
		return nil
	}
	w.done = true
	return errors.Join(w.Close(), w.store.root.Remove(w.name))
}

// mkdirAll makes the folder and those above it, and gives the folders whose entries this process does not know to be durable:
// another publish may have made a folder a moment ago and not synced it yet.
func (f *Filesystem) mkdirAll(dir string) (unsynced []string, err error) {
	if _, ok := f.durable.Load(dir); ok || dir == "." {
		return nil, nil
	}
	above, err := f.mkdirAll(path.Dir(dir))
	if err != nil {
		return nil, err
	}
	if err := f.root.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return append(above, path.Dir(dir)), nil
}

// madeDurable notes that the folder and those above it will be there after a crash.
func (f *Filesystem) madeDurable(dir string) {
	for ; dir != "."; dir = path.Dir(dir) {
		f.durable.Store(dir, true)
	}
}

func (f *Filesystem) syncDir(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync folder %s: %w", dir, err), d.Close())
	}
	return d.Close()
}
