package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// S3 counts requests to S3. It is a storage.S3Observer.
type S3 struct {
	requests *prometheus.CounterVec   // by operation and code
	duration *prometheus.HistogramVec // by operation
	bytes    *prometheus.CounterVec   // by direction
	retries  *prometheus.CounterVec   // by operation

	sent, received prometheus.Counter
}

// s3Metrics makes them when they are first asked for: a server without a bucket does not show them.
type s3Metrics struct {
	once sync.Once
	s3   *S3
}

// S3 gives the metrics of requests to S3, which all buckets of this server share.
func (m *Metrics) S3() *S3 {
	m.s3.once.Do(func() {
		s := &S3{
			requests: prometheus.NewCounterVec(prometheus.CounterOpts{
				Name: "crateyard_s3_requests_total", Help: "Requests to S3, by operation and status code, or timeout, stalled, canceled or unreachable."}, []string{"operation", "code"}),
			duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
				Name: "crateyard_s3_request_seconds", Help: "Time from a request to S3 to the begin of its answer, by operation.",
				Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"operation"}),
			bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
				Name: "crateyard_s3_bytes_total", Help: "Bytes of bodies to and from S3, by direction: sent or received."}, []string{"direction"}),
			retries: prometheus.NewCounterVec(prometheus.CounterOpts{
				Name: "crateyard_s3_retries_total", Help: "Requests to S3 that were made again after one that failed, by operation."}, []string{"operation"}),
		}
		s.sent, s.received = s.bytes.WithLabelValues("sent"), s.bytes.WithLabelValues("received")
		m.registry.MustRegister(s.requests, s.duration, s.bytes, s.retries)
		m.s3.s3 = s
	})
	return m.s3.s3
}

// Request counts a request.
func (s *S3) Request(operation, code string, took time.Duration, retry bool) {
	s.requests.WithLabelValues(operation, code).Inc()
	s.duration.WithLabelValues(operation).Observe(took.Seconds())
	if retry {
		s.retries.WithLabelValues(operation).Inc()
	}
}

// Bytes counts bytes.
func (s *S3) Bytes(sent, received int) {
	s.sent.Add(float64(sent))
	s.received.Add(float64(received))
}
