package e2e_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// finishedDefinitions adds a feature at read, whose input km is stored hidden.
var finishedDefinitions = strings.Replace(tripDefinitions, "      - {name: tier,",
	"      - {name: total, expr: \"round(fare_per_km * km, 2)\", at: read}\n      - {name: tier,", 1)

func header(key, value string) kgo.RecordHeader {
	return kgo.RecordHeader{Key: key, Value: []byte(value)}
}

// finishedTrip is a finished row of driver_trips.
func finishedTrip(driver, n int64, at time.Time) string {
	return fmt.Sprintf(`{"driver_id":%d,"event_timestamp":%q,"serial":%d,"fare_per_km":2.5,"tier":"GOLD","km":4}`,
		driver, at.Format(time.RFC3339Nano), n)
}

// TestRawAndFinishedRows mixes both kinds of records on one topic and key.
func TestRawAndFinishedRows(t *testing.T) {
	s := newStack(t, "finished")
	s.write(finishedDefinitions)
	p := s.up(1)
	now := time.Now()
	flag, to := header("transform_on_write", "false"), header("millrace-view", "driver_trips")

	// A finished row is stored as it is: where and the write half do not run,
	// the read half does. The view that it does not name has nothing of it.
	s.produce(0, "1", finishedTrip(1, 1, now), flag, to)
	s.waitValue(10*time.Second, 1, "driver_trips:serial", "1")
	s.waitValue(time.Second, 1, "driver_trips:tier", `"GOLD"`)
	s.waitValue(time.Second, 1, "driver_trips:total", "10")
	s.waitValue(time.Second, 1, "driver_last:last_status", "null")

	// Raw and finished rows of one key are ordered by their event times.
	s.produce(0, "1", trip(1, 2, now.Add(time.Second)))
	s.waitValue(10*time.Second, 1, "driver_trips:serial", "2")
	s.produce(0, "1", finishedTrip(1, 3, now.Add(-time.Second)), flag, to)
	s.produce(0, "1", trip(1, 4, now.Add(-time.Second)), header("transform_on_write", "true"))
	s.produce(0, "1", finishedTrip(1, 5, now.Add(2*time.Second)), flag, to)
	s.waitValue(10*time.Second, 1, "driver_trips:serial", "5")
	s.waitValue(time.Second, 1, "driver_last:last_status", `"completed"`)

	// What explain prints is a finished row.
	example := regexp.MustCompile(`(?m)^  \{.*\}$`).FindString(s.mustRun("explain", "driver_trips", "--definitions", "definitions"))
	s.produce(0, "1", strings.NewReplacer(`"driver_id": 1`, `"driver_id": 2`, "2026-01-31", "2024-01-31").Replace(example), flag, to)
	s.waitValue(10*time.Second, 2, "driver_trips:tier", `"text"`)

	faults := []struct {
		view, value, stage, reason, says string
		headers                          []kgo.RecordHeader
	}{
		{"driver_trips", strings.Replace(finishedTrip(3, 1, now), `"tier"`, `"teir"`, 1), "decode", "missing_column", "column tier", []kgo.RecordHeader{flag, to}},
		{"driver_trips", strings.Replace(finishedTrip(3, 1, now), `,"km":4`, "", 1), "decode", "missing_column", "column km", []kgo.RecordHeader{flag, to}},
		{"driver_trips", strings.Replace(finishedTrip(3, 1, now), "2.5", `"2.5"`, 1), "decode", "wrong_type", "fare_per_km", []kgo.RecordHeader{flag, to}},
		{"driver_trips", strings.Replace(finishedTrip(3, 1, now), `"driver_id":3`, `"driver_id":null`, 1), "transform", "null_key", "driver_id", []kgo.RecordHeader{flag, to}},
		{"driver_trips", finishedTrip(3, 1, now.Add(time.Hour)), "transform", "event_time_future", "", []kgo.RecordHeader{flag, to}},
		{"driver_trips", trip(3, 1, now), "decode", "missing_column", "column serial", []kgo.RecordHeader{flag, to}},
		{"", finishedTrip(3, 1, now), "decode", "bad_flag", "transform_on_write", []kgo.RecordHeader{header("transform_on_write", "no"), to}},
		{"", finishedTrip(3, 1, now), "decode", "unknown_view", "several views", []kgo.RecordHeader{flag}},
		{"", finishedTrip(3, 1, now), "decode", "unknown_view", "names no view", []kgo.RecordHeader{flag, header("millrace-view", "driver_trip")}},
	}
	var sent []*kgo.Record
	for _, f := range faults {
		sent = append(sent, s.produce(0, "3", f.value, f.headers...))
	}
	s.waitCaughtUp(10 * time.Second)
	at := make(map[int64][]letter)
	for _, l := range s.letters() {
		at[l.Offset] = append(at[l.Offset], l)
	}
	for i, f := range faults {
		ls := at[sent[i].Offset]
		if len(ls) != 1 {
			t.Fatalf("%s: %d letters", f.reason, len(ls))
		}
		l := ls[0]
		if l.View != f.view || l.Stage != f.stage || l.Reason != f.reason || !strings.Contains(l.Message, f.says) || len(l.Headers) != len(f.headers) {
			t.Errorf("letter %+v, want %+v", l, f)
		}
		if string(l.Value) != f.value {
			t.Errorf("%s: the letter holds another record: %s", f.reason, l.Value)
		}
	}
	if len(at) != len(faults) {
		t.Errorf("%d records have letters, want %d", len(at), len(faults))
	}
	// Two raw records and three for no view in particular are for both views.
	s.checkReceived(map[string]float64{"driver_trips": 2 + 4 + 6 + 3, "driver_last": 2 + 3})
	s.checkNewerColumns(p, finishedTrip(4, 1, now), flag, to)
}

// checkNewerColumns adds a feature: finished rows of those who do not know it
// yet are stored without it.
func (s *stack) checkNewerColumns(p *process, row string, headers ...kgo.RecordHeader) {
	s.t.Helper()
	s.endIngest(p)
	s.write(strings.Replace(tripDefinitions, "      - {name: tier,", "      - {name: km, expr: km}\n      - {name: paid, expr: fare}\n      - {name: tier,", 1))
	s.goOn()
	s.produce(0, "4", row, headers...)
	s.waitValue(10*time.Second, 4, "driver_trips:serial", "1")
	s.waitValue(time.Second, 4, "driver_trips:paid", "null")
	s.produce(0, "4", strings.Replace(row, `"tier":"GOLD",`, "", 1), headers...)
	s.waitCaughtUp(10 * time.Second)
	s.checkReceived(map[string]float64{"driver_trips": 2, "driver_last": 0})
	s.eventually(5*time.Second, "absent columns are counted", func() error {
		m, err := s.metrics(s.procs[len(s.procs)-1])
		if err == nil && m[`millrace_columns_absent_total{view="driver_trips"}`] == 0 {
			err = fmt.Errorf("metrics %v", m)
		}
		return err
	})
}

// TestASourceOfFinishedRows says it once for the whole topic; a header says
// otherwise for one record.
func TestASourceOfFinishedRows(t *testing.T) {
	s := newStack(t, "rows")
	one, _, _ := strings.Cut(tripDefinitions, "  - name: driver_last")
	s.write(strings.Replace(one, "    event_time: at", "    event_time: at\n    transform_on_write: false", 1))
	s.up(1)
	now := time.Now()
	s.produce(0, "1", finishedTrip(1, 1, now))
	s.waitValue(10*time.Second, 1, "driver_trips:tier", `"GOLD"`)
	s.produce(0, "2", trip(2, 1, now), header("transform_on_write", "true"))
	s.waitValue(10*time.Second, 2, "driver_trips:tier", `"COMPLETED"`)
	s.produce(0, "3", trip(3, 1, now)) // a raw one that does not say so
	s.waitCaughtUp(10 * time.Second)
	if ls := s.letters(); len(ls) != 1 || ls[0].Reason != "missing_column" {
		t.Errorf("letters %+v", ls)
	}
	s.checkEnds("driver_trips")
}
