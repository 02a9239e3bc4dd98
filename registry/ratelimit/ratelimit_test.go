package ratelimit

import (
	"sync"
	"testing"
	"time"
)

// Who is told how long to wait is let in after that time, and not before, however often and from how many places it asked meanwhile.
func TestWaitIsTrue(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := New(Rate{Burst: 2, Every: time.Minute})
	l.now = func() time.Time { return now }
	allow := func(want bool, after time.Duration) {
		t.Helper()
		wait, ok := l.Allow("alice")
		if ok != want || (wait-after).Abs() > time.Millisecond {
			t.Errorf("%v, to wait %s; want %v, %s", ok, wait, want, after)
		}
	}
	allow(true, 0)
	allow(true, 0)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 5_000 {
				if wait, ok := l.Allow("alice"); ok || (wait-time.Minute).Abs() > time.Millisecond {
					t.Errorf("%v, to wait %s", ok, wait)
					return
				}
			}
		})
	}
	wg.Wait()
	now = now.Add(20 * time.Second)
	allow(false, 40*time.Second)
	now = now.Add(40 * time.Second)
	allow(true, 0)
	allow(false, time.Minute)
	l.GiveBack("alice")
	allow(true, 0)
	l.GiveBack("alice")
	l.GiveBack("alice")
	l.GiveBack("alice") // a full bucket stays full
	allow(true, 0)
	allow(true, 0)
	allow(false, time.Minute)
	now = now.Add(time.Hour)
	for range 2 {
		allow(true, 0)
	}
	allow(false, time.Minute)
}
