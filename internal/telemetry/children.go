package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Topic is the instruments of one topic that is read.
type Topic struct {
	records, bytes, rows, expired, paused, stopped prometheus.Counter
	written, loaded                                prometheus.Counter // tiles
	decode, transform, write                       prometheus.Observer
	rejected, retries                              *prometheus.CounterVec
}

func (i *instruments) topic(name string) *Topic {
	only := prometheus.Labels{labelTopic: name}
	return &Topic{
		records: i.records.WithLabelValues(name), bytes: i.bytes.WithLabelValues(name), rows: i.rowsDecoded.WithLabelValues(name),
		expired: i.expired.WithLabelValues(name), paused: i.lanePaused.WithLabelValues(name), stopped: i.laneStopped.WithLabelValues(name),
		written: i.tilesWritten.WithLabelValues(name), loaded: i.tilesLoaded.WithLabelValues(name),
		decode: i.decodeDuration.WithLabelValues(name), transform: i.transformDuration.WithLabelValues(name), write: i.writeTimes.WithLabelValues(name),
		rejected: i.decodeRejected.MustCurryWith(only), retries: i.retries.MustCurryWith(only),
	}
}

// Batch counts a finished micro-batch.
func (t *Topic) Batch(records int, bytes int64, rows int) {
	t.records.Add(float64(records))
	t.bytes.Add(float64(bytes))
	t.rows.Add(float64(rows))
}

// Tiles counts the tiles of a finished micro-batch.
func (t *Topic) Tiles(written, loaded int) {
	t.written.Add(float64(written))
	t.loaded.Add(float64(loaded))
}

// Took observes how long the steps of a micro-batch took.
func (t *Topic) Took(decode, transform, write time.Duration) {
	t.decode.Observe(decode.Seconds())
	t.transform.Observe(transform.Seconds())
	t.write.Observe(write.Seconds())
}

// Rejected counts one record or row that could not be decoded.
func (t *Topic) Rejected(reason string) { t.rejected.WithLabelValues(reason).Inc() }

// Retried counts one more attempt at an operation.
func (t *Topic) Retried(operation string) { t.retries.WithLabelValues(operation).Inc() }

// Expired counts records that the log dropped before they were read.
func (t *Topic) Expired(records int64) { t.expired.Add(float64(max(0, records))) }

// Paused counts a full lane.
func (t *Topic) Paused() { t.paused.Inc() }

// Stopped counts a lane that needs a person.
func (t *Topic) Stopped() { t.stopped.Inc() }

// Lane is the gauges of one assigned partition.
type Lane struct{ lagRecords, lagSeconds, buffered, tiles, tileBytes prometheus.Gauge }

// Lag tells how far the lane is behind: in records, and by the age of the
// oldest record of the batch just finished.
func (l *Lane) Lag(records int64, age time.Duration) {
	l.lagRecords.Set(float64(max(0, records)))
	l.lagSeconds.Set(max(0, age.Seconds()))
}

// Buffered tells how many bytes of records the lane holds.
func (l *Lane) Buffered(bytes int64) { l.buffered.Set(float64(bytes)) }

// Holds tells how many tiles the lane holds decoded, and their bytes.
func (l *Lane) Holds(tiles int, bytes int64) {
	l.tiles.Set(float64(tiles))
	l.tileBytes.Set(float64(bytes))
}

// View is the instruments of one view.
type View struct {
	received, absent, stored, filtered, deadLettered, superseded, late prometheus.Counter

	freshness, age prometheus.Observer
	rejected       *prometheus.CounterVec
}

func (i *instruments) view(name string) *View {
	return &View{
		received:     i.received.WithLabelValues(name),
		absent:       i.absent.WithLabelValues(name),
		stored:       i.rows.WithLabelValues(name, EndStored),
		filtered:     i.rows.WithLabelValues(name, EndFiltered),
		deadLettered: i.rows.WithLabelValues(name, EndDeadLettered),
		superseded:   i.superseded.WithLabelValues(name),
		late:         i.late.WithLabelValues(name),
		freshness:    i.freshness.WithLabelValues(name),
		age:          i.eventAge.WithLabelValues(name),
		rejected:     i.rejected.MustCurryWith(prometheus.Labels{labelView: name}),
	}
}

// Received counts rows that came in for the view, refused records included, and
// the columns that finished ones left out.
func (v *View) Received(rows, absent int) {
	v.received.Add(float64(rows))
	v.absent.Add(float64(absent))
}

// Ends counts rows by their end; stored includes superseded ones.
func (v *View) Ends(stored, superseded, filtered, deadLettered int) {
	v.stored.Add(float64(stored))
	v.superseded.Add(float64(superseded))
	v.filtered.Add(float64(filtered))
	v.deadLettered.Add(float64(deadLettered))
}

// Late counts rows that were too old for windows; they have an end as well.
func (v *View) Late(rows int) { v.late.Add(float64(rows)) }

// Rejected counts one dead-lettered row by what was wrong with it.
func (v *View) Rejected(stage, reason string) { v.rejected.WithLabelValues(stage, reason).Inc() }

// Fresh observes the time from an event to its row being durable.
func (v *View) Fresh(d time.Duration) { v.freshness.Observe(d.Seconds()) }

// Arrived observes how old an event was when it arrived; negative when it
// claims to be from the future.
func (v *View) Arrived(age time.Duration) { v.age.Observe(age.Seconds()) }
