package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Mirrors counts what mirrors do; see mirror.Metrics for what its methods mean.
type Mirrors struct {
	served, denied, warned, sent, requests, upstreamBytes, evicted, evictedBytes, changed *prometheus.CounterVec
	seconds                                                                               *prometheus.HistogramVec
}

// Mirrors makes the metrics of mirrors.
func (m *Metrics) Mirrors() *Mirrors {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "crateyard_mirror_" + name, Help: help}, append([]string{"mirror"}, labels...))
	}
	c := &Mirrors{
		served:        counter("served_total", "Index files and archives that mirrors gave out, by result: hit (from the cache), miss (upstream was asked) or stale (upstream was of no help).", "what", "result"),
		denied:        counter("denied_total", "Requests that a policy refused, by rule.", "rule"),
		warned:        counter("warned_total", "Archives that were given out although a rule of the policy warns of them.", "rule"),
		sent:          counter("sent_bytes_total", "Bytes of archives that mirrors sent."),
		requests:      counter("upstream_requests_total", "Requests to upstream, by what was asked for and status code, or error.", "what", "code"),
		upstreamBytes: counter("upstream_bytes_total", "Bytes from upstream.", "what"),
		evicted:       counter("evicted_total", "Archives that retention removed."),
		evictedBytes:  counter("evicted_bytes_total", "Bytes of archives that retention removed."),
		changed:       counter("checksum_changes_total", "Index files and archives that were refused because what must never change had changed."),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "crateyard_mirror_upstream_request_duration_seconds", Help: "Time from a request to the headers of upstream's answer.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"mirror", "what"}),
	}
	m.registry.MustRegister(c.served, c.denied, c.warned, c.sent, c.requests, c.upstreamBytes, c.evicted, c.evictedBytes, c.changed, c.seconds)
	return c
}

// Served counts an answer.
func (c *Mirrors) Served(mirror, what, how string) { c.served.WithLabelValues(mirror, what, how).Inc() }

// Denied counts a refusal.
func (c *Mirrors) Denied(mirror, rule string) { c.denied.WithLabelValues(mirror, rule).Inc() }

// Warned counts what was given out all the same.
func (c *Mirrors) Warned(mirror, rule string) { c.warned.WithLabelValues(mirror, rule).Inc() }

// Sent counts bytes to clients.
func (c *Mirrors) Sent(mirror string, bytes int64) {
	c.sent.WithLabelValues(mirror).Add(float64(bytes))
}

// UpstreamRequest counts a request to upstream.
func (c *Mirrors) UpstreamRequest(mirror, what, code string, took time.Duration) {
	c.requests.WithLabelValues(mirror, what, code).Inc()
	c.seconds.WithLabelValues(mirror, what).Observe(took.Seconds())
}

// UpstreamBytes counts bytes from upstream.
func (c *Mirrors) UpstreamBytes(mirror, what string, bytes int64) {
	c.upstreamBytes.WithLabelValues(mirror, what).Add(float64(bytes))
}

// Evicted counts an archive that retention removed.
func (c *Mirrors) Evicted(mirror string, bytes int64) {
	c.evicted.WithLabelValues(mirror).Inc()
	c.evictedBytes.WithLabelValues(mirror).Add(float64(bytes))
}

// ChecksumChanged counts what was refused for it.
func (c *Mirrors) ChecksumChanged(mirror string) { c.changed.WithLabelValues(mirror).Inc() }

// Forget drops what is said of a mirror.
func (c *Mirrors) Forget(mirror string) {
	l := prometheus.Labels{"mirror": mirror}
	for _, v := range []*prometheus.CounterVec{c.served, c.denied, c.warned, c.sent, c.requests, c.upstreamBytes, c.evicted, c.evictedBytes, c.changed} {
		v.DeletePartialMatch(l)
	}
	c.seconds.DeletePartialMatch(l)
}

// MirrorState is how a mirror stands, for the figures that are read when Prometheus asks.
type MirrorState struct {
	Name                                                          string
	Wanted, Cached, Failed, IndexFiles, Archives, Bytes, Shadowed int64
	LastSuccessful                                                time.Time // of the sync; zero: never
	Running                                                       bool      // a sync is at work, as the catalog says
	Incomplete                                                    bool      // the last sync that ended failed, in part or as a whole, and is to be tried again
	UpstreamUp                                                    bool
}

// MirrorStates adds figures of how mirrors stand.
func (m *Metrics) MirrorStates(states func() []MirrorState) {
	m.registry.MustRegister(mirrorCollector{states})
}

type mirrorCollector struct{ states func() []MirrorState }

var (
	mirrorBacklog = prometheus.NewDesc("crateyard_mirror_backlog", "Versions that a mirror is to have in its cache and has not, those that failed included.", []string{"mirror"}, nil)
	mirrorFailed  = prometheus.NewDesc("crateyard_mirror_sync_failures", "Versions and requirements that the last sync could not cache; while one runs, those so far.", []string{"mirror"}, nil)
	mirrorCached  = prometheus.NewDesc("crateyard_mirror_sync_cached", "Versions that the last sync was to cache and that are cached; while one runs, those so far.", []string{"mirror"}, nil)
	mirrorRunning = prometheus.NewDesc("crateyard_mirror_sync_running", "1: a sync is at work, on any server.", []string{"mirror"}, nil)
	mirrorPartial = prometheus.NewDesc("crateyard_mirror_sync_incomplete", "1: the last sync that ended failed, in part or as a whole, and is tried again. A try that runs changes nothing before it ends.", []string{"mirror"}, nil)
	mirrorIndex   = prometheus.NewDesc("crateyard_mirror_index_files", "Index files that a mirror has cached.", []string{"mirror"}, nil)
	mirrorStored  = prometheus.NewDesc("crateyard_mirror_archives", "Archives that a mirror has cached.", []string{"mirror"}, nil)
	mirrorBytes   = prometheus.NewDesc("crateyard_mirror_archive_bytes", "Bytes of the archives that a mirror has cached.", []string{"mirror"}, nil)
	mirrorShadow  = prometheus.NewDesc("crateyard_mirror_shadowed_crates", "Crates that both this registry and a mirror's upstream have; those beyond the first twenty are not counted.", []string{"mirror"}, nil)
	mirrorSynced  = prometheus.NewDesc("crateyard_mirror_last_sync_timestamp_seconds", "When the last sync without a failure ended.", []string{"mirror"}, nil)
	mirrorUp      = prometheus.NewDesc("crateyard_mirror_upstream_up", "Whether upstream answered this server's last request (1) or not (0).", []string{"mirror"}, nil)
)

// Describe implements prometheus.Collector.
func (c mirrorCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{mirrorBacklog, mirrorFailed, mirrorCached, mirrorRunning, mirrorPartial, mirrorIndex, mirrorStored, mirrorBytes, mirrorShadow, mirrorSynced, mirrorUp} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c mirrorCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.states() {
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, s.Name)
		}
		gauge(mirrorBacklog, float64(max(0, s.Wanted-s.Cached)))
		gauge(mirrorFailed, float64(s.Failed))
		gauge(mirrorCached, float64(s.Cached))
		gauge(mirrorRunning, oneIf(s.Running))
		gauge(mirrorPartial, oneIf(s.Incomplete))
		gauge(mirrorIndex, float64(s.IndexFiles))
		gauge(mirrorStored, float64(s.Archives))
		gauge(mirrorBytes, float64(s.Bytes))
		gauge(mirrorShadow, float64(s.Shadowed))
		if !s.LastSuccessful.IsZero() {
			gauge(mirrorSynced, float64(s.LastSuccessful.Unix()))
		}
		gauge(mirrorUp, oneIf(s.UpstreamUp))
	}
}

func oneIf(so bool) float64 {
	if so {
		return 1
	}
	return 0
}
