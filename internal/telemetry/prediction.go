package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Ways in which a prediction was had without a call, as the label of
// millrace_prediction_calls_saved_total.
const (
	SavedFresh     = "fresh"     // a fresh one was stored
	SavedStale     = "stale"     // a stale one may still be served
	SavedCoalesced = "coalesced" // somebody had asked for it
	SavedReused    = "reused"    // a call for it had ended shortly before
)

// Prediction is the instruments of one model. Reasons, origins, details, causes
// and rules are of the closed sets that serving has; none holds a key or a value.
type Prediction struct {
	duration, rowsOfCall, age prometheus.Observer
	breaker                   prometheus.Gauge
	remembered                prometheus.Counter

	calls, rows, retried, causes, writes, saved labelled
	reads, refreshes                            pairs
}

// pairs is counters that differ in two labels.
type pairs struct {
	vec *prometheus.CounterVec
	all children[[2]string, prometheus.Counter]
}

func (p *pairs) add(one, other string, n int) {
	if n <= 0 {
		return
	}
	c := p.all.get([2]string{one, other}, func() *prometheus.Counter {
		c := p.vec.WithLabelValues(one, other)
		return &c
	})
	(*c).Add(float64(n))
}

// labelled is counters that differ in one label.
type labelled struct {
	vec *prometheus.CounterVec
	all children[string, prometheus.Counter]
}

func (l *labelled) add(label string, n int) {
	if n <= 0 {
		return
	}
	c := l.all.get(label, func() *prometheus.Counter {
		c := l.vec.WithLabelValues(label)
		return &c
	})
	(*c).Add(float64(n))
}

type predictionInstruments struct {
	calls, rows, remembered, retried, reads, causes, writes, saved, refreshes *prometheus.CounterVec

	duration, rowsOfCall, age *prometheus.HistogramVec
	breaker                   *prometheus.GaugeVec
}

func (i *instruments) addPrediction() {
	p := &i.prediction
	p.calls = counters("prediction", "calls_total", "Calls of model servers by what became of them, retries included; reason none is an answer.", labelModel, labelReason)
	p.duration = histograms("prediction", "call_duration_seconds", "One call of a model server.", labelModel)
	p.rowsOfCall = spread("prediction", "call_rows", "Keys that one call of a model server was about.", rowBuckets(), labelModel)
	p.rows = counters("prediction", "rows_total", "Predictions asked for by what became of them; reason none is a prediction.", labelModel, labelReason)
	p.remembered = counters("prediction", "remembered_total", "Predictions that failed without a call because they had failed shortly before.", labelModel)
	p.retried = counters("prediction", "retries_total", "Calls of model servers made again, by what had become of the first.", labelModel, labelReason)
	p.breaker = gauges("prediction", "breaker_state", "What is let through to a model: 0 every call, 1 one call, 2 none.", labelModel)
	p.reads = counters("prediction", "reads_total", "Predictions served by where they came from.", labelModel, labelOrigin, labelDetail)
	p.age = spread("prediction", "age_seconds", "How long before it was served the inputs of a prediction were read.", freshnessBuckets(), labelModel)
	p.causes = counters("prediction", "inferences_total", "Predictions that a lookup had the model compute, by why.", labelModel, labelCause)
	p.writes = counters("prediction", "writes_total",
		"Predictions to be stored by what became of them; lost ones, in whose place a later one was found, are written as well.", labelModel, labelEnd)
	p.refreshes = counters("prediction", "refreshes_total", "Keys that were brought up to date, by on whose account and by their end.", labelModel, labelWay, labelEnd)
	p.saved = counters("prediction", "calls_saved_total", "Predictions that were had without asking the model, by how.", labelModel, labelWay)
}

func (i *instruments) predictions() []prometheus.Collector {
	p := &i.prediction
	return []prometheus.Collector{p.calls, p.duration, p.rowsOfCall, p.rows, p.remembered, p.retried, p.breaker, p.reads, p.age, p.causes, p.writes, p.saved, p.refreshes}
}

// rowBuckets reach to the greatest max_batch of a definition.
func rowBuckets() []float64 { return prometheus.ExponentialBuckets(1, 2, 13) }

// Prediction returns the instruments of a model of the catalog.
func (m *Metrics) Prediction(model string) *Prediction {
	return m.predictions.get(model, func() *Prediction {
		i, only := &m.i.prediction, prometheus.Labels{labelModel: model}
		of := func(v *prometheus.CounterVec) labelled { return labelled{vec: v.MustCurryWith(only)} }
		return &Prediction{
			duration: i.duration.WithLabelValues(model), rowsOfCall: i.rowsOfCall.WithLabelValues(model), age: i.age.WithLabelValues(model),
			breaker: i.breaker.WithLabelValues(model), remembered: i.remembered.WithLabelValues(model),
			calls: of(i.calls), rows: of(i.rows), retried: of(i.retried), causes: of(i.causes), writes: of(i.writes), saved: of(i.saved),
			reads: pairs{vec: i.reads.MustCurryWith(only)}, refreshes: pairs{vec: i.refreshes.MustCurryWith(only)},
		}
	})
}

// Call observes one call of the model's server.
func (p *Prediction) Call(rows int, took time.Duration, reason string) {
	p.calls.add(reason, 1)
	p.duration.Observe(took.Seconds())
	p.rowsOfCall.Observe(float64(rows))
}

// Rows counts predictions that were asked for by what became of them.
func (p *Prediction) Rows(reason string, n int) { p.rows.add(reason, n) }

// Remembered counts rows that failed without a call.
func (p *Prediction) Remembered(n int) { p.remembered.Add(float64(n)) }

// Retried counts a call that is made again.
func (p *Prediction) Retried(reason string) { p.retried.add(reason, 1) }

// Breaker tells what is let through: 0 every call, 1 one call, 2 none.
func (p *Prediction) Breaker(state int) { p.breaker.Set(float64(state)) }

// Read counts predictions that were served by where they came from. detail may
// be "".
func (p *Prediction) Read(origin, detail string, n int) { p.reads.add(origin, detail, n) }

// Age observes how old a stored prediction was when it was served.
func (p *Prediction) Age(d time.Duration) { p.age.Observe(max(0, d.Seconds())) }

// Inferred counts predictions that a lookup had the model compute, by why: none
// was stored, or the rule by which the stored one was stale.
func (p *Prediction) Inferred(cause string, n int) { p.causes.add(cause, n) }

// Wrote counts predictions by what became of storing them.
func (p *Prediction) Wrote(end string, n int) { p.writes.add(end, n) }

// Refreshed counts keys that were brought up to date, by on whose account and by
// what became of them.
func (p *Prediction) Refreshed(by, end string, n int) { p.refreshes.add(by, end, n) }

// Saved counts predictions that cost no call, by how: one of Saved….
func (p *Prediction) Saved(way string, n int) { p.saved.add(way, n) }
