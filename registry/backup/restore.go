package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep"
)

// Loader is the catalog that a restore fills.
type Loader interface {
	Mirrors
	// Empty reports whether nothing was ever put into the catalog.
	Empty(ctx context.Context) (bool, error)
	// Loadable reads the beginning of what Dump wrote, and fails when Load would refuse it, whatever follows.
	Loadable(ctx context.Context, r io.Reader) error
	// Notes and SetNote keep texts that no dump has and no load changes.
	Notes(ctx context.Context) (map[string]string, error)
	SetNote(ctx context.Context, name, text string) error
	// Load fills the empty catalog with what Dump wrote, in one transaction: an error of the reader leaves it empty.
	Load(ctx context.Context, r io.Reader) error
}

// ErrNotEmpty is the error of a restore over a registry.
var ErrNotEmpty = errors.New("the target is not empty")

// Restorer brings a backup back into an empty registry.
type Restorer struct {
	Target  storage.Store // with the backups
	Catalog Loader
	Store   storage.Store // the registry's
	Leases  upkeep.Leases // of the registry: two restores at a time would take each other's blobs for half ones
	Holder  string        // see upkeep.NewHolder
	Workers int           // 0: 4
	// SkipDamaged restores the rest where the backup lacks an archive, or has other bytes than it says.
	SkipDamaged bool
	// Finish, if set, does what is left to do when all is there; as long as it has not gone well, the restore can be run again.
	Finish   func(ctx context.Context) error
	Progress func(Progress)
}

// Restored is what a restore did.
type Restored struct {
	Manifest *Manifest `json:"manifest"`
	Copied   int64     `json:"copied"`  // blobs
	Kept     int64     `json:"kept"`    // blobs that a restore before this one had brought
	Missing  []string  `json:"missing"` // versions without bytes: they were missing when the backup was made
	Damaged  []string  `json:"damaged"` // versions without bytes: the backup's are gone or wrong
	// Mirrors are those that came back without what they had cached, or without the token for their upstream.
	Mirrors []EmptiedMirror `json:"mirrors"`
}

// Restore brings back the backup of a name, or the newest. It refuses a catalog that is not empty, and a storage that has blobs which the
// backup does not name. What a restore before it has copied is read again and kept, and a catalog that it has filled is kept, too, where it was of the same backup
// and did not come to its end.
func (r *Restorer) Restore(ctx context.Context, name string) (out *Restored, err error) {
	err = upkeep.Hold(ctx, r.Leases, upkeep.BlobsLease, r.Holder, func(ctx context.Context) error {
		out, err = r.restore(ctx, name)
		return err
	})
	return out, err
}

func (r *Restorer) restore(ctx context.Context, name string) (*Restored, error) {
	m, err := ReadManifest(ctx, r.Target, name)
	if err != nil {
		return nil, err
	}
	filled, err := r.begun(ctx, m.Name)
	if err != nil {
		return nil, err
	}
	// The catalog is read once before anything is copied: a backup that cannot be restored shall not take an hour to say so.
	if err := readPart(ctx, r.Target, backups+m.Name+catalogName, m.Catalog, func(rd io.Reader) error {
		if err := r.Catalog.Loadable(ctx, rd); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, rd)
		return err
	}); err != nil {
		return nil, fmt.Errorf("the catalog of backup %s: %w", m.Name, err)
	}
	if err := r.checkStorage(ctx, m); err != nil {
		return nil, err
	}
	out := &Restored{Manifest: m, Missing: []string{}, Damaged: []string{}, Mirrors: []EmptiedMirror{}}
	if err := r.copyBlobs(ctx, m, out); err != nil {
		return nil, fmt.Errorf("restore the blobs: %w", err)
	}
	r.tell(Progress{Stage: "catalog", Blobs: m.Blobs, Bytes: m.Bytes, AllBlobs: m.Blobs, AllIn: m.Bytes})
	if !filled {
		err = r.Catalog.SetNote(ctx, restoring, m.Name)
		if err == nil {
			err = readPart(ctx, r.Target, backups+m.Name+catalogName, m.Catalog, func(rd io.Reader) error { return r.Catalog.Load(ctx, rd) })
			if err != nil {
				err = errors.Join(err, r.endUnfilled(ctx))
			}
		}
		if err != nil {
			return nil, fmt.Errorf("restore the catalog: %w", err)
		}
	}
	if out.Mirrors, err = emptied(ctx, r.Catalog, m.Mirrors); err != nil {
		return nil, fmt.Errorf("all is restored, but what mirrors lack cannot be told: %w", err)
	}
	if r.Finish != nil {
		if err := r.Finish(ctx); err != nil {
			return nil, err
		}
	}
	return out, r.Catalog.SetNote(ctx, restoring, doneWith+m.Name)
}

const (
	// restoring is the note that names the backup which fills the catalog, from before that until the registry is served.
	restoring = "restoring"
	// doneWith stands before the name when all is done: nobody may have heard of it, where the restore was killed then.
	doneWith = "done "
)

// endUnfilled is EndRestore where a load that failed has left the catalog empty, as it does unless only its answer was lost: else whatever fills the
// catalog later would be taken for the backup.
func (r *Restorer) endUnfilled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	empty, err := r.Catalog.Empty(ctx)
	if err != nil || !empty {
		return err
	}
	return EndRestore(ctx, r.Catalog)
}

// endTime is how long a restore that failed, or was interrupted, takes for what it has to leave in order.
const endTime = 10 * time.Second

// EndRestore forgets a restore, and lets none go on any more that was cut off behind its catalog: the registry is served, or the catalog is filled from
// elsewhere.
func EndRestore(ctx context.Context, c interface {
	Notes(ctx context.Context) (map[string]string, error)
	SetNote(ctx context.Context, name, text string) error
}) error {
	notes, err := c.Notes(ctx)
	if err != nil || notes[restoring] == "" {
		return err
	}
	return c.SetNote(ctx, restoring, "")
}

// begun reports whether the catalog is filled already, by a restore of the same backup that was cut off. Any other catalog must be empty.
func (r *Restorer) begun(ctx context.Context, name string) (bool, error) {
	empty, err := r.Catalog.Empty(ctx)
	if err != nil || empty {
		return false, err
	}
	notes, err := r.Catalog.Notes(ctx)
	switch was := notes[restoring]; {
	case err != nil:
		return false, err
	case was == name:
		return true, nil
	case strings.HasPrefix(was, doneWith):
		return false, fmt.Errorf("%w: backup %s was restored into it, to its end, and nothing is left to do but to start its server; to restore again, do it into a new folder or database",
			ErrNotEmpty, strings.TrimPrefix(was, doneWith))
	case was != "":
		return false, fmt.Errorf("%w: a restore of backup %s filled the catalog and was cut off; run that again, by its name, or restore into a new folder or database", ErrNotEmpty, was)
	}
	return false, fmt.Errorf("%w: the catalog has users or crates; restore into a new folder or database", ErrNotEmpty)
}

// others are the other places of a storage, or of a target, where something of somebody's may lie.
var others = []string{storage.MirrorsPrefix, upkeep.Quarantine, backups, blobs}

// checkStorage refuses a storage with blobs of somebody else.
func (r *Restorer) checkStorage(ctx context.Context, m *Manifest) error {
	for _, place := range others {
		for info, err := range r.Store.List(ctx, place, "") {
			if err != nil {
				return err
			}
			return fmt.Errorf("%w: the storage has %s; restore into an empty folder, bucket or prefix", ErrNotEmpty, info.Key)
		}
	}
	next, stop := iter.Pull2(readList(ctx, r.Target, m.Name, m.List))
	defer stop()
	want, err, more := next()
	for info, ierr := range r.Store.List(ctx, crates, "") {
		if ierr != nil {
			return ierr
		}
		for more && err == nil && want.key < info.Key {
			want, err, more = next()
		}
		if err != nil {
			return err
		}
		if !more || want.key != info.Key {
			return fmt.Errorf("%w: the storage has %s, which the backup does not name; restore into an empty folder, bucket or prefix", ErrNotEmpty, info.Key)
		}
	}
	for more && err == nil { // to its end, where the digest is compared
		_, err, more = next()
	}
	return err
}

func (r *Restorer) copyBlobs(ctx context.Context, m *Manifest, out *Restored) error {
	var mu sync.Mutex
	p := Progress{Stage: "blobs", AllBlobs: m.Blobs, AllIn: m.Bytes}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(cmp.Or(r.Workers, copyWorkers))
	for want, err := range beside(gctx, r.Store, readList(gctx, r.Target, m.Name, m.List), "") {
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		g.Go(func() error {
			kept, err := want.holds(gctx, r.Store, time.Time{})
			if err == nil && !kept {
				_, _, err = storage.Copy(gctx, r.Target, blobs+want.key, r.Store, want.key, want.sha256(), want.size)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil && gctx.Err() == nil && slices.Contains(m.Missing, want.key) {
				out.Missing, err = append(out.Missing, want.key), nil
			} else if damaged := errors.Is(err, fs.ErrNotExist) || errors.Is(err, storage.ErrDigest); damaged && r.SkipDamaged {
				out.Damaged, err = append(out.Damaged, want.key), nil
			} else if damaged {
				err = fmt.Errorf("%w: the backup does not have %s as it says. Restore another backup, or say --skip-damaged to restore the rest", err, want.key)
			} else if kept {
				out.Kept++
			} else {
				out.Copied++
			}
			p.Blobs++
			p.Bytes += want.size
			r.tell(p)
			return err
		})
	}
	err := g.Wait()
	slices.Sort(out.Missing)
	slices.Sort(out.Damaged)
	return err
}

func (r *Restorer) tell(p Progress) {
	if r.Progress != nil {
		r.Progress(p)
	}
}

// SourcePrefix is where the blobs of a target lie, for upkeep.Source.
const SourcePrefix = blobs
