package telemetry

import "github.com/prometheus/client_golang/prometheus"

const namespace = "millrace"

// The closed set of label names.
const (
	labelCause     = "cause"
	labelCode      = "code"
	labelDetail    = "detail"
	labelEnd       = "end"
	labelEndpoint  = "endpoint"
	labelWay       = "way"
	labelGo        = "go_version"
	labelModel     = "model"
	labelOperation = "operation"
	labelOrigin    = "origin"
	labelPartition = "partition"
	labelSource    = "source"
	labelReason    = "reason"
	labelStage     = "stage"
	labelStatus    = "status"
	labelTopic     = "topic"
	labelVersion   = "version"
	labelView      = "view"
)

// Ends of rows, as the label of millrace_rows_total.
const (
	EndStored       = "stored"
	EndFiltered     = "filtered"
	EndDeadLettered = "dead_lettered"
	EndRejected     = "rejected" // of pushed rows: the caller was told
)

// Bucket bounds in seconds. All begin at 100 µs: an embedded store answers in
// less than a millisecond.
func durationBuckets() []float64 {
	return []float64{1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
}

// freshnessBuckets reach to hours: after an outage of the store freshness is
// as old as the outage was long.
func freshnessBuckets() []float64 {
	return []float64{
		1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5,
		1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600,
	}
}

// ageBuckets begin at 0, for events from the future, and reach to decades:
// seconds taken for milliseconds put an event into January 1970.
func ageBuckets() []float64 {
	const day = 24 * 3600
	return []float64{0, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 60, 600, 3600, 6 * 3600, day, 7 * day, 30 * day, 365 * day, 10 * 365 * day}
}

type instruments struct {
	records, bytes, rowsDecoded, expired, lanePaused, laneStopped *prometheus.CounterVec

	decodeRejected, retries                       *prometheus.CounterVec
	decodeDuration, transformDuration, writeTimes *prometheus.HistogramVec
	lagRecords, lagSeconds, buffered              *prometheus.GaugeVec
	laneTiles, laneTileBytes                      *prometheus.GaugeVec
	tilesWritten, tilesLoaded                     *prometheus.CounterVec

	rekeyRecords, rekeyCopies, rekeyAborted, rekeyExpired, rekeyFailures *prometheus.CounterVec
	rekeyLag                                                             *prometheus.GaugeVec

	changelogKeys, changelogFailures *prometheus.CounterVec
	changelogDuration                *prometheus.HistogramVec

	rows, received, superseded, absent, late, rejected *prometheus.CounterVec

	freshness, eventAge *prometheus.HistogramVec

	commits, commitFailures prometheus.Counter
	lastCommit              prometheus.Gauge
	requests, values        *prometheus.CounterVec
	requestDuration         *prometheus.HistogramVec
	storeReads, tileReads   prometheus.Histogram
	entities, tiles         prometheus.Counter
	unencodable             prometheus.Counter
	pushRequests, pushRows  *prometheus.CounterVec
	pushPublished           *prometheus.CounterVec
	pushDuration            *prometheus.HistogramVec
	pushInFlight            prometheus.Gauge
	pushLimit               *prometheus.GaugeVec
	storeConcurrency        prometheus.Gauge
	catalogVersion          prometheus.Gauge
	buildInfo               *prometheus.GaugeVec

	prediction predictionInstruments
	refresh    refreshInstruments
}

func newInstruments() instruments {
	i := instruments{}
	i.addSource()
	i.addRekey()
	i.addSink()
	i.addChangelog()
	i.addServing()
	i.addPush()
	i.addPrediction()
	i.addRefresh()
	i.addProcess()
	return i
}

func (i *instruments) addSource() {
	i.records = counters("source", "records_total", "Records whose rows all have their end.", labelTopic)
	i.bytes = counters("source", "bytes_total", "Bytes of these records.", labelTopic)
	i.expired = counters("source", "expired_records_total", "Records that the log dropped before they were read.", labelTopic)
	i.lagRecords = gauges("source", "lag_records", "Records between the last finished one and the log's end.", labelTopic, labelPartition)
	i.lagSeconds = gauges("source", "lag_seconds", "Age of the oldest record of the last batch when the batch was finished.", labelTopic, labelPartition)
	i.buffered = gauges("lane", "buffered_bytes", "Bytes of records that a lane holds.", labelTopic, labelPartition)
	i.lanePaused = counters("lane", "paused_total", "Times that a full lane paused its partition.", labelTopic)
	i.laneTiles = gauges("lane", "tiles", "Tiles that a lane holds decoded.", labelTopic, labelPartition)
	i.laneTileBytes = gauges("lane", "tile_bytes", "Bytes of these tiles.", labelTopic, labelPartition)
	i.laneStopped = counters("lane", "stopped_total", "Lanes that stopped and need a person.", labelTopic)
	i.rowsDecoded = counters("decode", "rows_total", "Rows decoded.", labelTopic)
	i.decodeRejected = counters("decode", "rejected_total", "Records and rows that could not be decoded.", labelTopic, labelReason)
	i.decodeDuration = histograms("decode", "duration_seconds", "Decoding one micro-batch.", labelTopic)
	i.transformDuration = histograms("transform", "duration_seconds", "Write halves of all views and encoding of one micro-batch.", labelTopic)
}

func (i *instruments) addRekey() {
	i.rekeyRecords = counters("rekey", "records_total", "Records whose copies are on the rekeyed view's topic.", labelView)
	i.rekeyCopies = counters("rekey", "copies_total", "Copies of these records.", labelView)
	i.rekeyAborted = counters("rekey", "aborted_total", "Transactions that a rebalance ended; their records are read again.", labelView)
	i.rekeyExpired = counters("rekey", "expired_records_total", "Records that the log dropped before they were copied.", labelView)
	i.rekeyLag = gauges("rekey", "lag_records", "Records that are yet to be copied.", labelView, labelPartition)
	i.rekeyFailures = counters("rekey", "failures_total", "Times that copying began to fail: it is tried again, or waits for a person.", labelView)
}

func (i *instruments) addSink() {
	i.writeTimes = histograms("sink", "write_duration_seconds", "Storing one micro-batch and its dead letters, retries included.", labelTopic)
	i.tilesWritten = counters("", "tiles_written_total", "Tiles of windows written.", labelTopic)
	i.tilesLoaded = counters("", "tiles_loaded_total", "Tiles read from the store because their lane did not hold them.", labelTopic)
	i.retries = counters("sink", "retries_total", "Operations tried again.", labelTopic, labelOperation)
	i.rows = counters("", "rows_total", "Rows by their end; their sum is rows received.", labelView, labelEnd)
	i.received = counters("", "rows_received_total", "Rows decoded for a view, and records for it that could not be.", labelView)
	i.absent = counters("", "columns_absent_total", "Stored columns that finished rows left out because they are newer; null.", labelView)
	i.late = counters("", "late_rows_total", "Rows too old for windows to count, whatever their end.", labelView)
	i.superseded = counters("", "rows_superseded_total", "Stored rows that a newer one of the same key and batch replaced.", labelView)
	i.rejected = counters("", "rows_rejected_total", "Dead-lettered rows by what was wrong.", labelView, labelStage, labelReason)
	i.freshness = spread("feature", "freshness_seconds", "Event time to durable.", freshnessBuckets(), labelView)
	i.eventAge = spread("feature", "event_age_seconds", "Event time to record time.", ageBuckets(), labelView)
	i.commits = counter("commit", "total", "Commits acknowledged.")
	i.commitFailures = counter("commit", "failures_total", "Commits that failed and are tried again.")
	i.lastCommit = gauge("commit", "last_timestamp_seconds", "When the last commit was acknowledged; its age is time() minus this.")
	i.storeConcurrency = gauge("store", "concurrency_limit", "Statements given to the store at once; lowered while it is overloaded.")
}

func (i *instruments) addChangelog() {
	i.changelogKeys = counters("changelog", "keys_total", "Entity keys whose change the changelog has acknowledged; a key counts once per batch.", labelWay)
	i.changelogDuration = histograms("changelog", "publish_duration_seconds", "Telling the changelog of one batch, once; it is told behind the store's acknowledgement.", labelWay)
	i.changelogFailures = counters("changelog", "failures_total", "Times that telling failed: lanes tell again, API writes fail.", labelWay)
}

func (i *instruments) addServing() {
	i.requests = counters("serving", "requests_total", "Requests answered.", labelEndpoint, labelCode)
	i.requestDuration = histograms("serving", "request_duration_seconds", "Answering one request.", labelEndpoint)
	i.entities = counter("serving", "entities_total", "Distinct entities read from the store.")
	i.values = counters("serving", "values_total", "Values served.", labelStatus)
	i.unencodable = counter("serving", "unencodable_values_total", "Values answered as null because JSON cannot hold them: NaN, infinities, far times.")
	i.storeReads = prometheus.NewHistogram(histogramOpts("serving", "store_read_duration_seconds", "One read of the online store.", durationBuckets()))
	i.tiles = counter("serving", "tiles_total", "Tiles merged into windows.")
	i.tileReads = prometheus.NewHistogram(histogramOpts("serving", "tile_read_duration_seconds", "Reading and merging the windows of a lookup's entities.", durationBuckets()))
}

func (i *instruments) addPush() {
	i.pushRequests = counters("push", "requests_total", "Requests to write, and for receipts, answered.", labelEndpoint, labelCode)
	i.pushDuration = histograms("push", "request_duration_seconds", "Answering one of them.", labelEndpoint)
	i.pushRows = counters("push", "rows_total", "Rows written through the API by their end.", labelSource, labelView, labelEnd)
	i.pushPublished = counters("push", "published_rows_total", "Rows put on a source's topic.", labelSource)
	i.pushInFlight = gauge("push", "in_flight_bytes", "Bytes that requests to write hold now.")
	i.pushLimit = gauges("push", "concurrency_limit", "Pushes that are let in to wait for the store at a time. It falls when the store has a queue.", labelWay)
}

func (i *instruments) addProcess() {
	i.catalogVersion = gauge("catalog", "version", "Catalog version in use.")
	i.buildInfo = gauges("build", "info", "Always 1; its labels tell the version.", labelVersion, labelGo)
}

func (i *instruments) all() []prometheus.Collector {
	return []prometheus.Collector{
		i.records, i.bytes, i.rowsDecoded, i.expired, i.lanePaused, i.laneStopped,
		i.decodeRejected, i.retries, i.decodeDuration, i.transformDuration, i.writeTimes,
		i.lagRecords, i.lagSeconds, i.buffered, i.laneTiles, i.laneTileBytes, i.tilesWritten, i.tilesLoaded,
		i.rekeyRecords, i.rekeyCopies, i.rekeyAborted, i.rekeyExpired, i.rekeyFailures, i.rekeyLag,
		i.changelogKeys, i.changelogDuration, i.changelogFailures,
		i.rows, i.received, i.superseded, i.absent, i.late, i.rejected, i.freshness, i.eventAge,
		i.commits, i.commitFailures, i.lastCommit,
		i.requests, i.values, i.requestDuration, i.storeReads, i.tileReads, i.entities, i.tiles, i.unencodable,
		i.pushRequests, i.pushDuration, i.pushRows, i.pushPublished, i.pushInFlight, i.pushLimit,
		i.storeConcurrency, i.catalogVersion, i.buildInfo,
	}
}

func counter(subsystem, name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
}

func counters(subsystem, name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
}

func gauge(subsystem, name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
}

func gauges(subsystem, name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
}

func histograms(subsystem, name, help string, labels ...string) *prometheus.HistogramVec {
	return spread(subsystem, name, help, durationBuckets(), labels...)
}

func spread(subsystem, name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(histogramOpts(subsystem, name, help, buckets), labels)
}

func histogramOpts(subsystem, name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: buckets}
}
