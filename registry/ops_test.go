package registry_test

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// asked gets a page of the ops listener.
func (y *yard) asked(path string) answer {
	y.t.Helper()
	resp, err := http.Get(y.ops + path)
	if err != nil {
		y.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		y.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// metrics gives what /metrics says, by name and labels, and the types of all families.
func (y *yard) metrics() (values map[string]float64, types map[string]string) {
	y.t.Helper()
	a := y.asked("/metrics")
	if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
		y.t.Fatalf("/metrics: %d %v", a.status, a.header)
	}
	values, types = map[string]float64{}, map[string]string{}
	for line := range strings.Lines(a.body) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			types[name] = kind
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(line[end+1:], 64)
		if err != nil {
			y.t.Fatalf("%q: %v", line, err)
		}
		values[line[:end]] = v
	}
	return values, types
}

// What operators watch: each figure follows what was done.
func TestMetrics(t *testing.T) {
	y := open(t, nil)
	crate := crateFile(t, "demo", "1.0.0")
	upload := frame(metadata("demo", "1.0.0"), crate)
	before, _ := y.metrics()
	for i, want := range []int{200, 409} {
		if a := y.publish(upload); a.status != want {
			t.Fatalf("publish %d: %d %s", i, a.status, a.body)
		}
	}
	y.do("PUT", "/api/v1/crates/new", "", bytes.NewReader(upload)) // 401
	var index answer
	for range 3 { // the first reads the catalog, unless the publish has left the file in memory
		index = y.do("GET", "/index/de/mo/demo", "", nil)
	}
	y.do("GET", "/index/de/mo/demo", "", nil, "If-None-Match", index.header.Get("ETag"))
	y.do("GET", "/index/no/ne/none", "", nil)
	for range 2 {
		y.do("GET", "/crates/demo/1.0.0/download", "", nil)
	}
	y.do("GET", "/crates/demo/1.0.0/download", "", nil, "Range", "bytes=0-9")
	y.do("GET", "/crates/demo/9.0.0/download", "", nil)

	size := float64(len(crate))
	want := map[string]float64{
		`crateyard_http_requests_total{code="200",route="publish"}`:             1,
		`crateyard_http_requests_total{code="409",route="publish"}`:             1,
		`crateyard_http_requests_total{code="401",route="publish"}`:             1,
		`crateyard_http_requests_total{code="200",route="index"}`:               3,
		`crateyard_http_requests_total{code="304",route="index"}`:               1,
		`crateyard_http_requests_total{code="404",route="index"}`:               1,
		`crateyard_http_requests_total{code="200",route="download"}`:            2,
		`crateyard_http_requests_total{code="206",route="download"}`:            1,
		`crateyard_http_requests_total{code="404",route="download"}`:            1,
		`crateyard_http_request_duration_seconds_count{route="download"}`:       4,
		`crateyard_http_request_duration_seconds_bucket{route="index",le="30"}`: 5,
		`crateyard_publishes_total{result="published"}`:                         1,
		`crateyard_publishes_total{result="refused"}`:                           1,
		`crateyard_publishes_total{result="failed"}`:                            0,
		`crateyard_published_bytes_total`:                                       size,
		`crateyard_downloads_total`:                                             2,
		`crateyard_downloaded_bytes_total`:                                      2*size + 10,
	}
	var after map[string]float64
	differs := func() map[string]float64 {
		after, _ = y.metrics()
		wrong := map[string]float64{}
		for name, n := range want {
			if got := after[name] - before[name]; got != n {
				wrong[name] = got
			}
		}
		return wrong
	}
	last := map[string]float64{}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) { // a request is counted when its answer is out
		if last = differs(); len(last) == 0 {
			break
		}
	}
	for name, got := range last {
		t.Errorf("%s grew by %v, want %v", name, got, want[name])
	}
	hits, misses := after["crateyard_index_cache_hits_total"]-before["crateyard_index_cache_hits_total"], after["crateyard_index_cache_misses_total"]-before["crateyard_index_cache_misses_total"]
	if hits < 3 || misses < 1 || hits+misses != 5 {
		t.Errorf("%v hits and %v misses of 5 index files, of which at most 2 were not in memory", hits, misses)
	}
	if got := after[`crateyard_http_response_bytes_total{route="download"}`]; got < 2*size+10 {
		t.Errorf("%v bytes were sent of the downloads' route, of which %v are archives", got, 2*size+10)
	}
}

// The families that dashboards and alerts are built on, with their types.
func TestMetricFamilies(t *testing.T) {
	y := open(t, nil)
	y.asked("/readyz") // looks at the backends
	y.do("GET", "/index/config.json", "", nil)
	values, types := y.metrics()
	for name, kind := range map[string]string{
		"crateyard_http_requests_total": "counter", "crateyard_http_request_duration_seconds": "histogram", "crateyard_http_response_bytes_total": "counter",
		"crateyard_publishes_total": "counter", "crateyard_published_bytes_total": "counter", "crateyard_downloads_total": "counter",
		"crateyard_downloaded_bytes_total": "counter", "crateyard_index_cache_hits_total": "counter", "crateyard_index_cache_misses_total": "counter",
		"crateyard_catalog_pool_open_connections": "gauge", "crateyard_catalog_pool_in_use_connections": "gauge",
		"crateyard_catalog_pool_idle_connections": "gauge",
		"crateyard_catalog_pool_waits_total":      "counter", "crateyard_catalog_pool_wait_seconds_total": "counter",
		"crateyard_backend_up": "gauge", "crateyard_build_info": "gauge",
		"go_goroutines": "gauge", "go_gc_duration_seconds": "summary", "process_resident_memory_bytes": "gauge", "process_open_fds": "gauge",
	} {
		if types[name] != kind {
			t.Errorf("%s is a %q, want a %s", name, types[name], kind)
		}
	}
	for name, atLeast := range map[string]float64{
		`crateyard_build_info{goversion="` + runtime.Version() + `",version="test"}`: 1,
		`crateyard_backend_up{backend="catalog"}`:                                    1,
		`crateyard_backend_up{backend="storage"}`:                                    1,
		`process_resident_memory_bytes`:                                              1 << 20,
		`go_goroutines`:                                                              1,
	} {
		if got, ok := values[name]; !ok || got < atLeast {
			t.Errorf("%s = %v (there: %t), want at least %v", name, got, ok, atLeast)
		}
	}
	pools := 0.0
	for name, n := range values {
		if strings.HasPrefix(name, "crateyard_catalog_pool_open_connections{pool=") {
			pools += n
		}
	}
	if pools < 1 {
		t.Error("no pool has a connection, and the catalog was asked")
	}
}

// Liveness asks for nothing; readiness for catalog and storage, unless told to leave them out.
func TestHealth(t *testing.T) {
	y := open(t, nil)
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n", "/readyz?exclude=catalog&exclude=storage": "ready\n"} {
		if a := y.asked(path); a.status != 200 || a.body != want {
			t.Errorf("%s: %d %q, want 200 %q", path, a.status, a.body, want)
		}
	}
	if a := y.asked("/nothing"); a.status != 404 {
		t.Errorf("/nothing: %d", a.status)
	}
	if a := y.do("GET", "/metrics", "", nil); a.status != 404 {
		t.Errorf("the public listener shows /metrics: %d", a.status)
	}
	finish := y.beginUpload(good(t, "demo", "1.0.0")) // holds the server up
	y.cancelOnly()
	y.stopping()
	if a := y.asked("/healthz"); a.status != 200 {
		t.Errorf("a server that stops is not alive: %d", a.status)
	}
	finish()
	y.ends()
}
