package storage

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"
)

// batcher is a store that can make many blobs durable in one go.
type batcher interface {
	createBatched(ctx context.Context) (Writer, error)
}

// CreateBatched is Create for one of many blobs whose durability nobody waits for one by one, such as a cache that fills: where the store can, those
// that are waited for at the same time share one sync.
func CreateBatched(ctx context.Context, store Store) (Writer, error) {
	for s := store; ; {
		if b, ok := s.(batcher); ok {
			return b.createBatched(ctx)
		}
		u, ok := s.(interface{ Unwrap() Store })
		if !ok {
			return store.Create(ctx)
		}
		s = u.Unwrap()
	}
}

// createBatched begins a blob that is synced together with others.
func (f *Filesystem) createBatched(context.Context) (Writer, error) {
	w, err := f.create()
	if err != nil {
		return nil, err
	}
	w.batched = canSyncAll
	return w, nil
}

// commitBatched gives the file its key. One sync of all makes it durable, and the folders above it, too, whoever made them.
func (w *fsWriter) commitBatched(key string) (func() error, error) {
	linked, err := w.giveName(key)
	if errors.Is(err, fs.ErrNotExist) && w.store.makeAll(path.Dir(key)) == nil {
		linked, err = w.giveName(key)
	}
	if err != nil { // something is there, or somebody takes the folder away
		if _, linked, err = w.rename(key); err != nil {
			return nil, errors.Join(diskFault(err), w.Cancel())
		}
	}
	w.done = true
	if linked {
		_ = w.store.root.Remove(w.name) // the next start removes what stays
	}
	if err := w.file.Close(); err != nil {
		return nil, diskFault(err)
	}
	written := w.store.batches.begun.Load()
	return func() error { return diskFault(w.store.batches.after(written, w.store.syncAll)) }, nil
}

// makeAll makes a folder, and those above it where they are missing, which is rare.
func (f *Filesystem) makeAll(dir string) error {
	err := makeFolder(f.self, dir)
	if errors.Is(err, fs.ErrNotExist) && dir != "." {
		if err = f.makeAll(path.Dir(dir)); err == nil {
			err = makeFolder(f.self, dir)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// batches counts syncs of the whole filesystem, so that one does for all that was written before it.
type batches struct {
	mu    sync.Mutex // held by the one that syncs
	begun atomic.Int64
	done  int64 // the last that went well
}

// after makes all durable that was written before the sync of a number began: the one after it, or any later one, does for that.
func (b *batches) after(number int64, syncAll func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done > number {
		return nil
	}
	n := b.begun.Add(1)
	if err := syncAll(); err != nil {
		return err
	}
	b.done = n
	return nil
}
