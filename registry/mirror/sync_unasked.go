package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/mirror/plan"
)

// index gives an index file that upstream was asked for since the sync began. Where upstream is of no help it gives an older one, and notes that: see missed.
func (s *syncing) index(ctx context.Context, name string) (*entry, error) {
	m := s.m
	e, err := m.before(ctx, name)
	if err != nil || e != nil && e.since(s.began) {
		return e, err
	}
	old := e != nil && e.file != nil
	if old && s.unheard.Load() >= giveUp { // each further question would wait in vain
		s.missed(name, e, nil)
		return e, nil
	}
	newer, err := m.renew(ctx, name, e, s.began)
	switch {
	case err == nil:
		s.awry.Store(0)
		s.unheard.Store(0)
	case ctx.Err() != nil:
	case old:
		if m.up.troubled(retryStale) { // else it answers, and what it says is refused
			s.unheard.Add(1)
		}
		s.missed(name, e, err)
		return e, nil
	case fault.KindOf(err) == fault.Unavailable && s.awry.Add(1) >= giveUp:
		err = errors.Join(err, plan.ErrStop)
	}
	return newer, err
}

// missed notes that upstream was of no help with an index file of which e is known from before; nil: for the same reason as before. A mirror that is filled from
// bundles, beyond upstream's reach, knows no better than its bundles, and misses nothing.
func (s *syncing) missed(name string, e *entry, err error) {
	m := s.m
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.why = people(err)
		if h := m.up.health.Load(); h != nil && h.err != "" { // in fewer words
			s.why = h.err
		}
	}
	if !m.pinnedOnly() || e.etag != "" || e.lastModified != "" || m.up.answered.Load() != 0 {
		s.unasked[name] = struct{}{}
	}
}

// answers asks upstream for an index file, to find out whether it is of no help at all, or with some archives only: what stands behind these is to have its turn.
func (s *syncing) answers(ctx context.Context, name string) bool {
	e, err := s.m.before(ctx, indexKey(name))
	if err == nil {
		_, err = s.m.renew(ctx, indexKey(name), e, time.Now())
	}
	return err == nil
}

// notAsked says that upstream was not of the help that it should have been. The caller holds mu.
func (s *syncing) notAsked() string {
	n := "one crate"
	if len(s.unasked) > 1 {
		n = fmt.Sprintf("%d crates", len(s.unasked))
	}
	text := fmt.Sprintf("upstream was of no help with the index of %s (%s); what is cached was kept", n, s.why)
	if s.m.Spec.Suspend {
		return text
	}
	return text + ", and it is tried again"
}
