package telemetry

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Refresh is the instruments of what refreshes the predictions of one model
// after changes of their inputs. What became of keys is with Prediction.
type Refresh struct {
	model                             string
	pending                           prometheus.Gauge
	delay                             prometheus.Observer
	retries, corrupt, expired, paused prometheus.Counter
	lag                               *prometheus.GaugeVec
}

type refreshInstruments struct {
	retries, corrupt, expired, paused *prometheus.CounterVec

	pending, lag *prometheus.GaugeVec
	delay        *prometheus.HistogramVec
}

func (i *instruments) addRefresh() {
	r := &i.refresh
	r.pending = gauges("refresh", "pending_keys", "Keys that wait for their refresh, or are being refreshed.", labelModel)
	r.delay = spread("refresh", "delay_seconds", "From the record of a change to the end of its key's refresh.", freshnessBuckets(), labelModel)
	r.retries = counters("refresh", "retries_total", "Keys refreshed again because it had failed.", labelModel)
	r.corrupt = counters("refresh", "corrupt_records_total", "Records of the changelog that cannot be read.", labelModel)
	r.expired = counters("refresh", "expired_records_total", "Records that the log dropped before they were read.", labelModel)
	r.paused = counters("refresh", "paused_total", "Times that a partition was paused because too many keys waited.", labelModel)
	r.lag = gauges("refresh", "lag_records", "Records between the oldest change without its end and the log's end.", labelModel, labelPartition)
}

func (i *instruments) refreshes() []prometheus.Collector {
	r := &i.refresh
	return []prometheus.Collector{r.pending, r.delay, r.retries, r.corrupt, r.expired, r.paused, r.lag}
}

// Refresh returns the instruments of a model whose changes are followed.
func (m *Metrics) Refresh(model string) *Refresh {
	return m.refreshing.get(model, func() *Refresh {
		i := &m.i.refresh
		return &Refresh{
			model: model, pending: i.pending.WithLabelValues(model), delay: i.delay.WithLabelValues(model), retries: i.retries.WithLabelValues(model),
			corrupt: i.corrupt.WithLabelValues(model), expired: i.expired.WithLabelValues(model), paused: i.paused.WithLabelValues(model),
			lag: i.lag,
		}
	})
}

// Pending tells how many keys wait.
func (r *Refresh) Pending(keys int) { r.pending.Set(float64(keys)) }

// Delay observes how long a change waited for the end of its refresh.
func (r *Refresh) Delay(d time.Duration) { r.delay.Observe(d.Seconds()) }

// Retried counts keys that are refreshed again.
func (r *Refresh) Retried(keys int) { r.retries.Add(float64(keys)) }

// Corrupt counts a record that cannot be read.
func (r *Refresh) Corrupt() { r.corrupt.Inc() }

// Expired counts records that the log dropped unread.
func (r *Refresh) Expired(records int64) { r.expired.Add(float64(max(0, records))) }

// Paused counts that a partition is paused.
func (r *Refresh) Paused() { r.paused.Inc() }

// Lag tells how many records of a partition have not had their end.
func (r *Refresh) Lag(partition int32, records int64) {
	r.lag.WithLabelValues(r.model, strconv.Itoa(int(partition))).Set(float64(records))
}

// Gone drops the gauge of a partition that another process owns now.
func (r *Refresh) Gone(partition int32) {
	r.lag.DeleteLabelValues(r.model, strconv.Itoa(int(partition)))
}
