package upkeep

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"
)

// Leases are names that one holder has at a time.
type Leases interface {
	// Lease takes the lease, or renews it, for ttl; false means that somebody else holds it.
	Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	// Release gives it back early. To release what one does not hold is no error.
	Release(ctx context.Context, name, holder string) error
}

// lease takes or renews a lease that nobody takes for more than longest, where the leases can make use of that: one that a clock which was ahead left
// behind for a year does not stop the work for so long.
func lease(ctx context.Context, l Leases, name, holder string, ttl, longest time.Duration) (bool, error) {
	if w, ok := l.(interface {
		LeaseWithin(ctx context.Context, name, holder string, ttl, longest time.Duration) (bool, error)
	}); ok {
		return w.LeaseWithin(ctx, name, holder, ttl, longest)
	}
	return l.Lease(ctx, name, holder, ttl)
}

// BlobsLease is the lease of whoever removes blobs, or copies them in the belief that they stay: sweep, backup, restore and prune,
// one at a time.
const BlobsLease = "blobs"

// ErrHeld is the error of Hold when somebody else holds the lease.
var ErrHeld = errors.New("another sweep, backup, restore or prune is at work; try again when it is done")

// leaseTime is how long a lease lasts that is not renewed: a holder that dies blocks the next one for so long. See Patient.
const leaseTime = 2 * time.Minute

// NewHolder makes a name for this process, which says where it runs.
func NewHolder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:6])
}

// Hold runs f while it holds a lease. The context of f ends when the lease is lost, which only happens when the catalog cannot be reached
// for long.
func Hold(ctx context.Context, leases Leases, name, holder string, f func(context.Context) error) (err error) {
	got, err := lease(ctx, leases, name, holder, leaseTime, leaseTime)
	if err != nil {
		return fmt.Errorf("lease %s: %w", name, err)
	}
	if !got {
		return fmt.Errorf("%s: %w", name, ErrHeld)
	}
	held, lost := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		renew(held, leases, name, holder, lost)
	}()
	err = f(held)
	if cause := context.Cause(held); cause != nil && ctx.Err() == nil {
		err = errors.Join(cause, err)
	}
	lost(nil)
	<-done
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, leases.Release(release, name, holder))
}

func renew(ctx context.Context, leases Leases, name, holder string, lost context.CancelCauseFunc) {
	until := time.Now().Add(leaseTime)
	tick := time.NewTicker(leaseTime / 6)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		got, err := lease(ctx, leases, name, holder, leaseTime, leaseTime)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && got:
			until = asked.Add(leaseTime)
		case err == nil, time.Until(until) < leaseTime/3:
			lost(fmt.Errorf("the lease %s was lost", name))
			return
		}
	}
}

// Patient are the leases of a command that waits for a lease which somebody else has, for as long as one lasts that is not renewed. That of a holder
// that was killed is over by then; one that is still held has a holder that works. It is for one Hold at a time.
type Patient struct {
	Leases
	Waits func(left time.Duration) // is told now and then that it waits, and how long at most; may be nil
	held  bool
}

// Lease takes the lease, for which it may wait, or renews it, for which it never does.
func (p *Patient) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	for end := time.Now().Add(ttl + ttl/50); ; {
		got, err := lease(ctx, p.Leases, name, holder, ttl, max(ttl, leaseTime))
		left := time.Until(end)
		if got || err != nil || p.held || left <= 0 {
			p.held = p.held || got
			return got, err
		}
		if p.Waits != nil {
			p.Waits(left)
		}
		if err := sleep(ctx, ttl/100); err != nil {
			return false, err
		}
	}
}

// Release gives it back.
func (p *Patient) Release(ctx context.Context, name, holder string) error {
	p.held = false
	return p.Leases.Release(ctx, name, holder)
}
