package mirror

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/wire"
)

func TestDue(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	done := func(d time.Duration) wire.MirrorSync {
		return wire.MirrorSync{Generation: 2, LastStarted: ago(d), LastEnded: ago(d)}
	}
	failed, gaveUp, running := done(time.Hour), done(time.Hour), done(time.Hour)
	tried := func(tries int, d time.Duration) wire.MirrorSync {
		s := done(d)
		s.Message, s.Tries = "upstream was of no help", tries
		return s
	}
	failed.Failed, gaveUp.Message, running.Running = 1, "upstream was of no help", true
	for name, tt := range map[string]struct {
		sync           wire.MirrorSync
		generation     int64
		schedule       string
		asked          *time.Time
		due, suspended bool // suspended: also while it is suspended
	}{
		"never synced":             {generation: 1, due: true},
		"never synced, asked":      {generation: 1, asked: ago(time.Minute), due: true, suspended: true},
		"all is well":              {sync: done(time.Hour), generation: 2},
		"changed":                  {sync: done(time.Hour), generation: 3, due: true},
		"asked since":              {sync: done(time.Hour), generation: 2, asked: ago(time.Minute), due: true, suspended: true},
		"asked before":             {sync: done(time.Hour), generation: 2, asked: ago(2 * time.Hour)},
		"failed an hour ago":       {sync: failed, generation: 2, due: true},
		"gave up an hour ago":      {sync: gaveUp, generation: 2, due: true},
		"gave up just now":         {sync: tried(1, 50*time.Second), generation: 2},
		"gave up a minute ago":     {sync: tried(1, 70*time.Second), generation: 2, due: true},
		"gave up again":            {sync: tried(2, 70*time.Second), generation: 2},
		"gave up again, two ago":   {sync: tried(2, 130*time.Second), generation: 2, due: true},
		"gave up for long":         {sync: tried(900, 9*time.Minute), generation: 2},
		"gave up for long, ten":    {sync: tried(900, 11*time.Minute), generation: 2, due: true},
		"broke off":                {sync: running, generation: 2, due: true, suspended: true},
		"its time has come":        {sync: done(time.Hour), generation: 2, schedule: "0 3 * * *", due: true},
		"its time has not come":    {sync: done(time.Minute), generation: 2, schedule: "0 3 * * *"},
		"failed only a moment ago": {sync: wire.MirrorSync{Generation: 2, LastStarted: ago(time.Minute), LastEnded: ago(time.Minute), Failed: 1}, generation: 2},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(tt.sync)
			if err != nil {
				t.Fatal(err)
			}
			row := catalog.Mirror{Generation: tt.generation, Status: string(text)}
			if tt.asked != nil {
				row.RequestedAt = *tt.asked
			}
			if got := dueBy(wire.MirrorSpec{Schedule: tt.schedule}, row, now); got != tt.due {
				t.Errorf("due: %v", got)
			}
			if got := dueBy(wire.MirrorSpec{Schedule: tt.schedule, Suspend: true}, row, now); got != tt.suspended {
				t.Errorf("suspended, due: %v", got)
			}
		})
	}
}
