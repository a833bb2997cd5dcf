package telemetry

import (
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics is every instrument of a process, in a registry of its own. It is
// safe for concurrent use. Its methods never block and, once a view or topic
// was seen, never allocate.
type Metrics struct {
	registry *prometheus.Registry
	i        instruments

	topics    children[string, Topic]
	views     children[string, View]
	lanes     children[laneID, Lane]
	rekeys    children[string, Rekey]
	logs      children[string, Changelog]
	endpoints children[requestID, request]

	predictions children[string, Prediction]
	refreshing  children[string, Refresh]
}

type laneID struct {
	topic     string
	partition int32
}

type requestID struct {
	endpoint string
	code     int
}

// NewMetrics makes the instruments of one process; version is the binary's.
func NewMetrics(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), i: newInstruments()}
	m.registry.MustRegister(slices.Concat(m.i.all(), m.i.predictions(), m.i.refreshes())...) // fails for duplicate names only, which a test rules out
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.i.buildInfo.WithLabelValues(version, runtime.Version()).Set(1)
	return m
}

// Gatherer reads all metrics; the admin endpoint exposes it.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// SetCatalogVersion tells which catalog version the process runs.
func (m *Metrics) SetCatalogVersion(v int64) { m.i.catalogVersion.Set(float64(v)) }

// SetStoreConcurrency tells how many statements the store is given at once.
func (m *Metrics) SetStoreConcurrency(n int) { m.i.storeConcurrency.Set(float64(n)) }

// Committed counts a commit that the broker has acknowledged at time at.
func (m *Metrics) Committed(at time.Time) {
	m.i.commits.Inc()
	m.i.lastCommit.Set(float64(at.UnixMilli()) / 1e3)
}

// CommitFailed counts a commit that will be tried again.
func (m *Metrics) CommitFailed() { m.i.commitFailures.Inc() }

// Topic returns the instruments of a topic that is read.
func (m *Metrics) Topic(name string) *Topic {
	return m.topics.get(name, func() *Topic { return m.i.topic(name) })
}

// View returns the instruments of a view.
func (m *Metrics) View(name string) *View {
	return m.views.get(name, func() *View { return m.i.view(name) })
}

// Lane returns the instruments of an assigned partition.
func (m *Metrics) Lane(topic string, partition int32) *Lane {
	return m.lanes.get(laneID{topic, partition}, func() *Lane {
		labels := []string{topic, strconv.Itoa(int(partition))}
		return &Lane{
			lagRecords: m.i.lagRecords.WithLabelValues(labels...),
			lagSeconds: m.i.lagSeconds.WithLabelValues(labels...),
			buffered:   m.i.buffered.WithLabelValues(labels...),
			tiles:      m.i.laneTiles.WithLabelValues(labels...),
			tileBytes:  m.i.laneTileBytes.WithLabelValues(labels...),
		}
	})
}

// ForgetLane drops the gauges of a partition that another process owns now; a
// lag that stood still would look like an alarm.
func (m *Metrics) ForgetLane(topic string, partition int32) {
	labels := []string{topic, strconv.Itoa(int(partition))}
	m.lanes.forget(laneID{topic, partition}, func() {
		for _, g := range []*prometheus.GaugeVec{m.i.lagRecords, m.i.lagSeconds, m.i.buffered, m.i.laneTiles, m.i.laneTileBytes} {
			g.DeleteLabelValues(labels...)
		}
	})
}

// Request counts an answered request of the read API and its duration; code is
// the HTTP status.
func (m *Metrics) Request(endpoint string, code int, took time.Duration) {
	r := m.endpoints.get(requestID{endpoint, code}, func() *request {
		return &request{
			count:    m.i.requests.WithLabelValues(endpoint, strconv.Itoa(code)),
			duration: m.i.requestDuration.WithLabelValues(endpoint),
		}
	})
	r.count.Inc()
	r.duration.Observe(took.Seconds())
}

// Values counts served values by status.
func (m *Metrics) Values(status string, n int) {
	if n > 0 {
		m.i.values.WithLabelValues(status).Add(float64(n))
	}
}

// StoreRead observes one read of the online store by the read API, of so many
// distinct entities.
func (m *Metrics) StoreRead(entities int, took time.Duration) {
	m.i.entities.Add(float64(entities))
	m.i.storeReads.Observe(took.Seconds())
}

// TileRead observes one read of windows by the read API, of so many tiles.
func (m *Metrics) TileRead(tiles int, took time.Duration) {
	m.i.tiles.Add(float64(tiles))
	m.i.tileReads.Observe(took.Seconds())
}

// Unencodable counts values answered as null because JSON cannot hold them.
func (m *Metrics) Unencodable(n int) { m.i.unencodable.Add(float64(n)) }

type request struct {
	count    prometheus.Counter
	duration prometheus.Observer
}

// children keeps the resolved instruments of label values, because resolving
// them costs more than counting.
type children[K comparable, V any] struct {
	mu  sync.RWMutex
	all map[K]*V
}

func (c *children[K, V]) get(k K, create func() *V) *V {
	c.mu.RLock()
	v := c.all[k]
	c.mu.RUnlock()
	if v != nil {
		return v
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v = c.all[k]; v != nil {
		return v
	}
	if c.all == nil {
		c.all = make(map[K]*V)
	}
	v = create()
	c.all[k] = v
	return v
}

func (c *children[K, V]) forget(k K, drop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, k)
	drop()
}
