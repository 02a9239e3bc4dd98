package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep"
)

// Catalog is what a backup needs of the catalog.
type Catalog interface {
	upkeep.Blobs
	Mirrors
	// Dump writes the whole catalog as one transaction sees it.
	Dump(ctx context.Context, w io.Writer) error
}

// copyWorkers is how many blobs are copied at a time.
const copyWorkers = 4

// recheckIn is in how many days daily backups have read all blobs of their target again. Each day has a part of its own, which all backups of the day read.
const recheckIn = 30

// clockSlack is by how much the clocks of a server and of a backup may differ.
const clockSlack = 5 * time.Minute

// Progress is how far a backup or a restore is.
type Progress struct {
	Stage                         string // what is being done
	Blobs, Bytes, AllBlobs, AllIn int64  // done, and in all; AllIn is in bytes; 0: not known
}

// Creator makes backups.
type Creator struct {
	Catalog  Catalog
	Store    storage.Store // the registry's
	Target   storage.Store
	Leases   upkeep.Leases
	Holder   string // see upkeep.NewHolder
	Registry Registry
	Version  string // of this program
	Workers  int    // 0: 4
	Recheck  bool   // read again all that the target has, and not only a part of it
	Progress func(Progress)
}

// Create makes a backup. The registry may serve and publish meanwhile. Blobs that the storage cannot give are named in the manifest, which
// is there all the same: most of a registry is better than nothing.
func (c *Creator) Create(ctx context.Context) (m *Manifest, err error) {
	err = upkeep.Hold(ctx, c.Leases, upkeep.BlobsLease, c.Holder, func(ctx context.Context) error {
		m, err = c.create(ctx)
		return err
	})
	return m, err
}

func (c *Creator) create(ctx context.Context) (*Manifest, error) {
	begin := time.Now().UTC()
	m := &Manifest{Format: Format, Name: newName(begin), Version: c.Version, Registry: c.Registry, Started: begin.Truncate(time.Millisecond)}
	older, _, err := List(ctx, c.Target) // one that cannot be read is no reason to make none
	if err != nil {
		return nil, fmt.Errorf("read the backups that are there: %w", err)
	}
	if err := checkOwner(older, c.Registry); err != nil {
		return nil, err
	}
	if n := len(older); n > 0 && older[n-1].Started.After(begin.Add(clockSlack)) {
		return nil, fmt.Errorf("backup %s is of the future, so this one would count as older: a clock is or was wrong; set it right, and remove that backup", older[n-1].Name)
	}
	if err := claim(ctx, c.Target, c.Registry); err != nil {
		return nil, err
	}
	c.tell(Progress{Stage: "catalog"})
	if m.Catalog, err = writePart(ctx, c.Target, backups+m.Name+catalogName, func(w io.Writer) error { return c.Catalog.Dump(ctx, w) }); err != nil {
		return nil, fmt.Errorf("back up the catalog: %w", err)
	}
	if m.List, err = writePart(ctx, c.Target, backups+m.Name+listName, func(w io.Writer) error { return c.list(ctx, w, begin, m) }); err != nil {
		return nil, fmt.Errorf("list the blobs: %w", err)
	}
	if err := c.copyBlobs(ctx, m, older); err != nil {
		return nil, fmt.Errorf("back up the blobs: %w", err)
	}
	if m.Mirrors, err = mirrors(ctx, c.Catalog); err != nil {
		return nil, fmt.Errorf("look at the mirrors: %w", err)
	}
	m.Finished = time.Now().UTC().Truncate(time.Millisecond)
	return m, writeManifest(ctx, c.Target, m)
}

// claim makes the target that of one registry, and one instance of it: a copy that was restored elsewhere, which has the same id, must not prune the
// backups of the original.
func claim(ctx context.Context, target storage.Store, r Registry) error {
	err := storage.Claim(ctx, target, strings.TrimSpace("backups of "+cmp.Or(r.ID, r.Name)+" "+r.Instance), false)
	if foreign, ok := errors.AsType[*storage.ForeignError](err); ok {
		return fmt.Errorf("%w: the place belongs to %q, which is not this registry; those of this one go to another folder, bucket or prefix", ErrForeign, foreign.Owner)
	}
	return err
}

// ErrForeign is the error of a target that holds backups of somebody else.
var ErrForeign = errors.New("backups of another registry are there")

func checkOwner(list []*Manifest, r Registry) error {
	for _, m := range list {
		if !m.Registry.same(r) {
			return fmt.Errorf("%w, %s; those of this one go to another folder, bucket or prefix", ErrForeign, m.Registry.described())
		}
	}
	return nil
}

// list writes which blobs the backup names: those of all versions that were there when the catalog was read. Versions that came after that
// may be among them; nothing is wrong with too many.
func (c *Creator) list(ctx context.Context, w io.Writer, begin time.Time, m *Manifest) error {
	for r, err := range upkeep.Refs(ctx, c.Catalog, "") {
		if err != nil {
			return err
		}
		if r.DeletedAt != nil && r.DeletedAt.Before(begin.Add(-clockSlack)) {
			continue
		}
		m.Blobs++
		m.Bytes += r.Size
		if err := (item{upkeep.Key(r.CrateBlob), r.Size}).write(w); err != nil {
			return err
		}
	}
	return nil
}

// copyBlobs copies what the target lacks. What a backup that was cut off left there is read again before it is believed: nobody has
// said of it that it outlived a crash.
func (c *Creator) copyBlobs(ctx context.Context, m *Manifest, older []*Manifest) error {
	// Blobs stored before were part of a whole backup. They are taken at their word, but for a part that is read again each time: what was damaged
	// in its place is copied anew, and does not stay in all backups to come.
	var believed time.Time
	turn := uint32(time.Now().Unix()/int64((24*time.Hour).Seconds())) % recheckIn
	if len(older) > 0 {
		info, err := c.Target.Stat(ctx, backups+older[len(older)-1].Name+manifestName)
		if err != nil {
			return err
		}
		believed = info.Modified
	}
	var mu sync.Mutex
	p := Progress{Stage: "blobs", AllBlobs: m.Blobs, AllIn: m.Bytes}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(cmp.Or(c.Workers, copyWorkers))
	for want, err := range beside(gctx, c.Target, readList(gctx, c.Target, m.Name, m.List), blobs) {
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		g.Go(func() error {
			believed := believed
			if c.Recheck || crc32.ChecksumIEEE([]byte(want.key))%recheckIn == turn {
				believed = time.Time{}
			}
			copied, missing, err := c.copyBlob(gctx, want, believed)
			mu.Lock()
			defer mu.Unlock()
			p.Blobs++
			p.Bytes += want.size
			switch {
			case err != nil:
				return err
			case copied:
				m.CopiedBlobs++
				m.CopiedBytes += want.size
			case missing:
				m.MissingBlobs++
				if len(m.Missing) < maxMissing {
					m.Missing = append(m.Missing, want.key)
				}
			}
			c.tell(p)
			return nil
		})
	}
	err := g.Wait()
	slices.Sort(m.Missing)
	return err
}

// copyBlob brings one blob into the target, unless it is there.
func (c *Creator) copyBlob(ctx context.Context, want place, believed time.Time) (copied, missing bool, err error) {
	if ok, err := want.holds(ctx, c.Target, believed); ok || err != nil {
		return false, false, err
	}
	_, _, err = storage.Copy(ctx, c.Store, want.key, c.Target, blobs+want.key, want.sha256(), want.size)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, storage.ErrDigest) {
		return false, true, nil
	}
	return err == nil, false, err
}

func (c *Creator) tell(p Progress) {
	if c.Progress != nil {
		c.Progress(p)
	}
}

func writeManifest(ctx context.Context, target storage.Store, m *Manifest) (err error) {
	data, err := m.marshal()
	if err != nil {
		return err
	}
	w, err := target.Create(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Cancel()) }() // after a commit it does nothing
	if _, err := w.Write(data); err != nil {
		return err
	}
	durable, err := w.Commit(ctx, backups+m.Name+manifestName)
	if err != nil {
		return err
	}
	return durable()
}
