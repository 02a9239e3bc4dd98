package upkeep_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
)

// A lease that its holder does not renew is waited for; one that stays taken is another's; and who had one and lost it does not wait.
func TestPatient(t *testing.T) {
	y := upkeeptest.Small(t)
	lease := func(l upkeep.Leases, holder string, ttl time.Duration, want bool) {
		t.Helper()
		if got, err := l.Lease(t.Context(), "blobs", holder, ttl); err != nil || got != want {
			t.Errorf("%s: %v %v", holder, got, err)
		}
	}
	waits := 0
	p := &upkeep.Patient{Leases: y.Catalog, Waits: func(left time.Duration) {
		if waits++; left <= 0 {
			t.Errorf("it waits %s more", left)
		}
	}}
	lease(y.Catalog, "killed", 200*time.Millisecond, true)
	lease(p, "next", time.Minute, true)
	if waits == 0 {
		t.Error("nobody was told")
	}
	lease(y.Catalog, "killed", time.Hour, false)
	if err := p.Release(t.Context(), "blobs", "next"); err != nil {
		t.Fatal(err)
	}

	lease(y.Catalog, "alive", time.Minute, true)
	lease(p, "next", 100*time.Millisecond, false)
	ctx, cancel := context.WithCancel(t.Context())
	p.Waits = func(time.Duration) { cancel() }
	if _, err := p.Lease(ctx, "blobs", "next", time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("it waits for more than it may: %v", err)
	}

	if err := y.Catalog.Release(t.Context(), "blobs", "alive"); err != nil {
		t.Fatal(err)
	}
	lease(p, "next", time.Minute, true)
	if err := y.Catalog.Release(t.Context(), "blobs", "next"); err != nil {
		t.Fatal(err)
	}
	lease(y.Catalog, "thief", time.Minute, true)
	p.Waits = func(time.Duration) { t.Error("a renewal waits") }
	lease(p, "next", 100*time.Millisecond, false)
}
