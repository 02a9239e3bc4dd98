// Package ratelimit bounds how often someone may do something: a bucket for each user or address, which holds a burst and
// fills again with time. Buckets live in this process; several replicas allow as many times as much.
package ratelimit

import (
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"
)

// Rate is a burst, and how long it takes to get one of it back.
type Rate struct {
	Burst int           `yaml:"burst"`
	Every time.Duration `yaml:"every"`
}

// keysMost bounds the buckets that are kept: a few MiB. One that is dropped is full again, which is the price of a bound.
const keysMost = 50_000

// Limiter holds the buckets of one kind of action. A nil Limiter allows everything.
type Limiter struct {
	rate    Rate
	buckets *otter.Cache[string, *rate.Limiter]
	now     func() time.Time
}

// New makes a limiter.
func New(r Rate) *Limiter {
	return &Limiter{rate: r, now: time.Now, buckets: otter.Must(&otter.Options[string, *rate.Limiter]{
		MaximumSize: keysMost,
		// A bucket that nobody asked for this long is full.
		ExpiryCalculator: otter.ExpiryAccessing[string, *rate.Limiter](time.Duration(r.Burst+1) * r.Every),
	})}
}

// GiveBack puts one into the bucket of key that Allow has taken from it. A full bucket stays full.
func (l *Limiter) GiveBack(key string) {
	if l == nil {
		return
	}
	if bucket, ok := l.buckets.GetIfPresent(key); ok {
		bucket.AllowN(l.now(), -1) // what goes over the burst is cut off at the next look at the bucket
	}
}

// Allow takes one from the bucket of key. When it is empty, it takes nothing and says how long to wait.
func (l *Limiter) Allow(key string) (wait time.Duration, ok bool) {
	if l == nil {
		return 0, true
	}
	bucket, _ := l.buckets.ComputeIfAbsent(key, func() (*rate.Limiter, bool) {
		return rate.NewLimiter(rate.Every(l.rate.Every), l.rate.Burst), false
	})
	// Not by a reservation that is cancelled: of those that overlap, each would lengthen the wait of the others, and be given back in part only.
	now := l.now()
	if bucket.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - bucket.TokensAt(now)
	return max(time.Duration(missing*float64(l.rate.Every)), 1), false
}
