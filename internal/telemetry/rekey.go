package telemetry

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Rekey is the instruments of what copies records for one rekeyed view.
type Rekey struct {
	view                              string
	records, copies, aborted, expired prometheus.Counter
	failures                          prometheus.Counter
	lag                               *prometheus.GaugeVec
}

// Rekey returns the instruments of a rekeyed view.
func (m *Metrics) Rekey(view string) *Rekey {
	return m.rekeys.get(view, func() *Rekey {
		return &Rekey{
			view: view, lag: m.i.rekeyLag, failures: m.i.rekeyFailures.WithLabelValues(view),
			records: m.i.rekeyRecords.WithLabelValues(view), copies: m.i.rekeyCopies.WithLabelValues(view),
			aborted: m.i.rekeyAborted.WithLabelValues(view), expired: m.i.rekeyExpired.WithLabelValues(view),
		}
	})
}

// Copied counts a partition's part of a transaction, and tells how many of its
// records are yet to be copied.
func (r *Rekey) Copied(partition int32, records, copies int, lag int64) {
	r.records.Add(float64(records))
	r.copies.Add(float64(copies))
	r.lag.WithLabelValues(r.view, strconv.Itoa(int(partition))).Set(float64(max(0, lag)))
}

// Gone drops the gauge of a partition that another process owns now.
func (r *Rekey) Gone(partition int32) {
	r.lag.DeleteLabelValues(r.view, strconv.Itoa(int(partition)))
}

// Aborted counts a transaction that a rebalance ended.
func (r *Rekey) Aborted() { r.aborted.Inc() }

// Expired counts records that the log dropped before they were copied.
func (r *Rekey) Expired(records int64) { r.expired.Add(float64(max(0, records))) }

// Failed counts that copying began to fail.
func (r *Rekey) Failed() { r.failures.Inc() }
