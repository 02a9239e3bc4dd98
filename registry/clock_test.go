package registry

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/metrics"
)

// A clock that jumps, in either direction, is told, and one that is only a little off is not.
func TestClockJumps(t *testing.T) {
	var log bytes.Buffer
	s := &Server{log: slog.New(slog.NewTextHandler(&log, nil)), metrics: metrics.New("test")}
	for _, onTheWall := range []time.Duration{lookEvery, lookEvery + 20*time.Second, time.Hour, -time.Hour, lookEvery - 20*time.Second} {
		s.lookAtClock(onTheWall, lookEvery)
	}
	if n := strings.Count(log.String(), "The clock of this machine jumped"); n != 2 || !strings.Contains(log.String(), "by=59m45s") || !strings.Contains(log.String(), "by=-1h0m15s") {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
	w := httptest.NewRecorder()
	s.metrics.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), "crateyard_clock_jumps_total 2\n") {
		t.Error("the metric does not count them")
	}
}
