package cmd

import (
	"testing"
	"time"
)

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	past, future := now.Add(-time.Hour), now.Add(time.Hour)
	for at, want := range map[*time.Time]string{
		nil:     "never",
		&future: "2026-11-30T13:00:00Z",
		&now:    "expired 2026-11-30T12:00:00Z",
		&past:   "expired 2026-11-30T11:00:00Z",
	} {
		if got := expiry(at, now); got != want {
			t.Errorf("%v: %s", at, got)
		}
	}
}
