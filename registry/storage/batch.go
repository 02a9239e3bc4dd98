package storage

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"
)

// batcher is a store that can make many blobs durable in one go.
type batcher interface {
	createBatched(ctx context.Context) (Writer, error)
	putBatched(ctx context.Context, key string, blob io.WriterTo) (durable func() error, err error)
}

// CreateBatched is Create for one of many blobs whose durability nobody waits for one by one, such as a cache that fills: where the store can, those
// that are waited for at the same time share one sync.
func CreateBatched(ctx context.Context, store Store) (Writer, error) {
	if b := batcherOf(store); b != nil {
		return b.createBatched(ctx)
	}
	return store.Create(ctx)
}

// PutBatched is CreateBatched, Write and Commit for a blob that is there whole: none of it is waited for.
func PutBatched(ctx context.Context, store Store, key string, blob io.WriterTo) (durable func() error, err error) {
	if b := batcherOf(store); b != nil {
		return b.putBatched(ctx, key, blob)
	}
	return put(ctx, store, key, blob)
}

func put(ctx context.Context, store Store, key string, blob io.WriterTo) (durable func() error, err error) {
	w, err := CreateBatched(ctx, store)
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Cancel() }() // after a commit it does nothing
	if _, err := blob.WriteTo(w); err != nil {
		return nil, err
	}
	return w.Commit(ctx, key)
}

// batcherOf gives what is below a store and can do so; nil: nothing can.
func batcherOf(s Store) batcher {
	for {
		if b, ok := s.(batcher); ok {
			return b
		}
		u, ok := s.(interface{ Unwrap() Store })
		if !ok {
			return nil
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

// putBatched writes the file under its key at once, where nothing is yet. By way of incoming, all who write at the same time change that one folder, and
// wait for each other longer than they write. As after Commit, a crash may leave a file that is not whole under a key that the catalog does not name; who
// stores the blob again puts a whole one in its place. In a folder that other servers share, all go by way of incoming,
// so that no two have one file open.
func (f *Filesystem) putBatched(ctx context.Context, key string, blob io.WriterTo) (func() error, error) {
	if f.shared || !canSyncAll || !fs.ValidPath(key) {
		return put(ctx, f, key, blob)
	}
	file, err := createNew(f.self, key)
	if errors.Is(err, fs.ErrNotExist) && f.makeAll(path.Dir(key)) == nil {
		file, err = createNew(f.self, key)
	}
	if err != nil { // something is there, or somebody takes the folder away
		return put(ctx, f, key, blob)
	}
	if _, err := blob.WriteTo(file); err != nil {
		// Another may have put its own in this one's place, so no name is taken away: what is left is swept, and takes no room till then.
		return nil, diskFault(errors.Join(err, file.Truncate(0), file.Close()))
	}
	if err := file.Close(); err != nil {
		return nil, diskFault(err)
	}
	return f.batchedSync(), nil
}

// batchedSync gives what makes all durable that was written until now.
func (f *Filesystem) batchedSync() func() error {
	written := f.batches.begun.Load()
	return func() error { return diskFault(f.batches.after(written, f.syncAll)) }
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
	return w.store.batchedSync(), nil
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

	failed int64 // the last that did not, and why
	err    error
}

// after makes all durable that was written before the sync of a number began: the one after it, or any later one, does for that, as long as none has failed
// in between. The system tells once what it could not write, and forgets it: to sync again would go well.
func (b *batches) after(number int64, syncAll func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if number < b.failed {
		return b.err
	}
	if b.done > number {
		return nil
	}
	n := b.begun.Add(1)
	if err := syncAll(); err != nil {
		b.failed, b.err = n, err
		return err
	}
	b.done = n
	return nil
}
