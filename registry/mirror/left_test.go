package mirror

import (
	"log/slog"
	"testing"
	"time"
)

// A server that alone serves a registry goes on at once with what one before it was killed at; one of several waits until it is sure.
func TestStartOverWhatWasLeft(t *testing.T) {
	m := started(t)
	for _, shared := range []bool{true, false} {
		m.Stop()
		for _, lease := range []string{"mirror/1/sync", "mirrors/sweep", "upkeep"} {
			if has, err := m.Catalog.Lease(t.Context(), lease, "killed", time.Hour); err != nil || !has {
				t.Fatal(lease, has, err)
			}
		}
		next := &Manager{Catalog: m.Catalog, Store: m.Store, Metrics: unheard{}, Log: slog.New(slog.DiscardHandler), URL: m.URL, SpoolDir: m.SpoolDir, Holder: "next", Shared: shared}
		if err := next.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		next.Stop()
		for lease, left := range map[string]bool{"mirror/1/sync": shared, "mirrors/sweep": shared, "upkeep": true} {
			has, err := m.Catalog.Lease(t.Context(), lease, "another", time.Hour)
			if err != nil || has == left {
				t.Errorf("shared: %v, %s: %v %v", shared, lease, has, err)
			}
			if err := m.Catalog.Release(t.Context(), lease, "another"); err != nil {
				t.Fatal(err)
			}
		}
	}
}
