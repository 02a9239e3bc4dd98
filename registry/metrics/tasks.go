package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crateyard/crateyard/registry/upkeep"
)

// Tasks adds the figures of sweep, scrub, backup and the like, by the task's name. Runs and failures are this server's, so that with several servers
// the sum is the registry's. What the last success was, all servers say alike, also after a start.
func (m *Metrics) Tasks(status func() []upkeep.Status) {
	m.registry.MustRegister(taskCollector{status})
}

type taskCollector struct{ status func() []upkeep.Status }

var (
	taskRuns     = prometheus.NewDesc("crateyard_task_runs_total", "Runs of periodic tasks begun on this server.", []string{"task"}, nil)
	taskFailures = prometheus.NewDesc("crateyard_task_failures_total", "Runs of periodic tasks that failed on this server.", []string{"task"}, nil)
	taskSuccess  = prometheus.NewDesc("crateyard_task_last_success_timestamp_seconds", "When a periodic task last succeeded, on any server; 0: never.", []string{"task"}, nil)
	taskSeconds  = prometheus.NewDesc("crateyard_task_last_duration_seconds", "How long the last run of a periodic task on this server took.", []string{"task"}, nil)
	taskItems    = prometheus.NewDesc("crateyard_task_last_items", "Blobs that the last successful run removed (sweep), backed up (backup) or read (scrub).", []string{"task"}, nil)
	taskBytes    = prometheus.NewDesc("crateyard_task_last_bytes", "Bytes of them.", []string{"task"}, nil)
	taskProblems = prometheus.NewDesc("crateyard_task_last_problems", "Damaged or missing blobs that the last successful run found (scrub).", []string{"task"}, nil)
)

// Describe implements prometheus.Collector. What it collects depends on the configuration.
func (t taskCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{taskRuns, taskFailures, taskSuccess, taskSeconds, taskItems, taskBytes, taskProblems} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (t taskCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range t.status() {
		gauge := func(d *prometheus.Desc, value float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, s.Name)
		}
		ch <- prometheus.MustNewConstMetric(taskRuns, prometheus.CounterValue, float64(s.Runs), s.Name)
		ch <- prometheus.MustNewConstMetric(taskFailures, prometheus.CounterValue, float64(s.Failures), s.Name)
		gauge(taskSuccess, unix(s.LastSucceeded))
		gauge(taskSeconds, s.LastDuration)
		gauge(taskItems, float64(s.Last.Items))
		gauge(taskBytes, float64(s.Last.Bytes))
		gauge(taskProblems, float64(s.Last.Problems))
	}
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
