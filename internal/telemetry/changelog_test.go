package telemetry_test

import (
	"strings"
	"testing"
	"time"

	"millrace/internal/telemetry"
)

func TestChangesAreCountedByWay(t *testing.T) {
	m := telemetry.NewMetrics("v1")
	m.Changelog(telemetry.WayIngest).Told(5, time.Millisecond)
	m.Changelog(telemetry.WayIngest).Told(7, time.Millisecond)
	m.Changelog(telemetry.WayPush).Failed(time.Second)
	keys, failures, calls := make(map[string]float64), make(map[string]float64), make(map[string]uint64)
	for _, f := range ours(t, m) {
		if !strings.HasPrefix(f.GetName(), "millrace_changelog_") {
			continue
		}
		if says := fault(f); says != "" {
			t.Errorf("%s: %s", f.GetName(), says)
		}
		for _, one := range f.GetMetric() {
			way := one.GetLabel()[0].GetValue()
			switch f.GetName() {
			case "millrace_changelog_keys_total":
				keys[way] = one.GetCounter().GetValue()
			case "millrace_changelog_failures_total":
				failures[way] = one.GetCounter().GetValue()
			case "millrace_changelog_publish_duration_seconds":
				calls[way] = one.GetHistogram().GetSampleCount()
			}
		}
	}
	if keys["ingest"] != 12 || keys["push"] != 0 || failures["ingest"] != 0 || failures["push"] != 1 || calls["ingest"] != 2 || calls["push"] != 1 {
		t.Errorf("keys %v, failures %v, calls %v", keys, failures, calls)
	}
}
