package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/storage"
)

func TestBlobCache(t *testing.T) {
	m := New("test")
	var o storage.CacheObserver = m.BlobCache()
	o.Looked(false)
	o.Looked(true)
	o.Looked(true)
	o.Dropped("room")
	o.Holds(1000)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		"crateyard_blob_cache_hits_total 2", "crateyard_blob_cache_misses_total 1", "crateyard_blob_cache_bytes 1000",
		`crateyard_blob_cache_evictions_total{reason="room"} 1`, `crateyard_blob_cache_evictions_total{reason="damaged"} 0`,
	} {
		if !strings.Contains(w.Body.String(), line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}
