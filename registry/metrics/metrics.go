// Package metrics is what the server counts. Each server has a registry of its own, so that tests and several servers in
// one process do not meet. Names begin with crateyard_; units are seconds and bytes; labels have few values: a route is a
// pattern, never a path.
package metrics

import (
	"database/sql"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the server's metrics.
type Metrics struct {
	registry *prometheus.Registry
	s3       s3Metrics

	Requests        *prometheus.CounterVec   // by route and code
	RequestDuration *prometheus.HistogramVec // by route
	ResponseBytes   *prometheus.CounterVec   // by route
	Publishes       *prometheus.CounterVec   // by result
	PublishedBytes  prometheus.Counter
	Downloads       prometheus.Counter
	DownloadedBytes prometheus.Counter
	IndexHits       prometheus.Counter
	IndexMisses     prometheus.Counter
	ClockJumps      prometheus.Counter
	backends        *prometheus.GaugeVec
}

// New makes the metrics of a server of the given version.
func New(version string) *Metrics {
	r := prometheus.NewRegistry()
	m := &Metrics{
		registry: r,
		Requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crateyard_http_requests_total", Help: "Requests answered, by route and status code."}, []string{"route", "code"}),
		RequestDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "crateyard_http_request_duration_seconds", Help: "Time from a request's headers to the end of its answer, by route.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"route"}),
		ResponseBytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crateyard_http_response_bytes_total", Help: "Bytes of the bodies of answers, by route."}, []string{"route"}),
		Publishes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crateyard_publishes_total", Help: "Publishes, by result: published, refused (the upload's fault) or failed (ours, also while catalog or storage takes none)."}, []string{"result"}),
		PublishedBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crateyard_published_bytes_total", Help: "Bytes of the archives of published versions."}),
		Downloads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crateyard_downloads_total", Help: "Archives sent whole."}),
		DownloadedBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crateyard_downloaded_bytes_total", Help: "Bytes of archives sent, parts included."}),
		IndexHits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crateyard_index_cache_hits_total", Help: "Index files answered from memory."}),
		IndexMisses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crateyard_index_cache_misses_total", Help: "Index files looked up in the catalog."}),
		ClockJumps: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crateyard_clock_jumps_total", Help: "Times that this machine's clock was found to have jumped by more than 30 s since the last look, or the machine to have slept."}),
		backends: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crateyard_backend_up", Help: "Whether the last look found catalog and storage at work (1) or not (0)."}, []string{"backend"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "crateyard_build_info", Help: "The program's version, as a label; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()}})
	info.Set(1)
	for _, result := range []string{"published", "refused", "failed"} {
		m.Publishes.WithLabelValues(result) // 0 is worth showing: an alert on a rate needs a first value
	}
	r.MustRegister(m.Requests, m.RequestDuration, m.ResponseBytes, m.Publishes, m.PublishedBytes, m.Downloads, m.DownloadedBytes,
		m.IndexHits, m.IndexMisses, m.ClockJumps, m.backends, info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// BackendUp notes what a look at catalog or storage found.
func (m *Metrics) BackendUp(name string, up bool) {
	value := 0.0
	if up {
		value = 1
	}
	m.backends.WithLabelValues(name).Set(value)
}

// Handler serves /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Gauge adds a figure that is read when Prometheus asks.
func (m *Metrics) Gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// Pool adds the figures of the catalog's connection pools, by the pool's name.
func (m *Metrics) Pool(stats func() map[string]sql.DBStats) {
	m.registry.MustRegister(poolCollector{stats})
}

type poolCollector struct {
	stats func() map[string]sql.DBStats
}

var (
	poolOpen = prometheus.NewDesc("crateyard_catalog_pool_open_connections", "Open connections to the catalog, by pool.", []string{"pool"}, nil)
	poolBusy = prometheus.NewDesc("crateyard_catalog_pool_in_use_connections", "Connections to the catalog in use, by pool.", []string{"pool"}, nil)
	poolIdle = prometheus.NewDesc("crateyard_catalog_pool_idle_connections", "Open connections to the catalog that nothing uses, by pool.", []string{"pool"}, nil)
	poolWait = prometheus.NewDesc("crateyard_catalog_pool_waits_total", "Times that a request waited for a connection, by pool.", []string{"pool"}, nil)
	poolTime = prometheus.NewDesc("crateyard_catalog_pool_wait_seconds_total", "Time that requests waited for a connection, by pool.", []string{"pool"}, nil)
)

// Describe implements prometheus.Collector.
func (p poolCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(p, ch) }

// Collect implements prometheus.Collector.
func (p poolCollector) Collect(ch chan<- prometheus.Metric) {
	for name, s := range p.stats() {
		ch <- prometheus.MustNewConstMetric(poolOpen, prometheus.GaugeValue, float64(s.OpenConnections), name)
		ch <- prometheus.MustNewConstMetric(poolBusy, prometheus.GaugeValue, float64(s.InUse), name)
		ch <- prometheus.MustNewConstMetric(poolIdle, prometheus.GaugeValue, float64(s.Idle), name)
		ch <- prometheus.MustNewConstMetric(poolWait, prometheus.CounterValue, float64(s.WaitCount), name)
		ch <- prometheus.MustNewConstMetric(poolTime, prometheus.CounterValue, s.WaitDuration.Seconds(), name)
	}
}
