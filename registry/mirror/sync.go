package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/mirror/lockfile"
	"github.com/crateyard/crateyard/registry/mirror/plan"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/registry/wire"
)

const (
	tellEvery = time.Second // how often a sync tells how far it is
	foundMost = 256         // versions that were found and wait to be cached
	notedMost = 256         // versions that are being fetched, or are cached and wait for it to be noted
	giveUp    = 10          // failures of upstream one after the other that end a sync
	giveUpAll = 10 * giveUp // the same, of archives, while it gives index files
)

// syncOnce syncs, unless another server does.
func (m *Mirror) syncOnce(ctx context.Context) {
	err := upkeep.Hold(ctx, m.Catalog, fmt.Sprintf("mirror/%d/sync", m.Row.ID), m.Holder, func(ctx context.Context) error {
		if !m.due(ctx, time.Now()) {
			return nil // another server has just done it
		}
		return m.sync(ctx)
	})
	if err != nil && !errors.Is(err, upkeep.ErrHeld) && ctx.Err() == nil {
		m.Log.Error("A sync of a mirror broke off; it is tried again", "mirror", m.Name(), "error", upkeep.Clean(err))
		select { // not at once
		case <-time.After(retryStale):
		case <-ctx.Done():
		}
	}
}

// syncing is a sync at work.
type syncing struct {
	m     *Mirror
	began time.Time

	mu    sync.Mutex
	state wire.MirrorSync
	pins  map[catalog.MirrorKey]int
	from  map[catalog.MirrorKey]string // who wants what is pinned
	had   map[string]struct{}          // what was stored when the sync began: it need not be looked for one by one

	before  int64               // what was cached of what was wanted when the one before ended
	unasked map[string]struct{} // index files that are as old as they are, because upstream is of no help
	why     string              // the last reason for that, for people

	noting  chan struct{} // one for each fetch that goes on beside the sync
	ending  atomic.Bool   // no more is found, and no more than foundMost are left: they are written as they come, so that the end waits for the last few only
	awry    atomic.Int64  // failures of upstream, one after the other, that cost what is wanted
	unheard atomic.Int64  // the same, of questions for index files of which older ones are known
}

// sync caches what the mirror is to have: the versions of its lockfiles, and those of its crates and their dependencies. What is there already
// is left alone, so a sync that was broken off goes on where it was.
func (m *Mirror) sync(ctx context.Context) error {
	row, err := m.Catalog.Mirror(ctx, m.Name())
	if err != nil {
		return err
	}
	if row.ID != m.Row.ID || row.Generation != m.Row.Generation {
		return nil // it has become another one meanwhile, which this server is about to read
	}
	last := readSync(row.Status)
	now := time.Now().UTC()
	s := &syncing{m: m, began: now, pins: map[catalog.MirrorKey]int{}, from: map[catalog.MirrorKey]string{}, unasked: map[string]struct{}{}, before: last.Done, noting: make(chan struct{}, notedMost), state: wire.MirrorSync{Running: true, Generation: last.Generation, LastStarted: &now,
		LastEnded: last.LastEnded, LastSuccessful: last.LastSuccessful, Tries: last.Tries}}
	wants, err := m.wants(ctx)
	if err != nil {
		return err
	}
	if a := m.Spec.Policy.Advisories; a != nil {
		m.work.Go(func() { m.databases.renew(a.Source) }) // beside it: one that is being read now may take long
	}
	if err := s.tell(ctx); err != nil {
		return err
	}
	quiet := len(wants.Lockfiles)+len(wants.Crates) == 0
	if !quiet {
		m.Log.Info("Sync of a mirror begins", "mirror", m.Name(), "lockfiles", len(wants.Lockfiles), "crates", len(wants.Crates))
	}
	walking, replaced := context.WithCancelCause(ctx)
	defer replaced(nil)
	telling, stop := context.WithCancel(ctx)
	var told sync.WaitGroup
	told.Go(func() { s.keepTelling(telling, replaced) })
	err = s.walk(walking, wants)
	stop()
	told.Wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // the next one goes on
	case errors.Is(context.Cause(walking), errReplaced):
		m.Log.Info("Sync of a mirror ends early: the mirror was changed or deleted", "mirror", m.Name())
		return nil // that of the mirror as it is now goes on
	}
	return s.end(ctx, row.Generation, quiet, err)
}

// errReplaced ends a sync of a mirror that has become another one, or is gone: what it goes on to cache, nobody may want.
var errReplaced = errors.New("the mirror was changed or deleted")

// wants reads what the mirror is to have.
func (m *Mirror) wants(ctx context.Context) (w plan.Wants, err error) {
	locks, err := m.Catalog.MirrorLockfiles(ctx, m.Row.ID)
	if err != nil {
		return w, err
	}
	for _, l := range locks {
		var pins []pin
		if err := json.Unmarshal([]byte(l.Pins), &pins); err != nil {
			return w, fmt.Errorf("lockfile %s in the catalog: %w", l.Name, err)
		}
		want := plan.Lockfile{Name: l.Name}
		for _, p := range pins {
			want.Packages = append(want.Packages, lockfile.Package{Name: p[0], Version: p[1], SHA256: p[2]})
		}
		w.Lockfiles = append(w.Lockfiles, want)
	}
	for _, c := range m.Spec.Crates {
		w.Crates = append(w.Crates, plan.Crate{Name: c.Name, Requirement: c.Versions, Latest: c.Latest})
	}
	return w, nil
}

// walk finds out which versions are wanted, and caches them while it goes on looking.
func (s *syncing) walk(ctx context.Context, wants plan.Wants) error {
	m := s.m
	var err error
	if s.had, err = m.Catalog.MirrorCrateNames(ctx, m.Row.ID); err != nil {
		return err
	}
	fetches, fctx := errgroup.WithContext(ctx)
	found := make(chan plan.Version, foundMost)
	for range m.Spec.Upstream.Concurrency {
		fetches.Go(func() error {
			for v := range found {
				if err := s.cache(fctx, v); err != nil {
					return err
				}
			}
			return nil
		})
	}
	s.note(func(st *wire.MirrorSync) { st.Counting = true })
	_, err = plan.Walk(fctx, s, wants, plan.Options{
		Dependencies: plan.Dependencies(m.Spec.Dependencies), Rust: m.Spec.RustVersion, Concurrency: m.Spec.Upstream.Concurrency,
		IsUpstream: func(registry string) bool { return m.sources().Has(registry) },
	}, plan.Out{
		Version: func(v plan.Version) error {
			s.note(func(st *wire.MirrorSync) { st.Total++ })
			select {
			case found <- v:
				return nil
			case <-fctx.Done():
				return fctx.Err()
			}
		},
		Failure: func(f plan.Failure) error {
			s.note(func(st *wire.MirrorSync) { st.Total++ }) // it is wanted, too
			s.fail(f.Crate, f.Version, f.From, m.orDenied(f))
			return nil
		},
	})
	close(found)
	s.ending.Store(true)
	s.note(func(st *wire.MirrorSync) { st.Counting = false })
	fetched := make(chan error, 1)
	m.beside(func() { fetched <- fetches.Wait() })
	select {
	case ferr := <-fetched:
		return errors.Join(err, ferr)
	case <-fctx.Done():
	}
	if ferr := context.Cause(fctx); ctx.Err() != nil || !errors.Is(ferr, context.Canceled) {
		return errors.Join(err, ferr) // archives that are on their way go on by themselves, and nobody waits for them
	}
	return errors.Join(err, <-fetched) // all have ended well
}

// Versions implements plan.Index: what the policy lets through of upstream's index.
func (s *syncing) Versions(ctx context.Context, name string) ([]plan.Entry, error) {
	if err := s.m.admitCrate(name); err != nil {
		return nil, errors.Unwrap(err) // the text for people
	}
	e, err := s.index(ctx, indexKey(name))
	if err != nil {
		return nil, err
	}
	if e.file == nil {
		return nil, plan.ErrNoCrate
	}
	return plan.ParseIndex(e.admitted()), nil
}

// cache has one version be there.
func (s *syncing) cache(ctx context.Context, v plan.Version) error {
	how := catalog.PinnedByList
	if v.Pinned {
		how = catalog.PinnedByLockfile
	}
	_, had := s.had[v.Crate+"@"+v.Num]
	row, fetched, err := s.m.ensure(ctx, v.Crate, v.Num, how, had, s.begin)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		s.fail(v.Crate, v.Num, v.From, people(err))
		if fault.KindOf(err) != fault.Unavailable || !s.m.up.troubled(retryStale) { // it is the disk, or the catalog
			return nil
		}
		if n := s.awry.Add(1); n >= giveUpAll || n >= giveUp && !s.answers(ctx, v.Crate) {
			return plan.ErrStop
		}
		return nil
	}
	s.awry.Store(0)
	s.note(func(st *wire.MirrorSync) {
		key := catalog.MirrorKey{MirrorID: s.m.Row.ID, Name: row.Name, Num: row.Num}
		s.pins[key], s.from[key] = how, v.From
		st.Done++
		if fetched {
			st.Fetched++
			st.FetchedBytes += row.Size
		}
	})
	if fetched && s.ending.Load() {
		s.m.writer.hasten()
	}
	return nil
}

// begin begins the fetch of an archive. Where it goes on after the archive is stored, until that is noted, nobody waits for it: the notes of many are one write.
func (s *syncing) begin(fetch func()) {
	if !s.m.notes() {
		here(fetch)
		return
	}
	select {
	case s.noting <- struct{}{}:
		s.m.beside(func() {
			defer func() { <-s.noting }()
			fetch()
		})
	default: // the catalog is slow
		here(fetch)
	}
}

// people is what of an error is for people.
func people(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind != fault.Internal {
		return f.Detail
	}
	return upkeep.Clean(err)
}

func (s *syncing) note(change func(*wire.MirrorSync)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
}

func (s *syncing) fail(crate, version, from, reason string) {
	s.m.Log.Warn("A mirror cannot cache what it is to have", "mirror", s.m.Name(), "crate", crate, "version", version, "from", from, "reason", reason)
	s.note(func(st *wire.MirrorSync) {
		st.Failed++
		failure := wire.MirrorFailure{Crate: crate, Version: version, From: from, Reason: reason}
		if len(st.Failures) < maxProblems {
			st.Failures = append(st.Failures, failure)
			return
		}
		// What a build needs as it is stands in the place of what a list would like to have.
		if i := slices.IndexFunc(st.Failures, func(f wire.MirrorFailure) bool { return !ofLockfile(f) }); i >= 0 && ofLockfile(failure) {
			st.Failures[i] = failure
		}
	})
}

// ofLockfile reports whether a lockfile names what failed.
func ofLockfile(f wire.MirrorFailure) bool { return strings.HasPrefix(f.From, "lockfile ") }

// keepTelling tells how far the sync is, and ends it when the mirror is replaced.
func (s *syncing) keepTelling(ctx context.Context, replaced context.CancelCauseFunc) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.m.Mirror(s.m.Name()) != s.m {
				replaced(errReplaced)
				return
			}
			if err := s.tell(ctx); err != nil && ctx.Err() == nil {
				s.m.Log.Warn("Cannot tell how far a sync is", "mirror", s.m.Name(), "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *syncing) tell(ctx context.Context) error {
	text, err := s.text()
	if err != nil {
		return err
	}
	return s.m.Catalog.SetMirrorStatus(ctx, s.m.Row.ID, text)
}

func (s *syncing) text() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := json.Marshal(s.state)
	return string(text), err
}

// end notes what is pinned and how the sync ended, and has all servers look at it.
func (s *syncing) end(ctx context.Context, generation int64, quiet bool, err error) error {
	s.m.writer.settled(ctx)
	// What failed just now, or upstream could not be asked about, may be pinned from before: only a sync that found everything takes pins away.
	var pins map[catalog.MirrorKey]int
	all := false
	s.note(func(st *wire.MirrorSync) {
		pins, all = maps.Clone(s.pins), err == nil && st.Failed == 0 && len(s.unasked) == 0
	})
	missing, perr := s.m.Catalog.PinMirrorCrates(ctx, s.m.Row.ID, pins, all)
	if perr != nil {
		return perr
	}
	for _, k := range missing { // the disk was full, as a rule
		var from string
		s.note(func(st *wire.MirrorSync) { st.Done--; from = s.from[k] })
		s.fail(k.Name, k.Num, from, "it was fetched, and could not be stored, or was removed again; the server's log says why")
	}
	now := time.Now().UTC()
	s.note(func(st *wire.MirrorSync) {
		st.Running, st.LastEnded, st.Generation = false, &now, generation
		switch {
		case errors.Is(err, plan.ErrStop):
			st.Message = "upstream was of no help several times in a row; the rest is tried again later"
		case err != nil:
			st.Message = people(err)
		case len(s.unasked) > 0:
			st.Message = s.notAsked()
		case st.Failed == 0:
			st.LastSuccessful = &now
		}
		switch {
		case st.Message == "":
			st.Tries = 0
		case st.Fetched > 0 && st.Done > s.before: // and not just again what retention had taken
			st.Tries = 1
		default:
			st.Tries++
		}
		if !quiet {
			s.m.Log.Info("Sync of a mirror ended", "mirror", s.m.Name(), "total", st.Total, "cached", st.Done, "fetched", st.Fetched, "bytes", st.FetchedBytes,
				"failed", st.Failed, "message", st.Message, "seconds", int(now.Sub(*st.LastStarted).Seconds()))
		}
	})
	if r := s.m.Spec.Retention; r.MaxSize > 0 || r.UnusedFor > 0 {
		s.m.grew.Store(true) // what is kept may be another now, and less of it pinned
	}
	text, err := s.text()
	if err != nil {
		return err
	}
	return s.m.Catalog.EndMirrorSync(ctx, s.m.Name(), text)
}
