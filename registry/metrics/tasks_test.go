package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/upkeep"
)

// free gives every lease.
type free struct{}

func (free) Lease(context.Context, string, string, time.Duration) (bool, error) { return true, nil }
func (free) Release(context.Context, string, string) error                      { return nil }

// What a sweep did, and that a backup failed, is there when they end.
func TestTasks(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ends := make(chan struct{}, 2)
	task := func(name string, out upkeep.Outcome, err error) upkeep.Task {
		return upkeep.Task{Name: name, Next: upkeep.Every(time.Hour), First: time.Nanosecond, Run: func(context.Context) (upkeep.Outcome, error) { return out, err }}
	}
	r := &upkeep.Runner{Leases: free{}, Holder: "test", Log: slog.New(slog.DiscardHandler), Keep: func(s upkeep.Status) {
		if !s.LastSucceeded.IsZero() || !s.LastFailed.IsZero() {
			ends <- struct{}{}
		}
	}, Tasks: []upkeep.Task{
		task("sweep", upkeep.Outcome{Items: 3, Bytes: 300}, nil),
		task("backup", upkeep.Outcome{}, upkeep.Final(errors.New("there is no bucket"))),
	}}
	m := New("test")
	m.Tasks(r.Status)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	<-ends
	<-ends
	cancel()
	<-done
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`crateyard_task_runs_total{task="sweep"} 1`, `crateyard_task_failures_total{task="sweep"} 0`, `crateyard_task_last_items{task="sweep"} 3`,
		`crateyard_task_last_bytes{task="sweep"} 300`, `crateyard_task_runs_total{task="backup"} 1`, `crateyard_task_failures_total{task="backup"} 1`,
		`crateyard_task_last_success_timestamp_seconds{task="backup"} 0`,
	} {
		if !strings.Contains(w.Body.String(), line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(w.Body.String(), `crateyard_task_last_success_timestamp_seconds{task="sweep"} 0`+"\n") {
		t.Error("the sweep that went well has no time")
	}
}
