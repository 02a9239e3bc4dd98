package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep"
)

const (
	retainEvery = time.Hour
	// orphanAge is how old an archive must be that the catalog does not know before it is removed: it may be about to be noted.
	orphanAge = 24 * time.Hour
	// evictBatch is how many archives are chosen in one go.
	evictBatch = 500
	// askEvery and askAfter are how many archives are removed, and for how long, before MaySweep is asked again.
	askEvery = 100
	askAfter = time.Minute
)

// retain removes what a mirror no longer keeps: what was not used for too long, and then the least recently used until the rest fits.
// What a lockfile names stays, whether a sync has pinned it or not: it may not have run yet, or upstream be away. It reports how many archives went.
func (m *Mirror) retain(ctx context.Context) (removed int64, err error) {
	r := m.Spec.Retention
	if r.MaxSize == 0 && r.UnusedFor == 0 {
		return 0, nil
	}
	m.writer.settled(ctx)
	n, err := m.Catalog.CountMirror(ctx, m.Row.ID)
	if err != nil {
		return 0, err
	}
	var before time.Time
	if r.UnusedFor > 0 {
		before = time.Now().Add(-time.Duration(r.UnusedFor))
	}
	over := int64(0)
	if r.MaxSize > 0 {
		over = n.Bytes - r.MaxSize
	}
	for {
		kept, err := m.locked(ctx)
		if err != nil || kept == nil {
			return removed, err
		}
		chosen, err := m.choose(ctx, before, over, kept)
		if err != nil || len(chosen) == 0 {
			return removed, err
		}
		for _, row := range chosen {
			gone, err := m.evict(ctx, m.Row.Generation, row) // a lockfile that comes meanwhile makes another one
			if err != nil {
				return removed, err
			}
			if gone {
				removed++
				m.Metrics.Evicted(m.Name(), row.Size)
			}
			over -= row.Size // one that was just used is not to be chosen again, either
		}
		if len(chosen) < evictBatch {
			return removed, nil
		}
	}
}

// locked gives what the mirror's lockfiles name, as NAME@VERSION; nil: the mirror is another one by now, with other lockfiles maybe.
func (m *Mirror) locked(ctx context.Context) (map[string]bool, error) {
	wants, err := m.wants(ctx)
	if err != nil {
		return nil, err
	}
	row, err := m.Catalog.Mirror(ctx, m.Name())
	if fault.KindOf(err) == fault.NotFound || err == nil && (row.ID != m.Row.ID || row.Generation != m.Row.Generation) {
		return nil, nil
	}
	names := map[string]bool{}
	for _, l := range wants.Lockfiles {
		for _, p := range l.Packages {
			names[p.Name+"@"+p.Version] = true
		}
	}
	return names, err
}

// choose gives some archives that are to go, the least recently used first: those not used since before, and as many more as have over bytes. Those that are
// kept are not among them.
func (m *Mirror) choose(ctx context.Context, before time.Time, over int64, kept map[string]bool) (chosen []catalog.MirrorCrate, err error) {
	for row, err := range m.Catalog.MirrorCrates(ctx, m.Row.ID) {
		if err != nil {
			return nil, err
		}
		unused := !before.IsZero() && row.UsedAt.Before(before)
		if !unused && over <= 0 || len(chosen) == evictBatch {
			break
		}
		if row.Pinned == catalog.PinnedByLockfile || kept[row.Name+"@"+row.Num] || row.Pinned == catalog.PinnedByList && m.Spec.Retention.KeepPinned {
			continue
		}
		chosen = append(chosen, row)
		over -= row.Size
	}
	return chosen, nil
}

// removeUnknown removes the archives below a prefix that the catalog does not know and that are older than age: what crashes left, and what
// belonged to a mirror that is gone. may is asked before each batch of them; nil: nobody is.
func (m *Manager) removeUnknown(ctx context.Context, prefix string, age time.Duration, may func(context.Context) error) error {
	ids := map[string]int64{} // of mirrors; 0: there is none
	rows, err := m.Catalog.Mirrors(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		ids[row.Name] = row.ID
	}
	var asked time.Time
	removed := 0
	for info, err := range m.Store.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		if time.Since(info.Modified) < age {
			continue
		}
		if mirror, name, num, sum := storage.ParseMirrorKey(info.Key); ids[mirror] != 0 {
			known, err := m.Catalog.MirrorCrate(ctx, ids[mirror], name, num)
			if err != nil {
				return err
			}
			if known != nil && known.SHA256 == sum {
				continue
			}
		}
		if may != nil && (removed%askEvery == 0 || time.Since(asked) > askAfter) {
			if err := may(ctx); err != nil {
				return err
			}
			asked = time.Now()
		}
		if err := m.Store.Delete(ctx, info.Key); err != nil {
			return err
		}
		removed++
	}
	return nil
}

// clean has one server of several do the retention of all mirrors, and remove what crashes and deleted mirrors left in the storage.
func (m *Manager) clean(ctx context.Context) error {
	err := upkeep.Hold(ctx, m.Catalog, "mirrors/retention", m.Holder, func(ctx context.Context) error {
		var errs []error
		for name, mirror := range m.all() {
			removed, err := mirror.retain(ctx)
			if err != nil {
				errs = append(errs, fmt.Errorf("mirror %s: %w", name, err))
			}
			if removed > 0 {
				m.Log.Info("Removed archives of a mirror", "mirror", name, "archives", removed)
				mirror.epoch.Add(1)
			}
		}
		return errors.Join(errs...)
	})
	if errors.Is(err, upkeep.ErrHeld) {
		return nil
	}
	return err
}

// sweep removes what the catalog does not know of: see removeUnknown. It does not begin where the catalog may be older than the storage: what a
// bundle brought, or what upstream has deleted, may be nowhere else.
func (m *Manager) sweep(ctx context.Context) error {
	err := upkeep.Hold(ctx, m.Catalog, "mirrors/sweep", m.Holder, func(ctx context.Context) error {
		if m.MaySweep != nil {
			if err := m.MaySweep(ctx); err != nil {
				return err
			}
		}
		var errs []error
		for name, mirror := range m.all() {
			if err := mirror.adoptRest(ctx); err != nil {
				errs = append(errs, fmt.Errorf("mirror %s: %w", name, err))
			}
		}
		return errors.Join(append(errs, m.removeUnknown(ctx, storage.MirrorsPrefix, orphanAge, m.MaySweep))...)
	})
	if errors.Is(err, upkeep.ErrHeld) {
		return nil
	}
	return err
}
