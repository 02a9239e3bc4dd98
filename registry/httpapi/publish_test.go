package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/metrics"
	"github.com/crateyard/crateyard/registry/publish"
)

// An upload that stands still, and one that drips, end with 408 and words for its sender.
func TestSlowUploads(t *testing.T) {
	for name, tc := range map[string]struct {
		patience patience
		drips    bool
		want     string
	}{
		"stands still": {patience{stall: 20 * time.Millisecond, window: time.Hour, most: time.Hour, drain: time.Millisecond}, false, "stood still for 20ms"},
		"drips":        {patience{stall: time.Hour, window: 20 * time.Millisecond, rate: 1 << 20, most: time.Hour, drain: time.Millisecond}, true, "less than 1048576 bytes a second"},
		"never ends":   {patience{stall: time.Hour, window: time.Hour, most: 50 * time.Millisecond, drain: time.Millisecond}, true, "took more than 50ms"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &API{Metrics: metrics.New("test"), Log: slog.New(slog.DiscardHandler), Publisher: &publish.Publisher{}, patience: tc.patience}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				resp := &response{ResponseWriter: w, principal: &auth.Principal{Role: auth.Admin}}
				if err := a.takeUpload(resp, r, nil); err != nil {
					a.fail(resp, r, err)
				}
			}))
			defer s.Close()
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			// A length of metadata that never comes whole.
			if _, err := fmt.Fprintf(conn, "PUT /api/v1/crates/new HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n\x00\x00\x01\x00"); err != nil {
				t.Fatal(err)
			}
			stop := make(chan struct{})
			defer close(stop)
			go func() {
				for tc.drips {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
						_, _ = io.WriteString(conn, " ") // the server may have hung up
					}
				}
			}()
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body) // as far as it came
			if resp.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(body), tc.want) {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
}

// One that keeps its rate goes through, however long its reader takes over it.
func TestSteadyUpload(t *testing.T) {
	u := &upload{r: strings.NewReader(strings.Repeat("x", 1000)), patience: patience{stall: time.Hour, window: time.Nanosecond, rate: 0.001},
		end: time.Now().Add(time.Hour), deadline: func(time.Time) error { return nil }}
	if data, err := io.ReadAll(u); len(data) != 1000 || err != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	u.r, u.patience.rate = strings.NewReader("x"), 1e12
	if _, err := io.ReadAll(u); fault.KindOf(err) != fault.TimedOut {
		t.Errorf("%v", err)
	}
}
