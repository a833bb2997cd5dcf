package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Ways on which rows come whose changes the changelog is told of.
const (
	WayIngest = "ingest"
	WayPush   = "push"
)

// Changelog is the instruments of what tells the changelog.
type Changelog struct {
	keys, failures prometheus.Counter
	duration       prometheus.Observer
}

// Changelog returns the instruments of a way.
func (m *Metrics) Changelog(way string) *Changelog {
	return m.logs.get(way, func() *Changelog {
		return &Changelog{
			keys: m.i.changelogKeys.WithLabelValues(way), failures: m.i.changelogFailures.WithLabelValues(way),
			duration: m.i.changelogDuration.WithLabelValues(way),
		}
	})
}

// Told counts keys that were acknowledged.
func (c *Changelog) Told(keys int, took time.Duration) {
	c.keys.Add(float64(keys))
	c.duration.Observe(took.Seconds())
}

// Failed counts a batch that could not be told, after so long.
func (c *Changelog) Failed(took time.Duration) {
	c.failures.Inc()
	c.duration.Observe(took.Seconds())
}
