package mirror

import (
	"context"
	"errors"
	"slices"

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

// keepBytes is how much of index files is written in one transaction, and keepMost how many rows.
const (
	keepBytes = writeMost
	keepMost  = 1000
)

// keep notes all of it, archives first, which are durable then; it gives an error where storage or catalog did not take it all.
func (w *waiting) keep(ctx context.Context) error {
	id := w.m.Row.ID
	for _, c := range w.crates {
		if err := c.durable(); err != nil {
			return err
		}
	}
	w.m.writer.settled(ctx) // what was asked of upstream before is older than what the bundle has
	var rows []catalog.MirrorIndexFile
	bytes := 0
	for n, f := range w.index {
		f.row.File = make([]byte, f.size)
		if _, err := w.files.ReadAt(f.row.File, f.from); err != nil {
			return err
		}
		rows, bytes = append(rows, f.row), bytes+f.size
		if n+1 < len(w.index) && bytes < keepBytes && len(rows) < keepMost {
			continue
		}
		if err := w.m.Catalog.WriteMirrors(ctx, &catalog.MirrorWrites{Index: map[int64][]catalog.MirrorIndexFile{id: rows}}); err != nil {
			return err
		}
		rows, bytes = nil, 0
	}
	for some := range slices.Chunk(w.crates, keepMost) {
		var rows []catalog.MirrorCrate
		for _, c := range some {
			rows = append(rows, c.crate)
		}
		if err := w.m.Catalog.WriteMirrors(ctx, &catalog.MirrorWrites{Crates: map[int64][]catalog.MirrorCrate{id: rows}}); err != nil {
			return err
		}
		for _, row := range rows {
			w.m.crates.Set(w.m.fetchKey(row.Name, row.Num), &row)
		}
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
