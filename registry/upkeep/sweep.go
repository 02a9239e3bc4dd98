package upkeep

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/crateyard/crateyard/registry/storage"
)

// Marks are the keys that a sweep is about to delete. As long as a key is marked, no publish of it succeeds, so none can rely on
// bytes that are about to go.
type Marks interface {
	// MarkForSweep marks those of the keys that no version names, or only versions that were deleted before a time, and gives them.
	MarkForSweep(ctx context.Context, keys []string, deletedBefore time.Time) (marked []string, err error)
	// Marked gives the marks that are there.
	Marked(ctx context.Context) ([]string, error)
	// Unmark takes marks away: their blobs are gone.
	Unmark(ctx context.Context, keys []string) error
}

// MinSweepAge is the least age of what a sweep removes: an upload that is stored and not yet in the catalog must be over by then.
const MinSweepAge = time.Hour

// sweepBatch is how many blobs are marked in one transaction.
const sweepBatch = 100

// Sweeper removes blobs that no version names.
type Sweeper struct {
	Catalog   Blobs
	Marks     Marks
	Store     storage.Store
	Leases    Leases
	Holder    string        // see NewHolder
	OlderThan time.Duration // since a blob was stored, and since its version was deleted; at least MinSweepAge
	DryRun    bool
	// Each is called for each blob that is removed, or would be. Progress is called after each batch.
	Each     func(Swept)
	Progress func(SweepReport)
}

// Swept is a blob that a sweep removes.
type Swept struct {
	Key     string     `json:"key"`
	Size    int64      `json:"size"`
	Stored  time.Time  `json:"stored"`
	Deleted *time.Time `json:"deleted,omitempty"` // when its version was; nil: no version names it
}

// SweepReport counts what a sweep did.
type SweepReport struct {
	DryRun   bool  `json:"dryRun"`
	Seen     int64 `json:"seen"`     // blobs
	Removed  int64 `json:"removed"`  // or would be, in a dry run
	Bytes    int64 `json:"bytes"`    // of them
	Finished int64 `json:"finished"` // blobs that an interrupted sweep had marked
}

// Run sweeps once. It first ends what a sweep before it began.
func (s *Sweeper) Run(ctx context.Context) (rep SweepReport, err error) {
	rep.DryRun = s.DryRun
	if s.OlderThan < MinSweepAge {
		return rep, fmt.Errorf("a sweep must leave what is younger than %s: an upload may be on its way", MinSweepAge)
	}
	if s.DryRun {
		return rep, s.run(ctx, &rep)
	}
	err = Hold(ctx, s.Leases, BlobsLease, s.Holder, func(ctx context.Context) (err error) {
		if rep.Finished, err = s.finish(ctx); err != nil {
			return fmt.Errorf("end the last sweep: %w", err)
		}
		return s.run(ctx, &rep)
	})
	return rep, err
}

func (s *Sweeper) run(ctx context.Context, rep *SweepReport) error {
	before := time.Now().Add(-s.OlderThan)
	var found []Swept
	for p, err := range join(ctx, s.Catalog, s.Store, "") {
		if err != nil {
			return fmt.Errorf("list what is there: %w", err)
		}
		if p.info == nil {
			continue
		}
		rep.Seen++
		if b, ok := sweepable(p, before); ok {
			found = append(found, b)
		}
		if len(found) == sweepBatch {
			if err := s.remove(ctx, rep, found, before); err != nil {
				return err
			}
			found = found[:0]
		}
	}
	return s.remove(ctx, rep, found, before)
}

// sweepable reports whether a blob may go, as far as can be seen without asking the catalog again.
func sweepable(p pair, before time.Time) (Swept, bool) {
	_, _, _, ours := storage.ParseCrateKey(p.key)
	if !ours || p.info.Modified.After(before) {
		return Swept{}, false
	}
	b := Swept{Key: p.key, Size: p.info.Size, Stored: p.info.Modified}
	if p.ref != nil {
		b.Deleted = p.ref.DeletedAt
		return b, b.Deleted != nil && b.Deleted.Before(before)
	}
	return b, true
}

// remove marks blobs, deletes those that could be marked, and takes the marks away.
func (s *Sweeper) remove(ctx context.Context, rep *SweepReport, found []Swept, before time.Time) error {
	if len(found) == 0 {
		return nil
	}
	byKey := map[string]Swept{}
	keys := make([]string, 0, len(found))
	for _, b := range found {
		byKey[b.Key] = b
		keys = append(keys, b.Key)
	}
	if !s.DryRun {
		var err error
		if keys, err = s.Marks.MarkForSweep(ctx, keys, before); err != nil {
			return fmt.Errorf("mark for the sweep: %w", err)
		}
		if err := s.delete(ctx, keys, time.Now()); err != nil {
			return err
		}
	}
	for _, key := range keys {
		b := byKey[key]
		rep.Removed++
		rep.Bytes += b.Size
		if s.Each != nil {
			s.Each(b)
		}
	}
	if s.Progress != nil {
		s.Progress(*rep)
	}
	return nil
}

// markTime is how long after its marks were made a sweep may still delete: a process that stood still for longer leaves the rest to the
// next sweep, which may have come meanwhile and taken the marks away.
const markTime = leaseTime / 2

func (s *Sweeper) delete(ctx context.Context, keys []string, marked time.Time) error {
	for _, key := range keys {
		if time.Since(marked) > markTime {
			return fmt.Errorf("it took more than %s to delete %d blobs; the next sweep ends it", markTime, len(keys))
		}
		if err := s.Store.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
	}
	if err := s.Marks.Unmark(ctx, keys); err != nil {
		return fmt.Errorf("take the marks away: %w", err)
	}
	return nil
}

// finish deletes what a sweep had marked that did not come to its end. What is marked is nobody's: no publish of it could succeed.
func (s *Sweeper) finish(ctx context.Context) (int64, error) {
	keys, err := s.Marks.Marked(ctx)
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	for part := range slices.Chunk(keys, sweepBatch) {
		if err := s.delete(ctx, part, time.Now()); err != nil {
			return 0, err
		}
	}
	return int64(len(keys)), nil
}
