package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// transformSource is a source NAME and its two views; one says that its rows
// are raw, and one that they are finished.
const transformSource = `
sources:
  - name: NAME
    kafka: {topic: TOPIC_NAME, start: earliest}
    push: true
    transform_on_write: FLAG
    format: json
    fields:
      - {name: driver_id, type: int64, path: driver.id}
      - {name: fare, type: float64}
      - {name: km, type: float64}
      - {name: status, type: string}
      - {name: at, type: timestamp}
    event_time: at
views:
  - name: NAME_fares
    entity: driver
    source: NAME
    where: status = 'completed'
    features: [{name: per_km, expr: "fare / nullif(km, 0)"}, {name: tier, expr: upper(status)}]
  - {name: NAME_last, entity: driver, source: NAME, features: [{name: last_status, expr: lower(status)}]}
`

const transformEntities = `
project: PROJECT
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
`

// written is one row as an entrance takes it.
type written struct {
	source, view string // view "": all of the source
	flag         string // transform_on_write as this write says it; "": not at all
	row          map[string]any
}

// entrance is a way in. How a row says transform_on_write and its view depends
// on it.
type entrance struct {
	name   string
	waits  bool // a row is stored after it was answered
	unsaid bool // it cannot name a view
	named  bool // it has to
	write  func(s *stack, w written) (refused bool)
}

// frame is a row as Feast's client sends it.
func (w written) frame() map[string]any {
	df := make(map[string]any)
	for k, v := range w.row {
		if k == "at" {
			k = "event_timestamp"
		}
		df[k] = []any{v}
	}
	return df
}

// body adds what a call says to it.
func (w written) body(members map[string]any) string {
	if w.flag != "" {
		members["transform_on_write"] = w.flag == "true"
	}
	return jsonText(members)
}

// rows is the native body.
func (w written) rows() string {
	members := map[string]any{"rows": []any{w.row}}
	if w.view != "" {
		members["view"] = w.view
	}
	return w.body(members)
}

// record is the row on its topic: a raw one has the source's paths.
func (w written) record(raw bool) (string, []kgo.RecordHeader) {
	value := maps.Clone(w.row)
	if raw {
		value["driver"] = map[string]any{"id": w.row["driver_id"]}
		delete(value, "driver_id")
	}
	var headers []kgo.RecordHeader
	if w.flag != "" {
		headers = append(headers, header("transform_on_write", w.flag))
	}
	if w.view != "" {
		headers = append(headers, header("millrace-view", w.view))
	}
	return jsonText(value), headers
}

func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil { // what the table holds encodes
		panic(err)
	}
	return string(text)
}

func entrances() []entrance {
	// tells whether a push was refused; anything but that and want is a failure.
	post := func(s *stack, want int, path, contentType, body string) bool {
		s.t.Helper()
		status, text := s.sendBody(path, contentType, body)
		refused := status >= 400 && status < 500 || strings.Contains(text, `"rejected":1,`)
		if !refused && status != want {
			s.t.Fatalf("POST %s\n%s\nanswered %d: %s", path, body, status, text)
		}
		return refused
	}
	return []entrance{
		{name: "/v1/push", write: func(s *stack, w written) bool {
			return post(s, http.StatusOK, "/v1/push/"+w.source, jsonBody, w.rows())
		}},
		{name: "NDJSON", write: func(s *stack, w written) bool {
			query := "?view=" + w.view
			if w.view == "" {
				query = "?"
			}
			if w.flag != "" {
				query += "&transform_on_write=" + w.flag
			}
			return post(s, http.StatusOK, "/v1/push/"+w.source+query, lineBody, jsonText(w.row)+"\n")
		}},
		{name: "/push", unsaid: true, write: func(s *stack, w written) bool {
			return post(s, http.StatusOK, "/push", jsonBody, w.body(map[string]any{"push_source_name": w.source, "df": w.frame()}))
		}},
		{name: "/write-to-online-store", named: true, write: func(s *stack, w written) bool {
			return post(s, http.StatusOK, "/write-to-online-store", jsonBody, w.body(map[string]any{"feature_view_name": w.view, "df": w.frame()}))
		}},
		{name: "asynchronous", waits: true, write: func(s *stack, w written) bool {
			return post(s, http.StatusAccepted, "/v1/push/"+w.source+"?mode=async", jsonBody, w.rows())
		}},
		{name: "Kafka", waits: true, write: func(s *stack, w written) bool {
			_, raw := w.row["fare"]
			value, headers := w.record(raw)
			s.send(&kgo.Record{Topic: s.topic + "_" + w.source, Key: []byte("k"), Value: []byte(value), Headers: headers})
			return false // nobody is told
		}},
	}
}

// transformCase is a write and what it makes of the features of its source's
// views: the flag of the call or of the record's header is stronger than the
// source's.
type transformCase struct {
	source, flag, view, row string
	want                    string // "": refused, and nothing was stored
	apiOnly                 bool   // a record is taken at its word
}

const (
	fromRaw      = `2.5 "COMPLETED" "completed"`
	fromFinished = `7 "gold" null`
)

func transformCases() []transformCase {
	return []transformCase{
		// The source says raw.
		{source: "raw", row: "raw", want: fromRaw},
		{source: "raw", row: "canceled", want: `null null "canceled"`}, // filtered from one view
		{source: "raw", view: "fares", row: "raw", want: `2.5 "COMPLETED" null`},
		{source: "raw", view: "fares", row: "canceled", want: "null null null"},
		{source: "raw", flag: "true", row: "raw", want: fromRaw},
		{source: "raw", flag: "true", view: "last", row: "raw", want: `null null "completed"`},
		{source: "raw", flag: "false", view: "fares", row: "finished", want: fromFinished},
		{source: "raw", flag: "false", view: "last", row: "given", want: `null null "As Given"`}, // no expression runs
		{source: "raw", flag: "false", row: "finished"},                                          // of which view?
		{source: "raw", flag: "false", view: "fares", row: "raw"},                                // columns are missing
		{source: "raw", view: "fares", row: "finished", want: fromFinished, apiOnly: true},       // transformed already
		// The source says finished.
		{source: "done", view: "fares", row: "finished", want: fromFinished},
		{source: "done", flag: "false", view: "fares", row: "finished", want: fromFinished},
		{source: "done", row: "finished"},
		{source: "done", view: "fares", row: "raw"},
		{source: "done", flag: "true", row: "raw", want: fromRaw},
		{source: "done", flag: "true", row: "canceled", want: `null null "canceled"`},
		{source: "done", flag: "true", view: "fares", row: "raw", want: `2.5 "COMPLETED" null`},
	}
}

func (c transformCase) written(driver int64, at string) written {
	w := written{source: c.source, flag: c.flag, row: map[string]any{"driver_id": driver}}
	if c.view != "" {
		w.view = c.source + "_" + c.view
	}
	maps.Copy(w.row, map[string]map[string]any{
		"raw":      {"fare": 10, "km": 4, "status": "completed", "at": at},
		"canceled": {"fare": 10, "km": 4, "status": "canceled", "at": at},
		"finished": {"per_km": 7, "tier": "gold", "event_timestamp": at},
		"given":    {"last_status": "As Given", "event_timestamp": at},
	}[c.row])
	return w
}

// TestTransformOnWrite: a row has the same result whichever way it comes, for
// one view or all, three times over; and what was answered can be read at once.
func TestTransformOnWrite(t *testing.T) {
	s := newStack(t, "transform")
	s.suffixes = []string{"_raw", "_done"}
	s.addFile("raw.yaml", []byte(strings.NewReplacer("NAME", "raw", "FLAG", "true", "TOPIC", s.topic).Replace(transformSource)))
	s.addFile("done.yaml", []byte(strings.NewReplacer("NAME", "done", "FLAG", "false", "TOPIC", s.topic).Replace(transformSource)))
	s.write(transformEntities)
	s.up(1)
	at := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339Nano)
	driver, refusedRecords := int64(0), 0
	for _, e := range entrances() {
		for _, c := range transformCases() {
			onTopic := e.name == "Kafka"
			if e.unsaid && c.view != "" || e.named && c.view == "" || onTopic && c.apiOnly {
				continue
			}
			driver++
			if onTopic && c.want == "" {
				refusedRecords += 3
			}
			s.writeThrice(e, c, c.written(driver, at))
		}
	}
	reasons := make(map[string]int)
	records := make(map[string]bool)
	for _, l := range s.letters() {
		reasons[l.Reason]++
		records[fmt.Sprint(l.Topic, l.Partition, l.Offset)] = true
	}
	if len(records) != refusedRecords || len(reasons) != 2 || reasons["unknown_view"] == 0 || reasons["missing_column"] == 0 {
		t.Errorf("letters of %d records %v, want %d", len(records), reasons, refusedRecords)
	}
}

// writeThrice writes a row three times, which is as good as once.
func (s *stack) writeThrice(e entrance, c transformCase, w written) {
	s.t.Helper()
	want := c.want
	if want == "" {
		want = "null null null"
	}
	check := func() {
		if got := s.now(w.row["driver_id"].(int64), c.source+"_fares:per_km", c.source+"_fares:tier", c.source+"_last:last_status"); got != want {
			s.t.Errorf("%s, %+v: %s, want %s", e.name, c, got, want)
		}
	}
	for range 3 {
		if refused := e.write(s, w); refused != (c.want == "") && e.name != "Kafka" {
			s.t.Errorf("%s, %+v: refused is %t", e.name, c, refused)
		}
		if !e.waits {
			check()
		}
	}
	if e.waits {
		s.waitCaughtUp(10 * time.Second)
		check()
	}
}
