package httpapi

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/ratelimit"
)

// RateLimits bound how often one user may change things, and how often one address may fail to prove who it is. A nil
// limiter bounds nothing. Admins are not bounded: they could switch the limits off.
type RateLimits struct {
	PublishNew    *ratelimit.Limiter // new crates
	PublishUpdate *ratelimit.Limiter // new versions
	Yank          *ratelimit.Limiter
	FailedAuth    *ratelimit.Limiter
}

// publish takes one publish of who, and gives it back when giveBack is called. cargo never tries again by itself, so the text says when a
// person may.
func (l RateLimits) publish(who *auth.Principal, isNew bool) (giveBack func(), err error) {
	if isNew {
		return limit(l.PublishNew, who, "published too many new crates in a short time")
	}
	return limit(l.PublishUpdate, who, "published too many versions in a short time")
}

func (l RateLimits) yank(who *auth.Principal) error {
	_, err := limit(l.Yank, who, "yanked or unyanked too many versions in a short time")
	return err
}

func limit(l *ratelimit.Limiter, who *auth.Principal, what string) (giveBack func(), err error) {
	if who.IsAdmin() {
		return func() {}, nil
	}
	key := fmt.Sprint(who.UserID)
	if wait, ok := l.Allow(key); !ok {
		return nil, tooMany(wait, "user `%s` has %s; try again in %s, or ask an administrator of this registry about its rateLimits", who.User, what, inWords(wait))
	}
	return func() { l.GiveBack(key) }, nil
}

// failedAuth counts a token that did not work, and gives the error for it. A token that works is never turned away, whatever
// others at the same address do.
func (l RateLimits) failedAuth(address string, err error) error {
	if fault.KindOf(err) != fault.Unauthenticated {
		return err
	}
	if wait, ok := l.FailedAuth.Allow(network(address)); !ok {
		return tooMany(wait, "too many requests with tokens that do not work came from address %s; try again in %s", address, inWords(wait))
	}
	return err
}

// network is what one sender holds of the address space: an IPv4 address, or the 64 bits of an IPv6 network.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Unmap().Is4() {
		return address
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}

func tooMany(wait time.Duration, format string, args ...any) error {
	e := fault.New(fault.TooMany, format, args...)
	e.Wait = wait
	return e
}

// inWords rounds up, so that who waits that long is let in.
func inWords(d time.Duration) string { return (d + time.Second - 1).Truncate(time.Second).String() }
