package gitindex

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// bigFeed publishes a number of crates, with a few versions each, spread as names are.
func bigFeed(crates int) *sliceFeed {
	f := &sliceFeed{}
	for v := range 3 {
		for i := range crates {
			if i%(v+1) != 0 {
				continue
			}
			// Spread over folders: two letters at a time from a multiple of the number.
			k := uint32(i) * 2654435761
			name := fmt.Sprintf("%c%c%c%c-crate-%d", 'a'+k%26, 'a'+k/26%26, 'a'+k/676%26, 'a'+k/17576%26, i)
			f.add(publish(name, fmt.Sprintf("0.%d.0", v)))
		}
	}
	return f
}

// counter is a server's handler that counts the bytes of the answers, and the time until they are written.
type counter struct {
	http.Handler
	bytes, nanos atomic.Int64
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	c.Handler.ServeHTTP(&countingWriter{w, c}, r)
	c.nanos.Add(int64(time.Since(begin)))
}

type countingWriter struct {
	http.ResponseWriter
	c *counter
}

func (w *countingWriter) Write(b []byte) (int, error) {
	w.c.bytes.Add(int64(len(b)))
	return w.ResponseWriter.Write(b)
}

// BenchmarkIndex tells what the index costs with CRATES crates, 10,000 by default: the first build, a clone and
// what it holds in memory here, and a fetch after one publish.
func BenchmarkIndex(b *testing.B) {
	crates := 10_000
	if s := os.Getenv("CRATES"); s != "" {
		var err error
		if crates, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		feed := bigFeed(crates)
		repo := newRepo(b, b.TempDir(), feed, rootEvery)
		begin := time.Now()
		syncRepo(b, repo)
		b.ReportMetric(time.Since(begin).Seconds(), "s/build")
		b.ReportMetric(float64(len(feed.changes)), "changes")

		count := &counter{Handler: repo.Handler()}
		server := httptest.NewServer(count)
		work := b.TempDir()
		for _, version := range []string{"0", "2"} {
			count.bytes.Store(0)
			peak := watchHeap()
			begin = time.Now()
			git(b, work, "-c", "protocol.version="+version, "clone", "-q", "--bare", server.URL, "clone"+version)
			b.ReportMetric(time.Since(begin).Seconds(), "s/clone-v"+version)
			b.ReportMetric(float64(peak())/(1<<20), "MiB-heap/clone-v"+version)
			b.ReportMetric(float64(count.bytes.Load())/(1<<20), "MiB/clone-v"+version)
		}
		count.nanos.Store(0)
		const fetches = 60
		var most float64
		for i := range fetches { // long enough to meet a folder that is sent whole
			feed.add(publish("zzzz-new", fmt.Sprintf("1.%d.0", i)))
			count.bytes.Store(0)
			begin = time.Now()
			git(b, filepath.Join(work, "clone0"), "fetch", "-q", "origin", "+HEAD:refs/heads/master")
			n := float64(count.bytes.Load()) / 1024
			if most = max(most, n); i == 5 {
				b.ReportMetric(n, "KiB/fetch")
				b.ReportMetric(float64(time.Since(begin).Milliseconds()), "ms/fetch")
			}
		}
		b.ReportMetric(float64(count.nanos.Load())/1e6/fetches, "server-ms/fetch")
		b.ReportMetric(most, "KiB/largest-fetch")
		server.Close()
	}
}

// watchHeap begins to look at the heap; what it gives ends that and tells how much it grew at most, in bytes.
func watchHeap() func() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, peak := m.HeapInuse, m.HeapInuse
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
			}
		}
	}()
	return func() uint64 { close(stop); <-stopped; return peak - before }
}
