package upkeep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/storage"
)

// Marks are the blobs that a sweep is about to delete. As long as a blob is marked, no publish of it succeeds, so none can rely on
// bytes that are about to go.
type Marks interface {
	// MarkForSweep marks those of the blobs that no undeleted version names, and gives them, those that were marked before included.
	MarkForSweep(ctx context.Context, blobs []catalog.CrateBlob) ([]catalog.Marked, error)
	// Swept gives the marks that are there.
	Swept(ctx context.Context) ([]catalog.CrateBlob, error)
	// Unmark takes marks away: the blobs are gone, or stay after all.
	Unmark(ctx context.Context, blobs []catalog.CrateBlob) error
}

// MinSweepAge is the least age of what a sweep removes: an upload that is stored and not yet in the catalog must be over by then.
const MinSweepAge = time.Hour

// sweepBatch is how many blobs are marked in one transaction.
const sweepBatch = 100

// Sweeper removes blobs that no version names.
type Sweeper struct {
	Catalog interface {
		Blobs
		Counted
	}
	Marks  Marks
	Store  storage.Store
	Leases Leases
	Holder string // see NewHolder
	// Owns is asked before anything is removed, and again with each batch, whether the store is still the catalog's, and the catalog no older than the
	// store; nil: nobody is asked. No force changes what it says. Where it refuses, no blob stays marked.
	Owns      func(ctx context.Context) error
	OlderThan time.Duration // since a blob was stored, and since its version was deleted; at least MinSweepAge
	DryRun    bool
	Force     bool // remove however much no version names
	// Each is called for each blob that is removed, or would be. Progress is called after each batch.
	Each     func(Swept)
	Progress func(SweepReport)
	// Grace is how long the marks stay after the last blob is deleted; 0: a minute. See unmark.
	Grace time.Duration

	census  *catalog.Census
	gone    []catalog.CrateBlob // deleted, and still marked
	deleted time.Time           // when the last of them was
}

// Swept is a blob that a sweep removes.
type Swept struct {
	Key     string     `json:"key"`
	Size    int64      `json:"size"`
	Stored  time.Time  `json:"stored"`
	Deleted *time.Time `json:"deleted,omitempty"` // when its version was; nil: no version names it

	blob catalog.CrateBlob
}

// SweepReport counts what a sweep did.
type SweepReport struct {
	DryRun   bool   `json:"dryRun"`
	Seen     int64  `json:"seen"`              // blobs
	Removed  int64  `json:"removed"`           // or would be, in a dry run
	Bytes    int64  `json:"bytes"`             // of them
	Finished int64  `json:"finished"`          // blobs that an interrupted sweep had marked
	Refused  string `json:"refused,omitempty"` // of a dry run: why a sweep would remove nothing
	Spared   int64  `json:"spared"`            // blobs of crates of which the catalog has lost versions: they may be of these
}

// Run sweeps once. It first ends what a sweep before it began.
func (s *Sweeper) Run(ctx context.Context) (rep SweepReport, err error) {
	rep.DryRun = s.DryRun
	if s.OlderThan < MinSweepAge {
		return rep, fmt.Errorf("a sweep must leave what is younger than %s: an upload may be on its way", MinSweepAge)
	}
	before := time.Now().Add(-s.OlderThan)
	if s.census, err = s.Catalog.Census(ctx); err != nil {
		return rep, fmt.Errorf("ask what is lost: %w", err)
	}
	if s.DryRun {
		if err := s.plausible(ctx, before); err != nil {
			if ctx.Err() != nil {
				return rep, err
			}
			rep.Refused = Clean(err)
		}
		return rep, s.run(ctx, &rep, before)
	}
	s.gone = nil
	err = Hold(ctx, s.Leases, BlobsLease, s.Holder, func(ctx context.Context) error {
		err := s.all(ctx, &rep, before)
		if _, refused := errors.AsType[*refusedError](err); refused {
			if rerr := s.release(ctx); rerr != nil {
				return errors.Join(err, rerr)
			}
		}
		return err
	})
	return rep, err
}

func (s *Sweeper) all(ctx context.Context, rep *SweepReport, before time.Time) error {
	if err := s.plausible(ctx, before); err != nil {
		return err
	}
	if err := s.finish(ctx, rep, before); err != nil {
		return fmt.Errorf("end the last sweep: %w", err)
	}
	if err := s.run(ctx, rep, before); err != nil {
		return err
	}
	return s.unmark(ctx)
}

// refusedError is what Owns said.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

func (s *Sweeper) owns(ctx context.Context) error {
	if s.Owns == nil {
		return nil
	}
	if err := s.Owns(ctx); err != nil {
		return &refusedError{err}
	}
	return nil
}

// release takes all marks away, those too that a sweep before had left: of a catalog that was set back they say nothing, what they name could not be
// brought back, and the first sweep that is allowed again would remove it.
func (s *Sweeper) release(ctx context.Context) error {
	if err := s.unmark(ctx); err != nil {
		return err
	}
	left, err := s.Marks.Swept(ctx)
	if err != nil {
		return fmt.Errorf("ask what is marked: %w", err)
	}
	return s.unmarkAll(ctx, left)
}

// What a sweep takes for rubbish without being told to: some uploads that failed, and not a part of the registry.
const (
	fewUnnamed   = 100
	unnamedShare = 20 // one in so many
	fewAlone     = 10 // where no archive is named at all: uploads that failed before the first that did not
)

// plausible refuses to begin where the catalog seems not to be the one that the blobs belong to: it is another's, or was lost, or set back to
// an earlier time, and then knows nothing of blobs that it named once.
func (s *Sweeper) plausible(ctx context.Context, before time.Time) error {
	if err := s.owns(ctx); err != nil {
		return err
	}
	if s.Force {
		return nil
	}
	var named, unnamed int64
	var oldest time.Time
	for p, err := range join(ctx, s.Catalog, s.Store, "") {
		switch {
		case err != nil:
			return fmt.Errorf("list what is there: %w", err)
		case p.info == nil:
		case p.ref != nil:
			named++
		default:
			if _, ok := sweepable(p, before); ok {
				if unnamed++; unnamed == 1 || p.info.Modified.Before(oldest) {
					oldest = p.info.Modified
				}
			}
		}
	}
	if unnamed > fewUnnamed && unnamed > named/unnamedShare || named == 0 && unnamed > 0 && !s.alone(ctx, unnamed, oldest) {
		return fmt.Errorf("%d archives are named by no version, and %d are: the catalog may be empty, another's, or older than the archives. Nothing was removed; "+
			"look with `crateyard sweep --dry-run`, and if they are rubbish, run `crateyard sweep --force`", unnamed, named)
	}
	return nil
}

// alone reports whether archives may go although the catalog names none: they are a handful, and came when the storage was already this
// registry's. What is older is of a registry whose storage was taken over.
func (s *Sweeper) alone(ctx context.Context, unnamed int64, oldest time.Time) bool {
	if s.Owns == nil || unnamed > fewAlone || len(s.census.Lost) > 0 {
		return false
	}
	claimed, err := storage.ClaimedAt(ctx, s.Store)
	return err == nil && oldest.After(claimed)
}

func (s *Sweeper) run(ctx context.Context, rep *SweepReport, before time.Time) error {
	var found []Swept
	for p, err := range join(ctx, s.Catalog, s.Store, "") {
		if err != nil {
			return fmt.Errorf("list what is there: %w", err)
		}
		if p.info == nil {
			continue
		}
		rep.Seen++
		switch b, ok := sweepable(p, before); {
		case ok && s.spares(b.blob, b.Deleted):
			rep.Spared++
		case ok:
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
	name, num, sum, ours := storage.ParseCrateKey(p.key)
	if !ours || p.info.Modified.After(before) {
		return Swept{}, false
	}
	b := Swept{Key: p.key, Size: p.info.Size, Stored: p.info.Modified, blob: catalog.CrateBlob{Crate: name, Num: num, SHA256: sum}}
	if p.ref != nil {
		b.Deleted = p.ref.DeletedAt
		return b, b.Deleted != nil && b.Deleted.Before(before)
	}
	return b, true
}

// spares reports whether a blob may be of a version that was deleted by nobody and is gone from the catalog: then it may be the last copy.
// No force changes that: the catalog must be mended first.
func (s *Sweeper) spares(b catalog.CrateBlob, deleted *time.Time) bool {
	return deleted == nil && s.census.Lost[b.Crate] > 0
}

// remove deletes blobs that may go, unless the catalog says otherwise now.
func (s *Sweeper) remove(ctx context.Context, rep *SweepReport, found []Swept, before time.Time) error {
	if len(found) == 0 {
		return nil
	}
	went := map[string]bool{}
	if !s.DryRun {
		blobs := make([]catalog.CrateBlob, 0, len(found))
		for _, b := range found {
			blobs = append(blobs, b.blob)
		}
		gone, err := s.delete(ctx, blobs, before)
		if err != nil {
			return err
		}
		for _, b := range gone {
			went[Key(b)] = true
		}
	}
	for _, b := range found {
		if !s.DryRun && !went[b.Key] {
			continue
		}
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

// delete marks blobs and deletes those that could be marked and whose versions were deleted long enough ago. It gives these.
func (s *Sweeper) delete(ctx context.Context, blobs []catalog.CrateBlob, before time.Time) (gone []catalog.CrateBlob, err error) {
	if err := s.owns(ctx); err != nil {
		return nil, err
	}
	begin := time.Now()
	marked, err := s.Marks.MarkForSweep(ctx, blobs)
	if err != nil {
		return nil, fmt.Errorf("mark for the sweep: %w", err)
	}
	if err := s.owns(ctx); err != nil { // the catalog that marked them may be another than the one before
		return nil, err
	}
	if unnamed := unnamed(marked); len(unnamed) > 0 {
		if err := s.census.Again(ctx, unnamed); err != nil { // rows may be gone since, and now they are not asked for any more
			return nil, fmt.Errorf("ask what is lost: %w", err)
		}
	}
	var stay []catalog.CrateBlob
	for _, m := range marked {
		if m.DeletedAt != nil && !m.DeletedAt.Before(before) || s.spares(m.CrateBlob, m.DeletedAt) {
			stay = append(stay, m.CrateBlob)
			continue
		}
		if time.Since(begin) > markTime {
			return nil, fmt.Errorf("it took more than %s to delete %d archives; the next sweep ends it", markTime, len(marked))
		}
		if err := s.Store.Delete(ctx, Key(m.CrateBlob)); err != nil {
			return nil, fmt.Errorf("delete %s: %w", Key(m.CrateBlob), err)
		}
		gone, s.deleted = append(gone, m.CrateBlob), time.Now()
	}
	s.gone = append(s.gone, gone...)
	if len(stay) > 0 {
		err = s.Marks.Unmark(ctx, stay)
	}
	return gone, err
}

// unnamed gives the crates of marked blobs that no version ever named, as far as the catalog knows.
func unnamed(marked []catalog.Marked) (crates []string) {
	for _, m := range marked {
		if m.DeletedAt == nil {
			crates = append(crates, m.Crate)
		}
	}
	slices.Sort(crates)
	return slices.Compact(crates)
}

// finish deletes what a sweep had marked that did not come to its end.
func (s *Sweeper) finish(ctx context.Context, rep *SweepReport, before time.Time) error {
	blobs, err := s.Marks.Swept(ctx)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(blobs, sweepBatch) {
		gone, err := s.delete(ctx, part, before)
		if err != nil {
			return err
		}
		rep.Finished += int64(len(gone))
	}
	return nil
}

// unmark takes the marks away, a while after the blobs went. A publish that stored the same bytes right before they were deleted has not
// asked the catalog yet: it must find the mark, be refused, and store them again. It asks within moments.
func (s *Sweeper) unmark(ctx context.Context) error {
	if len(s.gone) == 0 {
		return nil
	}
	if err := sleep(ctx, cmp.Or(s.Grace, time.Minute)-time.Since(s.deleted)); err != nil {
		return err
	}
	return s.unmarkAll(ctx, s.gone)
}

func (s *Sweeper) unmarkAll(ctx context.Context, blobs []catalog.CrateBlob) error {
	for part := range slices.Chunk(blobs, sweepBatch) {
		if err := s.Marks.Unmark(ctx, part); err != nil {
			return fmt.Errorf("take the marks away: %w", err)
		}
	}
	return nil
}
