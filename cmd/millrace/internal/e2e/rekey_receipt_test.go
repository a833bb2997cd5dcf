package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// receiptDefinitions have a source that the lanes read only as copies, and one
// that they read both ways.
const receiptDefinitions = `
project: PROJECT
entities:
  - {name: item, join_keys: [{name: item_id, type: string}]}
sources:
  - name: orders
    push: {topic: TOPIC}
    event_time: at
    fields: [{name: item_id, type: string}, {name: n, type: int64}, {name: at, type: timestamp}]
  - name: taps
    push: {topic: TOPIC_taps}
    event_time: at
    fields: [{name: item_id, type: string}, {name: n, type: int64}, {name: at, type: timestamp}]
views:
  - name: item_orders
    entity: item
    source: orders
    rekey: true
    late: dead_letter
    allowed_lateness: 1h
    features: [{name: ordered, agg: count, window: 12h}, {name: last_order, expr: n}]
  - name: item_taps
    entity: item
    source: taps
    rekey: true
    late: dead_letter
    allowed_lateness: 1h
    features: [{name: tapped, agg: count, window: 12h}, {name: last_tap, expr: n}]
  - {name: item_tap, entity: item, source: taps, features: [{name: tap, expr: n}]}
services:
  - {name: s, features: [item_orders, item_taps, item_tap]}
`

// TestReceiptsOfRekeyedViews: done is said when the copies are counted, not
// before, and their dead letters are told.
func TestReceiptsOfRekeyedViews(t *testing.T) {
	s := newStack(t, "rekeyreceipt")
	s.suffixes = []string{"", "_taps"}
	s.write(receiptDefinitions)
	s.up(3)
	now := time.Now().UTC().Format(time.RFC3339Nano)
	row := func(item string, n int, at string) string {
		return fmt.Sprintf(`{"item_id": %q, "n": %d, "at": %q}`, item, n, at)
	}
	for source, counted := range map[string]string{"orders": "item_orders:ordered", "taps": "item_taps:tapped"} {
		for round := range 4 {
			var rows []string
			for i := range 60 {
				rows = append(rows, row(fmt.Sprintf("i%d", i%20), i, now))
			}
			if r := s.waitReceipt(s.pushAsync(source, jsonBody, ridesBody(rows...))); r.State != "done" || r.Finished != 60 {
				t.Fatalf("source %s: %s", source, r.text)
			}
			for _, item := range []string{"i0", "i7", "i19"} { // at once
				if got, want := s.itemNow(item, counted), fmt.Sprint(3*(round+1)); got != want {
					t.Fatalf("done, and %s of %s is %s, want %s", counted, item, got, want)
				}
			}
		}
		r := s.waitReceipt(s.pushAsync(source+"?on_error=reject_row", jsonBody, ridesBody(row("i1", 1, now), row("i2", 2, "2020-01-01T00:00:00Z"))))
		if len(r.Errors) != 1 || r.State != "dead_lettered" || r.Errors[0].Row != 1 || r.Errors[0].Reason != "late" || "item_"+source != r.Errors[0].View {
			t.Errorf("source %s: %s", source, r.text)
		}
	}
}

// itemNow looks an item's feature up at once.
func (s *stack) itemNow(item, feature string) string {
	s.t.Helper()
	status, text, err := s.post("/v1/lookup", map[string]any{"features": []string{feature}, "entities": []map[string]any{{"item_id": item}}})
	var a answer
	if err != nil || status != http.StatusOK || json.Unmarshal(text, &a) != nil {
		s.t.Fatalf("%d %s %v", status, text, err)
	}
	return string(a.Rows[0].Values[0])
}
