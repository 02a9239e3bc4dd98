package upkeep

import (
	"context"
	"errors"
	"iter"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/storage"
)

// prefix is where the archives of crates lie: see storage.CrateKey.
const prefix = "crates/"

// segment is how many versions are read from the catalog in one go, some 10 MiB of them: reading digests takes hours, and a
// transaction that is as long would keep the database from cleaning up behind its writers.
var segment = 50_000

// Refs gives one Ref for each key that the catalog names, in the order of the keys, from behind the key after on. A key that several versions
// name (a crate that was deleted and published again) comes once: not deleted if one of them is not, else with the last deletion.
func Refs(ctx context.Context, c Blobs, after string) iter.Seq2[Ref, error] {
	return func(yield func(Ref, error) bool) {
		var from catalog.CrateBlob
		if name, num, sum, ok := storage.ParseCrateKey(after); ok { // else all before it is passed over below
			from = catalog.CrateBlob{Crate: name, Num: num, SHA256: sum}
		}
		for full := true; full; {
			var part []Ref
			full = false
			for r, err := range c.BlobsAfter(ctx, from) {
				if err != nil {
					yield(Ref{}, err)
					return
				}
				if n := len(part); n > 0 && part[n-1].CrateBlob == r.CrateBlob {
					part[n-1] = merge(part[n-1], r)
					continue
				}
				if full = len(part) == segment; full {
					break
				}
				part = append(part, r)
			}
			for _, r := range part {
				if Key(r.CrateBlob) > after && !yield(r, nil) {
					return
				}
				from = r.CrateBlob
			}
		}
	}
}

func merge(a, b Ref) Ref {
	if a.DeletedAt != nil && (b.DeletedAt == nil || b.DeletedAt.After(*a.DeletedAt)) {
		return b
	}
	return a
}

// pair is a key with what each side has of it; not both are nil.
type pair struct {
	key  string
	ref  *Ref          // nil: the catalog does not name it
	info *storage.Info // nil: the storage does not have it
}

// join walks catalog and storage side by side, from the key after on.
func join(ctx context.Context, c Blobs, s storage.Store, after string) iter.Seq2[pair, error] {
	return func(yield func(pair, error) bool) {
		refs, infos := newPuller(Refs(ctx, c, after)), newPuller(s.List(ctx, prefix, after))
		defer refs.stop()
		defer infos.stop()
		for {
			if err := errors.Join(refs.err, infos.err); err != nil {
				yield(pair{}, err)
				return
			}
			p := pair{ref: refs.head, info: infos.head}
			named := ""
			if p.ref != nil {
				named = Key(p.ref.CrateBlob)
			}
			switch {
			case p.ref == nil && p.info == nil:
				return
			case p.ref == nil || p.info != nil && p.info.Key < named:
				p.key, p.ref = p.info.Key, nil
				infos.step()
			case p.info == nil || named < p.info.Key:
				p.key, p.info = named, nil
				refs.step()
			default:
				p.key = p.info.Key
				refs.step()
				infos.step()
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// puller is a sequence whose next value can be looked at.
type puller[T any] struct {
	head *T // nil: at its end
	err  error
	next func() (T, error, bool)
	stop func()
}

func newPuller[T any](seq iter.Seq2[T, error]) *puller[T] {
	p := &puller[T]{}
	p.next, p.stop = iter.Pull2(seq)
	p.step()
	return p
}

func (p *puller[T]) step() {
	p.head = nil
	if v, err, ok := p.next(); ok {
		p.head, p.err = &v, err
	}
}
