package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/serving/push"
)

const boxSchema = `{"type":"record","name":"box","fields":[{"name":"meta","type":{"type":"record","name":"meta","fields":[{"name":"driver","type":"long"}]}},
	{"name":"weight","type":"double"}]}`

// publishDefinitions: rides come through the API alone and are counted; boxes
// are Avro on a topic of their producers, and may be pushed, too.
const publishDefinitions = `
project: PROJECT
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: rides
    push: {topic: TOPIC}
    event_id: ride_id
    fields:
      - {name: driver_id, type: int64}
      - {name: fare, type: float64}
      - {name: ride_id, type: string}
  - name: boxes
    kafka: {topic: TOPIC_boxes}
    push: true
    format: avro
    schema: {file: box.avsc}
    fields: [{name: driver_id, type: int64, path: meta.driver}]
views:
  - name: driver_rides
    entity: driver
    source: rides
    allowed_lateness: 1h
    late: dead_letter
    features:
      - {name: last_fare, expr: fare}
      - {name: rides, agg: count, window: 24h}
      - {name: fares, agg: sum, of: fare, window: 24h}
  - {name: driver_box, entity: driver, source: boxes, features: [{name: weight}]}
  - {name: driver_boxes, entity: driver, source: boxes, features: [{name: boxes, agg: count, window: 24h}]}
`

func newPublish(t *testing.T, name string) *stack {
	t.Helper()
	s := newStack(t, name)
	s.suffixes = []string{"", "_boxes"}
	s.addFile("box.avsc", []byte(boxSchema))
	s.write(publishDefinitions)
	s.up(4)
	return s
}

// topicID asks the broker.
func (s *stack) topicID() [16]byte {
	s.t.Helper()
	_, adm := s.kafka()
	details, err := adm.ListTopics(context.Background(), s.topic)
	if err != nil {
		s.t.Fatal(err)
	}
	return details[s.topic].ID
}

// reply is an answer of whatever kind to a push, or to a receipt.
type reply struct {
	status int
	header http.Header
	text   string

	State, Receipt              string
	Rows, Finished, Stored      int
	Accepted, Rejected, Removed int
	Errors                      []struct {
		Row                   int
		View, Reason, Message string
	}
	Error struct{ Code, Receipt string }
}

func (s *stack) call(method, path, body string, headers ...string) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+s.http+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	r := reply{status: resp.StatusCode, header: resp.Header, text: string(text)}
	if err := json.Unmarshal(text, &r); err != nil {
		s.t.Fatalf("%s %s answered %s: %v", method, path, text, err)
	}
	return r
}

// pushAsync pushes and returns where the receipt is.
func (s *stack) pushAsync(source, contentType, body string) string {
	s.t.Helper()
	r := s.call("POST", "/v1/push/"+source, body, "Content-Type", contentType, "Prefer", "respond-async")
	if r.status != http.StatusAccepted || r.header.Get("Location") != "/v1/receipts/"+r.Receipt || r.Receipt == "" {
		s.t.Fatalf("an asynchronous push answered %d %s, Location %q", r.status, r.text, r.header.Get("Location"))
	}
	return r.header.Get("Location")
}

// waitReceipt asks until a receipt is not pending any more.
func (s *stack) waitReceipt(location string) (last reply) {
	s.t.Helper()
	s.eventually(15*time.Second, "receipt", func() error {
		last = s.call("GET", location, "")
		if last.status != http.StatusOK || last.State == "pending" {
			return fmt.Errorf("%d %s", last.status, last.text)
		}
		return nil
	})
	return last
}

func rideRow(driver int, id string, at time.Time) string {
	return fmt.Sprintf(`{"driver_id": %d, "fare": 2.5, "ride_id": %q, "event_timestamp": %q}`, driver, id, at.UTC().Format(time.RFC3339Nano))
}

func ridesBody(rows ...string) string { return `{"rows": [` + strings.Join(rows, ",") + `]}` }

const rideFeatures = "driver_rides:rides driver_rides:fares driver_rides:last_fare"

// TestPushToWindowsIsReadWhenAnswered, and a ride that is pushed again counts
// once.
func TestPushToWindowsIsReadWhenAnswered(t *testing.T) {
	s := newPublish(t, "pushwait")
	var took []time.Duration
	for i := 1; i <= 30; i++ {
		for attempt := range 3 { // the same ride each time
			began := time.Now()
			got := s.pushOK("/v1/push/rides", jsonBody, ridesBody(rideRow(7, fmt.Sprint("r", i), began), rideRow(i+100, fmt.Sprint("r", i), began)))
			took = append(took, time.Since(began))
			if got.Stored != 2 {
				t.Fatalf("answer %+v", got)
			}
			want := fmt.Sprintf("%d %g 2.5", i, 2.5*float64(i))
			if got := s.now(7, strings.Fields(rideFeatures)...); got != want {
				t.Fatalf("ride %d, attempt %d: %s, want %s", i, attempt, got, want)
			}
		}
		if got := s.now(int64(i+100), "driver_rides:rides"); got != "1" {
			t.Errorf("a driver of one ride has %s", got)
		}
	}
	slices.Sort(took)
	t.Logf("synchronous push to windows: median %s, p99 %s of %d", took[len(took)/2], took[len(took)*99/100], len(took))
}

func TestReceipts(t *testing.T) {
	s := newPublish(t, "receipts")
	now := time.Now()
	done := s.waitReceipt(s.pushAsync("rides", jsonBody, ridesBody(rideRow(1, "a", now), rideRow(2, "b", now))))
	if done.State != "done" || done.Rows != 2 || done.Finished != 2 || len(done.Errors) != 0 {
		t.Errorf("receipt %s", done.text)
	}
	if got := s.now(1, strings.Fields(rideFeatures)...) + " " + s.now(2, "driver_rides:rides"); got != "1 2.5 2.5 1" {
		t.Errorf("features %s", got)
	}

	// What is refused by the lane alone, for definitions that are newer than a
	// server's, has a letter: rows as such a server would have put them there.
	var r push.Receipt
	for i, row := range []string{rideRow(1, "c", now), rideRow(1, "d", now.Add(-48*time.Hour)), `{"driver_id": "me"}`, rideRow(3, "e", now)} {
		rec := s.produce(int32(i%2), "k", row, header("millrace-format", "fields"))
		r.Rows = append(r.Rows, 2*i+1)
		r.At = append(r.At, push.Position{TopicID: s.topicID(), Partition: rec.Partition, Offset: rec.Offset, Millis: rec.Timestamp.UnixMilli()})
	}
	r.Source = "rides"
	refused := s.waitReceipt("/v1/receipts/" + r.Encode())
	if refused.State != "dead_lettered" || refused.Finished != 4 || len(refused.Errors) != 2 || refused.Errors[0].Message == "" {
		t.Fatalf("receipt %s", refused.text)
	}
	if late, wrong := refused.Errors[0], refused.Errors[1]; late.Row != 3 || late.Reason != "late" || late.View != "driver_rides" ||
		wrong.Row != 5 || wrong.Reason != "wrong_type" || wrong.View != "" {
		t.Errorf("receipt %s", refused.text)
	}
	if got := s.now(1, "driver_rides:rides") + s.now(3, "driver_rides:rides"); got != "21" {
		t.Errorf("rides %s", got)
	}

	// Lines: a bad one is refused at once. A late one is stored by itself, but
	// no window counts it, which is what its letter says.
	var lines strings.Builder
	const n = 300
	for i := range n {
		switch i {
		case 10:
			lines.WriteString("{\n")
		case 20:
			lines.WriteString(rideRow(5, "late", now.Add(-48*time.Hour)) + "\n")
		default:
			lines.WriteString(rideRow(5, fmt.Sprint("n", i), now) + "\n")
		}
	}
	a := s.call("POST", "/v1/push/rides?mode=async", lines.String(), "Content-Type", lineBody)
	if a.status != http.StatusAccepted || a.Accepted != n-1 || a.Rejected != 1 || len(a.Errors) != 2 || a.Errors[0].Row != 10 || a.Errors[1].Row != 20 {
		t.Fatalf("lines answered %d, %d accepted, %d rejected, %+v", a.status, a.Accepted, a.Rejected, a.Errors)
	}
	if got := s.waitReceipt("/v1/receipts/" + a.Receipt); got.State != "dead_lettered" || got.Finished != n-1 || len(got.Errors) != 1 ||
		got.Errors[0].Row != 20 || got.Errors[0].Reason != "late" {
		t.Errorf("receipt %s", got.text)
	}
	if got := s.now(5, "driver_rides:rides"); got != fmt.Sprint(n-2) {
		t.Errorf("rides %s", got)
	}

	for _, id := range []string{"x", a.Receipt[:len(a.Receipt)-3], strings.Repeat("A", 300)} {
		if got := s.call("GET", "/v1/receipts/"+id, ""); got.status != http.StatusNotFound {
			t.Errorf("receipt %s: %d %s", id, got.status, got.text)
		}
	}
}

// TestPushToAnAvroSource puts flat JSON between its producers' Avro.
func TestPushToAnAvroSource(t *testing.T) {
	s := newPublish(t, "pushavro")
	w := newAvroWriter(t, boxSchema)
	produced := func(driver int64, weight float64) {
		s.put("_boxes", nil, w.plain(map[string]any{"meta": map[string]any{"driver": driver}, "weight": weight}))
	}
	produced(1, 1)
	s.waitValue(10*time.Second, 1, "driver_box:weight", "1")
	got := s.pushOK("/v1/push/boxes", jsonBody, `{"rows": [{"driver_id": 1, "weight": 2}, {"driver_id": 2, "weight": 3}]}`)
	if got.Stored != 2 || got.Views["driver_box"].Stored != 2 || got.Views["driver_boxes"].Stored != 2 {
		t.Errorf("answer %+v", got)
	}
	if got := s.now(1, "driver_box:weight", "driver_boxes:boxes") + ", " + s.now(2, "driver_box:weight", "driver_boxes:boxes"); got != "2 2, 3 1" {
		t.Errorf("features %s", got)
	}
	// For one view, the other is left alone.
	got = s.pushOK("/v1/push/boxes", jsonBody, `{"view": "driver_boxes", "rows": [{"driver_id": 2, "weight": 9}]}`)
	if _, other := got.Views["driver_box"]; other || s.now(2, "driver_box:weight", "driver_boxes:boxes") != "3 2" {
		t.Errorf("answer %+v, features %s", got, s.now(2, "driver_box:weight", "driver_boxes:boxes"))
	}
	// For others than the online store, nothing changes here.
	got = s.pushOK("/v1/push/boxes", jsonBody, `{"to": "offline", "rows": [{"driver_id": 2, "weight": 9}]}`)
	produced(3, 4)
	s.waitValue(10*time.Second, 3, "driver_box:weight", "4")
	s.waitCaughtUp(10 * time.Second)
	if got.Filtered != 1 || s.now(2, "driver_box:weight", "driver_boxes:boxes") != "3 2" {
		t.Errorf("answer %+v, features %s", got, s.now(2, "driver_box:weight", "driver_boxes:boxes"))
	}
	s.checkEnds("driver_boxes")
	s.checkReceived(map[string]float64{"driver_box": 5, "driver_boxes": 6})
	if letters := s.letters(); len(letters) > 0 {
		t.Errorf("letters %+v", letters)
	}
}

// TestPushWhileIngestionStands has another member of the group take partitions
// and do nothing with them.
func TestPushWhileIngestionStands(t *testing.T) {
	s := newPublish(t, "pushstands")
	thief, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumerGroup(s.group()), kgo.ConsumeTopics(s.topics()...), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(thief.Close)
	s.eventually(20*time.Second, "another member has partitions", func() error {
		s.call("POST", "/v1/push/rides?mode=async", ridesBody(manyRides("before")...), "Content-Type", jsonBody)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if thief.PollFetches(ctx).NumRecords() == 0 {
			return errors.New("it has none")
		}
		return nil
	})
	r := s.call("POST", "/v1/push/rides", ridesBody(manyRides("while")...), "Content-Type", jsonBody, "X-Request-Timeout", "500ms")
	if r.status != http.StatusGatewayTimeout || r.Error.Receipt == "" {
		t.Fatalf("answered %d %s", r.status, r.text)
	}
	if got := s.call("GET", "/v1/receipts/"+r.Error.Receipt, ""); got.State != "pending" || got.Finished == got.Rows {
		t.Errorf("receipt %s", got.text)
	}
	thief.Close()
	if got := s.waitReceipt("/v1/receipts/" + r.Error.Receipt); got.State != "done" || got.Finished != 40 {
		t.Errorf("receipt %s", got.text)
	}
	if got := s.now(39, "driver_rides:rides"); got != "2" {
		t.Errorf("rides %s", got)
	}
}

// manyRides are of as many drivers as it takes to reach every partition.
func manyRides(id string) []string {
	rows := make([]string, 40)
	for i := range rows {
		rows[i] = rideRow(i, fmt.Sprint(id, i), time.Now())
	}
	return rows
}
