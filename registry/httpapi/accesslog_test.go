package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/fault"
)

// The record is what slog would write, whatever a client sends.
func TestAccessLog(t *testing.T) {
	r := &http.Request{Method: "GET", URL: &url.URL{}, RemoteAddr: "[::1]:80", Header: http.Header{"User-Agent": {"a \"b\"\n\\ é=\x01\xff"}, "Authorization": {"cy_secret"}}}
	w := &response{address: "::1", requestID: "id-1", status: 404, bytes: 7, principal: &auth.Principal{User: "alice", TokenID: 3}, err: fault.New(fault.NotFound, "no such thing")}
	write := func(asJSON bool) string {
		var buf bytes.Buffer
		l := NewAccessLog(&buf, asJSON)
		l.record(w, r, "/a path", time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), 1500*time.Microsecond)
		l.Close()
		return buf.String()
	}
	text := write(true)
	var got map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil || strings.Count(text, "\n") != 1 {
		t.Fatalf("%q: %v", text, err)
	}
	for k, want := range map[string]any{"time": "2026-11-23T12:00:00.000Z", "level": "INFO", "msg": "request", "request": "id-1", "method": "GET", "path": "/a path",
		"status": 404.0, "bytes": 7.0, "us": 1500.0, "address": "::1", "agent": "a \"b\"\n\\ é=\x01\ufffd", "user": "alice", "token": 3.0, "error": "no such thing"} {
		if got[k] != want {
			t.Errorf("%s: %v, want %v", k, got[k], want)
		}
	}
	want := `time=2026-11-23T12:00:00.000Z level=INFO msg=request request=id-1 method=GET path="/a path" status=404 bytes=7 us=1500 address=::1 agent="a \"b\"\n\\ é=\x01\xff" user=alice token=3 error="no such thing"` + "\n"
	if text := write(false); text != want {
		t.Errorf("\n got %s\nwant %s", text, want)
	}
}
