package upkeep

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Task is work that comes again and again, and that one replica does for all.
type Task struct {
	Name string
	// Next gives when the task is due after it was done, or after the start. The zero time means never.
	Next func(last time.Time) time.Time
	// Last, if set, tells at the start when the task was last done, by whomever. Without it, the start counts as that.
	Last func(ctx context.Context) (time.Time, error)
	// First, if above 0, is how soon after the start the task is due for the first time, whatever Next says.
	First time.Duration
	// Run does the work once.
	Run func(ctx context.Context) (Outcome, error)
}

// Every is a Next for a fixed time between two ends.
func Every(d time.Duration) func(time.Time) time.Time {
	return func(last time.Time) time.Time {
		if d <= 0 {
			return time.Time{}
		}
		return last.Add(d)
	}
}

// Outcome is what a run of a task did, for status and metrics.
type Outcome struct {
	Items, Bytes int64 // blobs that were removed, backed up or read
	Problems     int64 // that were found
	Text         string
}

// Status is how a task stands on this replica; LastSucceeded and Last are those of all replicas, as far as this one has learned of them.
type Status struct {
	Name          string    `json:"name"`
	Running       bool      `json:"running"`
	Next          time.Time `json:"next,omitzero"`
	LastStarted   time.Time `json:"lastStarted,omitzero"`
	LastSucceeded time.Time `json:"lastSucceeded,omitzero"`
	LastFailed    time.Time `json:"lastFailed,omitzero"`
	LastError     string    `json:"lastError,omitempty"` // empty after a success
	LastDuration  float64   `json:"lastDuration"`        // seconds
	Runs          int64     `json:"runs"`
	Failures      int64     `json:"failures"`
	Last          Outcome   `json:"last"` // of the last success
}

// Runner runs tasks. When a task is due, the first replica to take its lease does it; the lease stays taken for a while after that, so that
// another replica, whose clock is a little behind, does not do it again.
type Runner struct {
	Leases Leases
	Holder string // see NewHolder
	Log    *slog.Logger
	Tasks  []Task
	// Keep, if set, is given how a task stands each time that it ends or has something to tell.
	Keep func(Status)

	// Suspects, if set, are looked at meanwhile.
	Suspects *Suspects

	mu      sync.Mutex
	status  map[string]*Status
	damaged map[string]bool // keys of what was found damaged since the scrub, or a check, last went over everything
	since   time.Time       // when that was
}

// Run runs the tasks until ctx ends; it returns when none runs any more.
func (r *Runner) Run(ctx context.Context) {
	var wg sync.WaitGroup
	if r.Suspects != nil {
		wg.Go(func() { r.Suspects.Run(ctx) })
	}
	for _, t := range r.Tasks {
		wg.Go(func() { r.run(ctx, t) })
	}
	wg.Wait()
}

// Status gives how each task stands, in their order.
func (r *Runner) Status() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Status, 0, len(r.Tasks))
	for _, t := range r.Tasks {
		s := Status{Name: t.Name}
		if known := r.status[t.Name]; known != nil {
			s = *known
		}
		list = append(list, s)
	}
	return list
}

// Learn takes in how tasks stand that any replica did, by name: what was done later than this replica knows of is the last that was done. So a
// start forgets nothing that was found, and what another replica found or put right counts here, too.
func (r *Runner) Learn(known map[string]Status) {
	for _, t := range r.Tasks {
		if k := known[t.Name]; !k.LastSucceeded.IsZero() || k.Last.Problems > 0 {
			r.note(t.Name, func(s *Status) {
				if k.knowsMore(*s) {
					s.LastSucceeded, s.Last = k.LastSucceeded, k.Last
				}
			})
		}
	}
}

// knowsMore reports whether a status is of a later success than another one, or of the same and more has been found since.
func (s Status) knowsMore(than Status) bool {
	return s.LastSucceeded.After(than.LastSucceeded) || s.LastSucceeded.Equal(than.LastSucceeded) && s.Last.Problems > than.Last.Problems
}

// Newer gives the status with the last success of another one, if that knows more.
func (s Status) Newer(other Status) Status {
	if other.knowsMore(s) {
		s.LastSucceeded, s.Last = other.LastSucceeded, other.Last
	}
	return s
}

func (r *Runner) note(name string, change func(*Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status == nil {
		r.status = map[string]*Status{}
	}
	if r.status[name] == nil {
		r.status[name] = &Status{Name: name}
	}
	change(r.status[name])
}

// tell is note for what others should hear of.
func (r *Runner) tell(name string, change func(*Status)) {
	r.tellIf(name, func(s *Status) bool { change(s); return true })
}

// tellIf is tell where change reports that there is something to tell.
func (r *Runner) tellIf(name string, change func(*Status) bool) {
	news := false
	r.note(name, func(s *Status) { news = change(s) })
	if !news || r.Keep == nil {
		return
	}
	r.mu.Lock()
	s := *r.status[name]
	r.mu.Unlock()
	r.Keep(s)
}

// longest is the longest time to sleep at once: a clock may jump. Tests shorten it.
var longest = time.Minute

func (r *Runner) run(ctx context.Context, t Task) {
	last := time.Now()
	if t.Last != nil {
		known, err := t.Last(ctx)
		switch {
		case err != nil:
			r.Log.Warn("Cannot tell when this was last done", "task", t.Name, "error", Clean(err))
		case !known.IsZero():
			if known.After(last) { // by a clock that was ahead
				known = last
			}
			last = known
			r.note(t.Name, func(s *Status) { s.LastSucceeded = known })
		}
	}
	for first := true; ; first = false {
		next := t.Next(last)
		if next.IsZero() {
			return
		}
		if first && t.First > 0 {
			next = last.Add(t.First)
		}
		r.note(t.Name, func(s *Status) { s.Next = next })
		for time.Now().Before(next) {
			if sleep(ctx, min(longest, time.Until(next))) != nil {
				return
			}
			if sooner := t.Next(time.Now()); sooner.Before(next) && !sooner.IsZero() { // the clock was ahead when this was reckoned, and was set right
				next = sooner
				r.note(t.Name, func(s *Status) { s.Next = next })
			}
		}
		if ctx.Err() != nil {
			return
		}
		r.due(ctx, t)
		last = time.Now()
	}
}

// How a task is tried again that could not be done: a daily backup shall not wait for a day because the bucket was away for a minute.
const (
	retries    = 5
	retryAfter = 10 * time.Minute
)

func (r *Runner) due(ctx context.Context, t Task) {
	for range retries {
		now := time.Now()
		if !r.once(ctx, t, t.Next(now).Sub(now)/2) || sleep(ctx, retryAfter) != nil {
			return
		}
	}
}

// FinalError is an error of a task that trying again does not mend.
type FinalError struct{ error }

// Final makes an error final; nil stays nil.
func Final(err error) error {
	if err == nil {
		return nil
	}
	return FinalError{err}
}

// Unwrap gives the error itself.
func (f FinalError) Unwrap() error { return f.error }

// once does a task that is due, if no other replica does, and reports whether to try again. keep is how long the lease stays taken when it
// is done.
func (r *Runner) once(ctx context.Context, t Task, keep time.Duration) (again bool) {
	lease := "task/" + t.Name
	begun, done := false, false
	err := Hold(ctx, kept{r.Leases, keep, &done}, lease, r.Holder, func(ctx context.Context) error {
		begin := time.Now()
		begun = true
		r.note(t.Name, func(s *Status) { s.Running, s.LastStarted, s.Runs = true, begin, s.Runs+1 })
		out, err := t.Run(ctx)
		_, final := errors.AsType[FinalError](err)
		done = err == nil || final
		r.tell(t.Name, func(s *Status) {
			s.Running, s.LastDuration = false, time.Since(begin).Seconds()
			if err == nil {
				s.LastSucceeded, s.LastError, s.Last = time.Now(), "", out
			}
		})
		if err == nil {
			r.Log.Info("Done", "task", t.Name, "items", out.Items, "bytes", out.Bytes, "result", out.Text, "took", time.Since(begin).Round(time.Millisecond).String())
		}
		return err
	})
	switch {
	case err == nil, ctx.Err() != nil:
		return false
	case errors.Is(err, ErrHeld) && !begun:
		r.Log.Debug("Another replica does this", "task", t.Name)
		return false
	default:
		text := Clean(err)
		r.tell(t.Name, func(s *Status) { s.LastFailed, s.LastError, s.Failures = time.Now(), text, s.Failures+1 })
		r.Log.Error("Failed", "task", t.Name, "error", text)
		return !done
	}
}

// kept gives a lease back late after a success.
type kept struct {
	Leases
	keep time.Duration
	done *bool
}

// Lease takes the lease, which another replica may have kept for about as long as this one would.
func (k kept) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	return lease(ctx, k.Leases, name, holder, ttl, leaseTime+2*max(k.keep, 0))
}

func (k kept) Release(ctx context.Context, name, holder string) error {
	if !*k.done || k.keep <= 0 {
		return k.Leases.Release(ctx, name, holder)
	}
	_, err := k.Lease(ctx, name, holder, k.keep)
	return err
}
