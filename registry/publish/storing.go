package publish

import (
	"context"
	"fmt"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/storage"
)

// storing is a blob on its way to the store, for one goroutine.
type storing struct {
	ctx   context.Context // of the request
	blob  storage.Writer
	key   string
	since time.Time    // it has its key; zero: not yet
	wait  func() error // until it is durable
	over  bool         // it was waited for
	err   error        // of either
}

// begin gives the blob its key. Again it does nothing.
func (s *storing) begin() error {
	if s.since.IsZero() && s.err == nil {
		if s.wait, s.err = s.blob.Commit(s.ctx, s.key); s.err != nil {
			s.err, s.over = fmt.Errorf("store crate: %w", s.err), true
		}
		s.since = time.Now()
	}
	return s.err
}

// storedFor is how long after it was stored a blob is believed to be there. A sweep may have found it before, as what nobody names, and
// removes it unless the catalog's transaction is quick: once that has begun, no sweep decides anything, and a sweep that has decided
// keeps its marks for longer than this (upkeep.Sweeper).
const storedFor = 30 * time.Second

// durable waits until the blob is durable.
func (s *storing) durable() error {
	if err := s.begin(); err != nil {
		return err
	}
	if s.end(); s.err != nil {
		return s.err
	}
	if time.Since(s.since) > storedFor {
		return fault.New(fault.Unavailable, "the catalog took too long to take the version; nothing was published, try again")
	}
	return nil
}

// end waits for a store that has begun: where the catalog refused, it is still not to be left at work.
func (s *storing) end() {
	if s.wait != nil && !s.over {
		s.err, s.over = s.wait(), true
	}
}
