package telemetry_test

import (
	"testing"
	"time"

	"millrace/internal/telemetry"
)

// touchModels is touchAll for what is counted of models.
func touchModels(m *telemetry.Metrics) {
	p := m.Prediction("fraud")
	p.Call(64, time.Millisecond, "none")
	p.Rows("timeout", 3)
	p.Remembered(2)
	p.Retried("unreachable")
	p.Breaker(2)
	p.Read("prediction_stale", "age", 5)
	p.Age(time.Second)
	p.Inferred("row", 4)
	p.Wrote("lost", 1)
	p.Refreshed("on_read", "stored", 7)
	p.Saved(telemetry.SavedReused, 6)
	r := m.Refresh("fraud")
	r.Pending(9)
	r.Delay(time.Second)
	r.Retried(2)
	r.Corrupt()
	r.Expired(3)
	r.Paused()
	r.Lag(3, 8)
	r.Lag(4, 1)
	r.Gone(4)
}

func TestMetricsOfModelsHoldWhatTheyAreTold(t *testing.T) {
	m := telemetry.NewMetrics("v1")
	touchModels(m)
	touchModels(m)
	for _, c := range []struct {
		family string
		labels []string
		want   float64
	}{
		{"millrace_refresh_pending_keys", []string{"fraud"}, 9},
		{"millrace_refresh_delay_seconds", []string{"fraud"}, 2},
		{"millrace_refresh_retries_total", []string{"fraud"}, 4},
		{"millrace_refresh_corrupt_records_total", []string{"fraud"}, 2},
		{"millrace_refresh_expired_records_total", []string{"fraud"}, 6},
		{"millrace_refresh_paused_total", []string{"fraud"}, 2},
		{"millrace_refresh_lag_records", []string{"fraud", "3"}, 8},
		{"millrace_prediction_calls_total", []string{"fraud", "none"}, 2},
		{"millrace_prediction_call_duration_seconds", []string{"fraud"}, 2},
		{"millrace_prediction_call_rows", []string{"fraud"}, 2},
		{"millrace_prediction_rows_total", []string{"fraud", "timeout"}, 6},
		{"millrace_prediction_remembered_total", []string{"fraud"}, 4},
		{"millrace_prediction_retries_total", []string{"fraud", "unreachable"}, 2},
		{"millrace_prediction_breaker_state", []string{"fraud"}, 2},
		{"millrace_prediction_reads_total", []string{"age", "fraud", "prediction_stale"}, 10},
		{"millrace_prediction_age_seconds", []string{"fraud"}, 2},
		{"millrace_prediction_inferences_total", []string{"row", "fraud"}, 8},
		{"millrace_prediction_writes_total", []string{"lost", "fraud"}, 2},
		{"millrace_prediction_refreshes_total", []string{"stored", "fraud", "on_read"}, 14},
		{"millrace_prediction_calls_saved_total", []string{"fraud", "reused"}, 12},
	} {
		if got, ok := value(t, m, c.family, c.labels...); !ok || got != c.want {
			t.Errorf("%s%v = %v (found: %v), want %v", c.family, c.labels, got, ok, c.want)
		}
	}
}
