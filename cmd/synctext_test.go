package cmd

import (
	"testing"

	"github.com/crateyard/crateyard/registry/wire"
)

// How far a sync is stands in a word or two, from its first moment on.
func TestMirrorSyncText(t *testing.T) {
	for want, s := range map[string]wire.MirrorSync{
		"-":            {},
		"running":      {Running: true, Counting: true},
		"2/5+ running": {Running: true, Counting: true, Done: 2, Total: 5},
		"2/5 running":  {Running: true, Done: 2, Total: 5},
		"5/5":          {Done: 5, Total: 5},
	} {
		if got := syncText(wire.Mirror{Status: wire.MirrorStatus{Sync: s}}); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}
