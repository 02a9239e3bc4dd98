package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/storage"
)

func TestS3(t *testing.T) {
	m := New("test")
	var o storage.S3Observer = m.S3()
	o.Request("GetObject", "503", time.Second, false)
	o.Request("GetObject", "200", time.Millisecond, true)
	m.S3().Bytes(0, 1000) // a second bucket
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`crateyard_s3_requests_total{code="200",operation="GetObject"} 1`,
		`crateyard_s3_requests_total{code="503",operation="GetObject"} 1`,
		`crateyard_s3_request_seconds_count{operation="GetObject"} 2`,
		`crateyard_s3_retries_total{operation="GetObject"} 1`,
		`crateyard_s3_bytes_total{direction="received"} 1000`,
		`crateyard_s3_bytes_total{direction="sent"} 0`,
	} {
		if !strings.Contains(w.Body.String(), line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	w = httptest.NewRecorder()
	New("test").Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if strings.Contains(w.Body.String(), "s3_") {
		t.Error("a server without a bucket shows its metrics")
	}
}
