package backup

import (
	"context"
	"iter"
	"time"

	"github.com/crateyard/crateyard/registry/storage"
)

// place is a blob that is wanted in a store, and what the store has there.
type place struct {
	item
	at   string        // key in the store
	info *storage.Info // nil: nothing
}

// beside walks a list of blobs and what a store has at prefix, both in the order of their keys, and gives each blob of the list.
func beside(ctx context.Context, s storage.Store, list iter.Seq2[item, error], prefix string) iter.Seq2[place, error] {
	return func(yield func(place, error) bool) {
		next, stop := iter.Pull2(s.List(ctx, prefix+crates, ""))
		defer stop()
		info, err, more := next()
		for want, lerr := range list {
			if lerr != nil {
				yield(place{}, lerr)
				return
			}
			p := place{item: want, at: prefix + want.key}
			for more && err == nil && info.Key < p.at {
				info, err, more = next()
			}
			if err != nil {
				yield(place{}, err)
				return
			}
			if more && info.Key == p.at {
				p.info = &storage.Info{Key: info.Key, Size: info.Size, Modified: info.Modified}
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// holds reports whether the store has the right bytes at a place. What was stored before believed is taken at its word, by its size. Wrong
// bytes are removed: they are a copy that came to nothing, and a store may keep what it has under a key that is written again.
func (p place) holds(ctx context.Context, s storage.Store, believed time.Time) (bool, error) {
	if p.info == nil {
		return false, nil
	}
	if p.info.Size == p.size {
		if p.info.Modified.Before(believed) {
			return true, nil
		}
		sum, n, err := storage.Digest(ctx, s, p.at, nil)
		if err != nil || sum == p.sha256() && n == p.size {
			return err == nil, err
		}
	}
	return false, s.Delete(ctx, p.at)
}
