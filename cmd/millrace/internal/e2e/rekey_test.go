package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// rekeyDefinitions count sold items of orders, whose topic is keyed by
// customer: an item's rows are in any partition, several in one record.
const rekeyDefinitions = `
project: PROJECT
entities:
  - {name: item, join_keys: [{name: item_id, type: string}]}
sources:
  - name: orders
    kafka: {topic: TOPIC, start: earliest}
    format: json
    fields:
      - {name: items, of: [{name: sku, type: string}, {name: qty, type: int64}, {name: price, type: string}]}
      - {name: at, type: timestamp, unit: us}
    event_time: at
views:
  - name: item_sales
    entity: item
    source: orders
    unnest: {field: items, as: item}
    keys: {item_id: item.sku}
    where: item.qty > 0
    rekey: true
    features:
      - {name: last_price, expr: "PRICE"}
      - {name: orders, agg: count, window: unlimited}
      - {name: sold, agg: sum, of: item.qty, windows: [12h, unlimited]}
      - {name: last_qty, agg: last, of: item.qty, window: unlimited}
  - name: item_seen
    entity: item
    source: orders
    unnest: {field: items, as: item}
    keys: {item_id: item.sku}
    features: [{name: seen_qty, expr: item.qty}]
services:
  - {name: s, features: [item_sales]}
`

func order(at time.Time, items ...string) string {
	return fmt.Sprintf(`{"items":[%s],"at":%d}`, strings.Join(items, ","), at.UnixMicro())
}

func item(sku string, qty int, price string) string {
	return fmt.Sprintf(`{"sku":%s,"qty":%d,"price":%q}`, sku, qty, price)
}

// waitItem waits until an item's features in item_sales are these.
func (s *stack) waitItem(limit time.Duration, sku string, want string) {
	s.t.Helper()
	s.eventually(limit, "item "+sku, func() error {
		status, text, err := s.post("/v1/lookup", map[string]any{
			"features": []string{"item_sales:orders", "item_sales:sold_12h", "item_sales:sold_unlimited", "item_sales:last_qty", "item_sales:last_price"},
			"entities": []map[string]any{{"item_id": sku}}, "include": []string{"status"},
		})
		if err != nil || status != 200 {
			return fmt.Errorf("%d %w %s", status, err, text)
		}
		var a answer
		if err := json.Unmarshal(text, &a); err != nil {
			return err
		}
		values := make([]string, len(a.Rows[0].Values))
		for i, v := range a.Rows[0].Values {
			values[i] = string(v)
		}
		if got := strings.Join(values, " "); got != want {
			return fmt.Errorf("it is %s, want %s", got, want)
		}
		return nil
	})
}

// waitComplete waits until a window of an item is complete.
func (s *stack) waitComplete(limit time.Duration, sku, feature string) {
	s.t.Helper()
	s.eventually(limit, feature+" is complete", func() error {
		status, text, err := s.post("/v1/lookup", map[string]any{
			"features": []string{feature}, "entities": []map[string]any{{"item_id": sku}}, "include": []string{"complete"},
		})
		if err != nil || status != 200 || !strings.Contains(string(text), `"complete":[true]`) {
			return fmt.Errorf("%d %w %s", status, err, text)
		}
		return nil
	})
}

// TestRekey takes a rekeyed view the whole way: rows under the keys of their
// elements, one end for each, letters that name the record where it was, a
// replay after a fix, and what commands say.
func TestRekey(t *testing.T) {
	s := newStack(t, "rekey")
	s.write(strings.Replace(rekeyDefinitions, "PRICE", "cast(item.price as double)", 1))
	s.up(3)
	now := time.Now().Add(-time.Minute)
	s.produce(0, "c1", order(now, item(`"ant"`, 2, "1.5"), item(`"bee"`, 1, "3")))
	s.produce(1, "c2", order(now.Add(time.Second), item(`"bee"`, 4, "4"), item(`"bee"`, 1, "5"), item(`"cat"`, 0, "9")))
	s.produce(2, "c3", order(now.Add(2*time.Second), item(`"ant"`, 3, "cheap"), item(`"dog"`, 7, "2"), item(`null`, 7, "2")))
	poison := s.produce(2, "c3", `{"items":`)
	s.waitItem(20*time.Second, "ant", "1 2 2 2 1.5")
	s.waitItem(10*time.Second, "bee", "3 6 6 1 5")
	s.waitItem(10*time.Second, "dog", "1 7 7 7 2")
	s.waitCopied(30*time.Second, "item_sales")
	s.waitComplete(10*time.Second, "ant", "item_sales:sold_12h")
	// 8 rows and the poison.
	s.checkReceived(map[string]float64{"item_sales": 9, "item_seen": 9})

	if counts := s.letterCounts(); !maps.Equal(counts, map[string]int{"expression": 1, "null_key": 2, "malformed": 2}) {
		t.Errorf("letters %v", counts)
	}
	shown := s.mustRun("deadletter", "show", fmt.Sprintf("%s/2@%d", s.topic, poison.Offset), "--definitions", "definitions")
	if !strings.Contains(shown, `"source":"orders/item_sales"`) || !strings.Contains(shown, `"source":"orders"`) {
		t.Errorf("the poison's letters: %s", shown)
	}

	s.write(strings.Replace(rekeyDefinitions, "PRICE", "try_cast(item.price as double)", 1))
	s.mustRun("apply", "--definitions", "definitions")
	replayed := s.mustRun("deadletter", "replay", "--source", "orders/item_sales", "--definitions", "definitions")
	if !strings.Contains(replayed, `"stored":1`) || !strings.Contains(replayed, `"refused_again":2`) {
		t.Errorf("replay: %s", replayed)
	}
	s.waitItem(10*time.Second, "ant", "2 5 5 3 null")
	s.waitItem(time.Second, "dog", "1 7 7 7 2")

	status := s.mustRun("status", "--admin", s.procs[len(s.procs)-1].admin)
	if !strings.Contains(status, `"state":"copying"`) || !strings.Contains(status, s.rekeyTopic("item_sales")) {
		t.Errorf("status: %s", status)
	}
	if out := s.mustRun("explain", "item_sales", "--definitions", "definitions"); !strings.Contains(out, "one partition; kept") {
		t.Errorf("explain: %s", out)
	}
	out := s.mustRun("plan", "--definitions", "definitions")
	for _, says := range []string{
		"topic " + s.rekeyTopic("item_sales"), "group " + s.group() + ".rekey.item_sales@1", "transactional ids that begin with " + s.rekeyTopic("item_sales") + ".",
	} {
		if !strings.Contains(out, says) {
			t.Errorf("plan does not say %q: %s", says, out)
		}
	}
	s.write(strings.NewReplacer("PRICE", "try_cast(item.price as double)", "    rekey: true\n", "").Replace(rekeyDefinitions))
	if out, err := s.run("plan", "--definitions", "definitions"); err == nil || !strings.Contains(out, "changing rekey needs a new generation") {
		t.Errorf("plan without rekey: %v %s", err, out)
	}
}

// TestForgedCopiesAreOrdinaryRecords on a topic that anybody writes to, and
// refused on the view's own.
func TestForgedCopiesAreOrdinaryRecords(t *testing.T) {
	s := newStack(t, "forged")
	s.write(strings.Replace(rekeyDefinitions, "PRICE", "item.price", 1))
	s.up(2)
	forged := []kgo.RecordHeader{{Key: "millrace-original", Value: []byte("x/0/9/1")}, {Key: "millrace-first"}}
	s.produce(0, "ant", order(time.Now(), item(`"ant"`, 2, "1")), forged...)
	s.waitItem(20*time.Second, "ant", `1 2 2 2 "1"`)
	s.send(&kgo.Record{Topic: s.rekeyTopic("item_sales"), Partition: 0, Key: []byte("ant"), Value: []byte(order(time.Now(), item(`"ant"`, 2, "1")))})
	s.eventually(10*time.Second, "the letter", func() error {
		if n := s.letterCounts()["malformed"]; n != 1 {
			return fmt.Errorf("%d letters", n)
		}
		return nil
	})
	s.waitItem(time.Second, "ant", `1 2 2 2 "1"`)
}
