package metrics

import "github.com/prometheus/client_golang/prometheus"

// BlobCache counts what a cache of crate files does. It is a storage.CacheObserver.
type BlobCache struct {
	hits, misses prometheus.Counter
	dropped      *prometheus.CounterVec // by reason
	bytes        prometheus.Gauge
}

// BlobCache makes the metrics of the cache. It is called once, by a server that has one.
func (m *Metrics) BlobCache() *BlobCache {
	c := &BlobCache{
		hits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crateyard_blob_cache_hits_total", Help: "Crate files that were opened in the cache, and in no bucket."}),
		misses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crateyard_blob_cache_misses_total", Help: "Crate files that were opened in the bucket, for the cache or past it."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crateyard_blob_cache_evictions_total", Help: "Crate files that were removed from the cache, by reason: room, damaged or deleted."}, []string{"reason"}),
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "crateyard_blob_cache_bytes", Help: "Bytes of the crate files in the cache, with those that are being fetched."}),
	}
	for _, reason := range []string{"room", "damaged", "deleted"} {
		c.dropped.WithLabelValues(reason) // 0 is worth showing
	}
	m.registry.MustRegister(c.hits, c.misses, c.dropped, c.bytes)
	return c
}

// Looked counts a blob that was opened.
func (c *BlobCache) Looked(found bool) {
	if found {
		c.hits.Inc()
	} else {
		c.misses.Inc()
	}
}

// Dropped counts a copy that was removed.
func (c *BlobCache) Dropped(why string) { c.dropped.WithLabelValues(why).Inc() }

// Holds notes how large the cache is.
func (c *BlobCache) Holds(bytes int64) { c.bytes.Set(float64(bytes)) }
