package telemetry_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"millrace/internal/telemetry"
)

// touchAll gives every instrument a child, so that all of them are gathered.
func touchAll(m *telemetry.Metrics) {
	m.SetCatalogVersion(7)
	m.SetStoreConcurrency(256)
	m.Committed(time.Unix(1, 0))
	m.CommitFailed()
	m.Request("lookup", 200, time.Millisecond)
	m.Values("PRESENT", 2)
	m.StoreRead(3, time.Millisecond)
	m.TileRead(5, time.Millisecond)
	m.Unencodable(1)
	k := m.Rekey("driver_trips")
	k.Copied(3, 4, 5, 7)
	k.Copied(4, 0, 0, 9)
	k.Gone(4)
	k.Aborted()
	k.Expired(3)
	k.Failed()
	m.PushRequest("push", 200, time.Millisecond)
	m.PushRows("trips", "driver_trips", 3, 2, 1)
	m.PushPublished("trips", 4)
	m.PushInFlight(100)
	m.PushLimit("direct", 32)
	touchModels(m)
	t := m.Topic("trips")
	t.Batch(10, 1000, 12)
	t.Tiles(4, 3)
	t.Took(time.Millisecond, time.Millisecond, time.Millisecond)
	t.Rejected("malformed")
	t.Retried("write")
	t.Expired(3)
	t.Paused()
	t.Stopped()
	l := m.Lane("trips", 3)
	l.Lag(5, time.Second)
	l.Buffered(100)
	l.Holds(7, 700)
	v := m.View("driver_trips")
	v.Received(12, 5)
	v.Ends(8, 2, 3, 1)
	v.Late(6)
	v.Rejected("decode", "malformed")
	v.Fresh(time.Millisecond)
	v.Arrived(time.Second)
}

// ours gathers the metrics that this package defines.
func ours(t *testing.T, m *telemetry.Metrics) []*dto.MetricFamily {
	t.Helper()
	all, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool {
		return strings.HasPrefix(f.GetName(), "go_") || strings.HasPrefix(f.GetName(), "process_")
	})
}

// exceptions are names without a unit, each because it counts no quantity.
var exceptions = []string{
	"millrace_build_info", "millrace_catalog_version", "millrace_prediction_breaker_state",
	"millrace_push_concurrency_limit", "millrace_store_concurrency_limit",
}

var (
	name  = regexp.MustCompile(`^millrace(_[a-z]+)+$`)
	units = []string{"_seconds", "_bytes", "_keys", "_records", "_rows", "_tiles"}
	// labels is the closed set: none of them can hold a key, a value or an offset.
	labels = []string{
		"cause", "code", "detail", "end", "endpoint", "go_version", "model", "operation", "origin", "partition",
		"reason", "source", "stage", "status", "topic", "version", "view", "way",
	}
)

// fault says what is wrong with a metric's name, help or labels; "" if nothing.
func fault(f *dto.MetricFamily) string {
	n := f.GetName()
	counter := f.GetType() == dto.MetricType_COUNTER
	switch {
	case !name.MatchString(n):
		return "name is not lower-case words after millrace_"
	case counter != strings.HasSuffix(n, "_total"):
		return "counters, and only counters, end in _total"
	case strings.Contains(n, "milli") && !strings.HasPrefix(n, "millrace_"), strings.Contains(n, "micro"), strings.Contains(n, "_kb"):
		return "not a base unit"
	case !counter && !slices.Contains(exceptions, n) && !slices.ContainsFunc(units, func(u string) bool { return strings.HasSuffix(n, u) }):
		return "no unit at the end"
	case f.GetHelp() == "" || !strings.HasSuffix(f.GetHelp(), "."):
		return "help is not a sentence"
	}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if !slices.Contains(labels, l.GetName()) {
				return "label " + l.GetName() + " is not in the closed set"
			}
		}
	}
	return ""
}

func TestMetricNamesFollowTheConvention(t *testing.T) {
	m := telemetry.NewMetrics("v1")
	touchAll(m)
	families := ours(t, m)
	if len(families) != 72 {
		t.Errorf("%d metrics gathered, want 72: touchAll has to touch each new one", len(families))
	}
	for _, f := range families {
		if why := fault(f); why != "" {
			t.Errorf("%s: %s", f.GetName(), why)
		}
	}
}

func TestConventionIsEnforced(t *testing.T) {
	counter, gauge, help := dto.MetricType_COUNTER, dto.MetricType_GAUGE, "Help."
	for _, bad := range []struct {
		name  string
		kind  dto.MetricType
		label string
	}{
		{"fe_rows_total", counter, "view"},
		{"millrace_rows", counter, "view"},
		{"millrace_lag_total", gauge, "view"},
		{"millrace_lag", gauge, "view"},
		{"millrace_lag_micros_seconds", gauge, "view"},
		{"millrace_Lag_seconds", gauge, "view"},
		{"millrace_rows_total", counter, "entity_key"},
	} {
		f := &dto.MetricFamily{
			Name: &bad.name, Type: &bad.kind, Help: &help,
			Metric: []*dto.Metric{{Label: []*dto.LabelPair{{Name: &bad.label}}}},
		}
		if fault(f) == "" {
			t.Errorf("%s{%s} passes", bad.name, bad.label)
		}
	}
}

// value finds the counter or gauge with exactly these label values, in the
// order of label names.
func value(t *testing.T, m *telemetry.Metrics, family string, want ...string) (float64, bool) {
	t.Helper()
	for _, f := range ours(t, m) {
		if f.GetName() != family {
			continue
		}
		for _, x := range f.GetMetric() {
			var got []string
			for _, l := range x.GetLabel() {
				got = append(got, l.GetValue())
			}
			if slices.Equal(got, want) {
				return x.GetCounter().GetValue() + x.GetGauge().GetValue() + float64(x.GetHistogram().GetSampleCount()), true
			}
		}
	}
	return 0, false
}

func TestMetricsHoldWhatTheyAreTold(t *testing.T) {
	m := telemetry.NewMetrics("v1")
	touchAll(m)
	touchAll(m)
	for _, c := range []struct {
		family string
		labels []string
		want   float64
	}{
		{"millrace_rows_total", []string{"stored", "driver_trips"}, 16},
		{"millrace_rows_total", []string{"filtered", "driver_trips"}, 6},
		{"millrace_rows_total", []string{"dead_lettered", "driver_trips"}, 2},
		{"millrace_push_rows_total", []string{"stored", "trips", "driver_trips"}, 6},
		{"millrace_push_rows_total", []string{"filtered", "trips", "driver_trips"}, 4},
		{"millrace_push_rows_total", []string{"rejected", "trips", "driver_trips"}, 2},
		{"millrace_push_published_rows_total", []string{"trips"}, 8},
		{"millrace_push_in_flight_bytes", nil, 100},
		{"millrace_push_concurrency_limit", []string{"direct"}, 32},
		{"millrace_rows_received_total", []string{"driver_trips"}, 24},
		{"millrace_columns_absent_total", []string{"driver_trips"}, 10},
		{"millrace_rows_superseded_total", []string{"driver_trips"}, 4},
		{"millrace_rows_rejected_total", []string{"malformed", "decode", "driver_trips"}, 2},
		{"millrace_source_records_total", []string{"trips"}, 20},
		{"millrace_source_bytes_total", []string{"trips"}, 2000},
		{"millrace_source_expired_records_total", []string{"trips"}, 6},
		{"millrace_source_lag_records", []string{"3", "trips"}, 5},
		{"millrace_source_lag_seconds", []string{"3", "trips"}, 1},
		{"millrace_lane_buffered_bytes", []string{"3", "trips"}, 100},
		{"millrace_lane_tiles", []string{"3", "trips"}, 7},
		{"millrace_lane_tile_bytes", []string{"3", "trips"}, 700},
		{"millrace_tiles_written_total", []string{"trips"}, 8},
		{"millrace_tiles_loaded_total", []string{"trips"}, 6},
		{"millrace_late_rows_total", []string{"driver_trips"}, 12},
		{"millrace_lane_paused_total", []string{"trips"}, 2},
		{"millrace_lane_stopped_total", []string{"trips"}, 2},
		{"millrace_decode_rows_total", []string{"trips"}, 24},
		{"millrace_decode_rejected_total", []string{"malformed", "trips"}, 2},
		{"millrace_decode_duration_seconds", []string{"trips"}, 2},
		{"millrace_transform_duration_seconds", []string{"trips"}, 2},
		{"millrace_sink_write_duration_seconds", []string{"trips"}, 2},
		{"millrace_sink_retries_total", []string{"write", "trips"}, 2},
		{"millrace_feature_freshness_seconds", []string{"driver_trips"}, 2},
		{"millrace_feature_event_age_seconds", []string{"driver_trips"}, 2},
		{"millrace_commit_total", nil, 2},
		{"millrace_commit_failures_total", nil, 2},
		{"millrace_commit_last_timestamp_seconds", nil, 1},
		{"millrace_serving_requests_total", []string{"200", "lookup"}, 2},
		{"millrace_serving_request_duration_seconds", []string{"lookup"}, 2},
		{"millrace_serving_entities_total", nil, 6},
		{"millrace_serving_values_total", []string{"PRESENT"}, 4},
		{"millrace_serving_store_read_duration_seconds", nil, 2},
		{"millrace_serving_tiles_total", nil, 10},
		{"millrace_serving_tile_read_duration_seconds", nil, 2},
		{"millrace_serving_unencodable_values_total", nil, 2},
		{"millrace_rekey_records_total", []string{"driver_trips"}, 8},
		{"millrace_rekey_copies_total", []string{"driver_trips"}, 10},
		{"millrace_rekey_aborted_total", []string{"driver_trips"}, 2},
		{"millrace_rekey_expired_records_total", []string{"driver_trips"}, 6},
		{"millrace_rekey_lag_records", []string{"3", "driver_trips"}, 7},
		{"millrace_rekey_failures_total", []string{"driver_trips"}, 2},
		{"millrace_catalog_version", nil, 7},
		{"millrace_store_concurrency_limit", nil, 256},
	} {
		if got, ok := value(t, m, c.family, c.labels...); !ok || got != c.want {
			t.Errorf("%s%v = %v (found: %v), want %v", c.family, c.labels, got, ok, c.want)
		}
	}
}

func TestForgottenLaneIsNoLongerExported(t *testing.T) {
	m := telemetry.NewMetrics("v1")
	m.Lane("trips", 1).Lag(10, 0)
	m.Lane("trips", 2).Lag(20, 0)
	m.ForgetLane("trips", 1)
	if v, ok := value(t, m, "millrace_source_lag_records", "1", "trips"); ok {
		t.Errorf("the lag of a partition given away is still %v", v)
	}
	if v, _ := value(t, m, "millrace_source_lag_records", "2", "trips"); v != 20 {
		t.Errorf("lag of the other partition = %v, want 20", v)
	}
	m.Lane("trips", 1).Lag(30, 0)
	if v, _ := value(t, m, "millrace_source_lag_records", "1", "trips"); v != 30 {
		t.Errorf("lag after the partition came back = %v, want 30", v)
	}
}

func TestLagIsNeverNegative(t *testing.T) {
	m := telemetry.NewMetrics("v1")
	m.Lane("trips", 1).Lag(-5, -time.Second)
	for _, family := range []string{"millrace_source_lag_records", "millrace_source_lag_seconds"} {
		if v, ok := value(t, m, family, "1", "trips"); !ok || v != 0 {
			t.Errorf("%s = %v, want 0", family, v)
		}
	}
}

func TestTwoRegistriesDoNotMeet(t *testing.T) {
	a, b := telemetry.NewMetrics("a"), telemetry.NewMetrics("b")
	a.Topic("trips").Batch(1, 1, 1)
	if _, ok := value(t, b, "millrace_source_records_total", "trips"); ok {
		t.Error("metrics of one registry appear in the other")
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	m := telemetry.NewMetrics("v1")
	touchAll(m)
	step := func() {
		m.Topic("trips").Batch(10, 1000, 12)
		m.View("driver_trips").Ends(8, 2, 3, 1)
		m.View("driver_trips").Fresh(time.Millisecond)
		m.Lane("trips", 3).Lag(5, time.Second)
		m.Request("lookup", 200, time.Millisecond)
		m.Prediction("fraud").Read("prediction_stale", "age", 1)
		m.Prediction("fraud").Call(3, time.Millisecond, "none")
	}
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations per batch and request", n)
	}
}

func BenchmarkFreshness(b *testing.B) {
	v := telemetry.NewMetrics("v1").View("driver_trips")
	b.ReportAllocs()
	for b.Loop() {
		v.Fresh(3 * time.Millisecond)
	}
}
