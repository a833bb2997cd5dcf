package telemetry

import (
	"strconv"
	"time"
)

// PushRequest counts a request to write that was answered with an HTTP status.
func (m *Metrics) PushRequest(endpoint string, code int, took time.Duration) {
	m.i.pushRequests.WithLabelValues(endpoint, strconv.Itoa(code)).Inc()
	m.i.pushDuration.WithLabelValues(endpoint).Observe(took.Seconds())
}

// PushRows counts rows of a view by their end.
func (m *Metrics) PushRows(source, view string, stored, filtered, rejected int) {
	for _, e := range []struct {
		end string
		n   int
	}{{EndStored, stored}, {EndFiltered, filtered}, {EndRejected, rejected}} {
		if e.n > 0 {
			m.i.pushRows.WithLabelValues(source, view, e.end).Add(float64(e.n))
		}
	}
}

// PushPublished counts rows that were put on a source's topic.
func (m *Metrics) PushPublished(source string, rows int) {
	m.i.pushPublished.WithLabelValues(source).Add(float64(rows))
}

// PushLimit tells how many pushes of a way wait for the store at a time at most.
func (m *Metrics) PushLimit(way string, pushes int) {
	m.i.pushLimit.WithLabelValues(way).Set(float64(pushes))
}

// PushInFlight tells how many bytes requests to write hold.
func (m *Metrics) PushInFlight(bytes int64) { m.i.pushInFlight.Set(float64(bytes)) }
