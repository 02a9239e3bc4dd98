package httpapi

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/ratelimit"
)

// RateLimits bound how often one user, and all users of one address together, may change things, and how often one address may fail to
// prove who it is. What is nil bounds nothing. Admins are not bounded: they could switch the limits off.
type RateLimits struct {
	PublishNew    ChangeLimit // new crates
	PublishUpdate ChangeLimit // new versions
	Yank          ChangeLimit
	FailedAuth    *ratelimit.Limiter
}

// ChangeLimit bounds one kind of change.
type ChangeLimit struct{ User, Address *ratelimit.Limiter }

// UsersOfAnAddress is how many times what one user may is open to one address: behind it may be the whole of a company or its CI, but one
// person with many users gets no further than so many.
const UsersOfAnAddress = 10

// NewChangeLimit makes the limit of what one user may.
func NewChangeLimit(r ratelimit.Rate) ChangeLimit {
	return ChangeLimit{User: ratelimit.New(r), Address: ratelimit.New(ratelimit.Rate{Burst: r.Burst * UsersOfAnAddress, Every: r.Every / UsersOfAnAddress})}
}

// publish takes one publish of who, and gives it back when giveBack is called. cargo never tries again by itself, so the text says when a
// person may.
func (l RateLimits) publish(who *auth.Principal, address string, isNew bool) (giveBack func(), err error) {
	if isNew {
		return limit(l.PublishNew, who, address, "published too many new crates in a short time")
	}
	return limit(l.PublishUpdate, who, address, "published too many versions in a short time")
}

// yank is publish for one yank or unyank.
func (l RateLimits) yank(who *auth.Principal, address string) (giveBack func(), err error) {
	return limit(l.Yank, who, address, "yanked or unyanked too many versions in a short time")
}

func limit(l ChangeLimit, who *auth.Principal, address, what string) (giveBack func(), err error) {
	if who.IsAdmin() {
		return func() {}, nil
	}
	user, net := fmt.Sprint(who.UserID), network(address)
	if wait, ok := l.User.Allow(user); !ok {
		return nil, tooMany(wait, "user `%s` has %s; try again in %s, or ask an administrator of this registry about its rateLimits", who.User, what, inWords(wait))
	}
	if wait, ok := l.Address.Allow(net); !ok {
		l.User.GiveBack(user)
		return nil, tooMany(wait, "the users at address %s have %s; try again in %s, or ask an administrator of this registry about its rateLimits and trustedProxies",
			address, what, inWords(wait))
	}
	return func() {
		l.User.GiveBack(user)
		l.Address.GiveBack(net)
	}, nil
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
