package mirror

import (
	"context"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/cron"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/registry/wire"
)

const (
	tendEvery  = 2 * time.Second  // how often it is looked whether there is work
	retrySync  = 10 * time.Minute // after one with failures
	retrySoon  = time.Minute      // after one that upstream was of no help with: it was restarted, as a rule. With each that caches nothing, the time doubles
	sweepEvery = 24 * time.Hour
	sweepFirst = 20 * time.Minute
)

// tend does the work that comes by itself: syncs that are due, retention, and cleaning up.
func (m *Manager) tend(ctx context.Context) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	retained, swept := time.Now(), time.Now().Add(sweepFirst-sweepEvery)
	running := map[int64]bool{}
	ended := make(chan int64)
	advised := make(chan struct{}, 1)
	advised <- struct{}{}
	for {
		select {
		case <-advised:
			m.work.Go(func() {
				for _, mirror := range m.all() {
					mirror.advise(ctx)
				}
				advised <- struct{}{}
			})
		default:
		}
		for _, mirror := range m.all() {
			mirror.look(ctx)
			if running[mirror.Row.ID] || !mirror.due(ctx, time.Now()) {
				continue
			}
			running[mirror.Row.ID] = true
			m.work.Go(func() {
				mirror.syncOnce(ctx)
				select {
				case ended <- mirror.Row.ID:
				case <-ctx.Done():
				}
			})
		}
		if m.grew.Swap(false) || time.Since(retained) > retainEvery {
			retained = time.Now()
			if err := m.clean(ctx); err != nil && ctx.Err() == nil {
				m.Log.Warn("Retention of mirrors failed; it is tried again", "error", upkeep.Clean(err))
			}
		}
		if time.Since(swept) > sweepEvery {
			swept = time.Now()
			if err := m.sweep(ctx); err != nil && ctx.Err() == nil {
				m.Log.Warn("What mirrors no longer need cannot be removed; it is tried again", "error", upkeep.Clean(err))
			}
		}
		select {
		case <-tick.C:
		case id := <-ended:
			delete(running, id)
		case <-ctx.Done():
			return
		}
	}
}

// due reports whether a mirror is to be synced now: its spec or lockfiles changed, somebody asked, its schedule says so, or the last sync failed in
// part a while ago. One that is suspended is synced when somebody asks, and to the end of a sync that began.
func (m *Mirror) due(ctx context.Context, now time.Time) bool {
	row, err := m.Catalog.Mirror(ctx, m.Name())
	if err != nil || row.ID != m.Row.ID || row.Generation != m.Row.Generation {
		return false // it is read again soon
	}
	return dueBy(m.Spec, row, now)
}

func dueBy(spec wire.MirrorSpec, row catalog.Mirror, now time.Time) bool {
	s := readSync(row.Status)
	switch {
	case s.Running, asked(row, s):
		return true // one that runs by its own word and holds no lease has died
	case spec.Suspend:
		return false
	case s.LastStarted == nil, s.Generation != row.Generation && s.LastEnded != nil:
		return true
	}
	if at := retryAt(s); !at.IsZero() && now.After(at) {
		return true
	}
	return scheduled(spec.Schedule, s, now)
}

// asked reports whether somebody asked for a sync since the last one began.
func asked(row catalog.Mirror, last wire.MirrorSync) bool {
	return !row.RequestedAt.IsZero() && (last.LastStarted == nil || row.RequestedAt.After(*last.LastStarted))
}

// retryAt is when a sync that failed, or did in part, is tried again; zero: there is nothing to try.
func retryAt(s wire.MirrorSync) time.Time {
	switch {
	case s.LastEnded == nil, s.Failed == 0 && s.Message == "":
		return time.Time{}
	case s.Message != "":
		return s.LastEnded.Add(min(retrySoon<<min(max(s.Tries, 1)-1, 10), retrySync))
	}
	return s.LastEnded.Add(retrySync)
}

func scheduled(schedule string, s wire.MirrorSync, now time.Time) bool {
	if schedule == "" || s.LastStarted == nil {
		return false
	}
	sched, err := cron.Parse(schedule)
	if err != nil {
		return false
	}
	next := sched.Next(*s.LastStarted)
	return !next.IsZero() && !next.After(now)
}
