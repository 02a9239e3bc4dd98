package mirror

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
)

// health is how the last request ended.
type health struct {
	at  time.Time
	err string // empty: upstream answered
}

// failed notes a failure and tells it to people. The address stays out of it, which may hold what is not theirs.
func (u *upstream) failed(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	text := strings.TrimPrefix(err.Error(), errNoUse.Error()+": ")
	if errors.Is(err, context.DeadlineExceeded) {
		text = "it does not answer in time"
	}
	u.health.Store(&health{at: time.Now(), err: text})
	return fault.Wrap(fault.Unavailable, err, "the upstream registry at %s is of no help at the moment (%s); what is cached goes on working, try again for the rest", u.host, text)
}

// pause is how long upstream asks to be left alone from now on.
func (u *upstream) pause() time.Duration {
	return time.Until(time.Unix(0, u.pausedUntil.Load())).Round(time.Second)
}

// pausedBeyond reports whether upstream asks to be left alone for longer than a client waits.
func (u *upstream) pausedBeyond(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && u.pause() > time.Until(deadline)
}

// late is the error for who has waited for upstream long enough; the question goes on.
func (u *upstream) late(cause error) error {
	pause := u.pause()
	if pause <= 0 {
		return fault.Wrap(fault.Unavailable, cause, "the upstream registry at %s does not answer in time; try again", u.host)
	}
	err := fault.Wrap(fault.Unavailable, cause, "the upstream registry at %s asks to be left alone for another %s; what is cached goes on working, try again for the rest then", u.host, pause)
	err.Wait = pause
	return err
}

// answers notes an answer as a registry gives it.
func (u *upstream) answers() {
	now := time.Now()
	u.health.Store(&health{at: now})
	u.answered.Store(now.UnixNano())
}

// silent notes that who asked first has had no answer for a while: until one comes, or a failure, that is how upstream stands.
func (u *upstream) silent(why string) {
	u.health.CompareAndSwap(nil, &health{at: time.Now(), err: why})
}

// troubled reports whether upstream was of no help within the given time: then nobody who has an old file waits for it.
func (u *upstream) troubled(within time.Duration) bool {
	h := u.health.Load()
	return h != nil && h.err != "" && time.Since(h.at) < within
}
