package mirror

import (
	"context"
	"errors"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/storage"
)

// waiting is what a bundle brings, until it is known that the bundle is whole and unaltered.
type waiting struct {
	m      *Mirror
	files  *spool // the index files, one after the other
	index  []waitingFile
	crates []storing
}

type waitingFile struct {
	row  catalog.MirrorIndexFile // without the file
	from int64
	size int
}

func (w *waiting) file(row catalog.MirrorIndexFile) error {
	w.index = append(w.index, waitingFile{row, w.files.size, len(row.File)})
	file := row.File
	w.index[len(w.index)-1].row.File = nil
	return w.files.append(file)
}

// keep notes all of it.
func (w *waiting) keep() error {
	for _, f := range w.index {
		f.row.File = make([]byte, f.size)
		if _, err := w.files.ReadAt(f.row.File, f.from); err != nil {
			return err
		}
		w.m.writer.index(w.m.Row.ID, f.row)
	}
	for _, c := range w.crates {
		w.m.writer.crate(c.id, c.crate, c.durable)
		w.m.crates.Set(w.m.fetchKey(c.crate.Name, c.crate.Num), &c.crate)
	}
	return nil
}

// drop removes the archives that were written, but for those that somebody has fetched meanwhile. Of other servers that share the storage it is not known
// what they fetch: there what nobody names is left to the sweep.
func (w *waiting) drop(ctx context.Context) error {
	if w.m.Shared {
		return nil
	}
	w.m.writer.settled(ctx)
	var errs []error
	for _, c := range w.crates {
		errs = append(errs, w.dropOne(ctx, c.crate))
	}
	return errors.Join(errs...)
}

func (w *waiting) dropOne(ctx context.Context, c catalog.MirrorCrate) error {
	w.m.mu.Lock() // no fetch begins meanwhile
	defer w.m.mu.Unlock()
	key := w.m.fetchKey(c.Name, c.Num)
	if _, stored := w.m.crates.GetIfPresent(key); stored || w.m.fetches[key] != nil {
		return nil
	}
	known, err := w.m.Catalog.MirrorCrate(ctx, w.m.Row.ID, c.Name, c.Num)
	if err != nil || known != nil {
		return err
	}
	return w.m.Store.Delete(ctx, storage.MirrorKey(w.m.Name(), c.Name, c.Num, c.SHA256))
}
