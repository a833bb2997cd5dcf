package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	replayLetters = 10_000
	replayDrivers = 500
)

// letterCounts sums `deadletter list --count` by reason.
func (s *stack) letterCounts() map[string]int {
	s.t.Helper()
	counts := make(map[string]int)
	d := json.NewDecoder(strings.NewReader(s.mustRun("deadletter", "list", "--count", "--definitions", "definitions")))
	for d.More() {
		var c struct {
			Reason  string
			Letters int
		}
		if err := d.Decode(&c); err != nil {
			s.t.Fatal(err)
		}
		counts[c.Reason] += c.Letters
	}
	return counts
}

// TestReplayAfterAFix: 10,000 rows are refused by a definition; it is fixed
// and applied; the replay is killed three times on its way, and in the end
// every driver has the row of its newest event, and what no definition can use
// is still a letter, once.
func TestReplayAfterAFix(t *testing.T) {
	s := newStack(t, "replay")
	broken := strings.Replace(tripDefinitions, "expr: upper(status)", "expr: cast(status as bigint)", 1)
	s.write(broken)
	s.up(2)
	want, stubborn := s.produceRefused(time.Now().Add(-time.Hour))
	s.waitCaughtUp(120 * time.Second)
	before := s.letterCounts()
	if before["expression"] != replayLetters || before["null_key"] != stubborn {
		t.Fatalf("letters are %v, want %d of expression and %d of null_key", before, replayLetters, stubborn)
	}
	s.write(strings.Replace(broken, "cast(status as bigint)", "try_cast(status as bigint)", 1))
	s.mustRun("apply", "--definitions", "definitions")
	dry := s.mustRun("deadletter", "replay", "--dry-run", "--definitions", "definitions")
	if !strings.Contains(dry, fmt.Sprintf(`"stored":%d`, replayLetters)) || s.letterCounts()["expression"] != replayLetters {
		t.Errorf("the dry run says or changes something else: %s", dry)
	}
	kills := 0
	for left := replayLetters; kills < 3; {
		p := s.startReplay()
		s.eventually(60*time.Second, "the replay is on its way", func() error {
			n := s.letterCounts()["expression"]
			if n >= left && p.running() {
				return fmt.Errorf("still %d letters", n)
			}
			return nil
		})
		if !p.running() {
			t.Fatalf("it ended before it was killed %d times: %v %s", kills+1, p.err, p.log)
		}
		p.stop(syscall.SIGKILL)
		kills++
		left = s.letterCounts()["expression"]
		t.Logf("killed, %d letters left", left)
	}
	out := s.mustRun("deadletter", "replay", "--definitions", "definitions")
	if !strings.Contains(out, `"resumed":true`) && s.letterCounts()["expression"] != 0 {
		t.Errorf("the last replay: %s", out)
	}
	after := s.letterCounts()
	if after["expression"] != 0 || after["null_key"] != stubborn {
		t.Errorf("letters left: %v, want %d of null_key", after, stubborn)
	}
	s.compareSerials(want)
	for range 5 {
		out = s.mustRun("deadletter", "replay", "--definitions", "definitions")
	}
	if !strings.Contains(out, fmt.Sprintf(`"skipped_attempts":%d`, stubborn)) {
		t.Errorf("letters are tried for ever: %s", out)
	}
	s.compareSerials(want)
	one := s.letters()[0]
	name := fmt.Sprintf("%s/%d@%d", one.Topic, 0, one.Offset)
	if shown := s.mustRun("deadletter", "show", name, "--definitions", "definitions"); !strings.Contains(shown, `"reason":"null_key"`) {
		t.Errorf("show %s: %s", name, shown)
	}
	if out, err := s.run("deadletter", "drop", "--definitions", "definitions"); err == nil {
		t.Errorf("drop without a filter: %s", out)
	}
	s.mustRun("deadletter", "drop", "--reason", "null_key", "--definitions", "definitions")
	if left := s.letterCounts(); len(left) != 0 {
		t.Errorf("dropped, and there are %v", left)
	}
}

// TestLettersGoToATopicToo: with deadletter.topic, a refused record is on the
// topic with the reason by the time its offset is committed; and commands find
// its letter when no process runs, where the store allows it.
func TestLettersGoToATopicToo(t *testing.T) {
	s := newStack(t, "copy")
	s.write(tripDefinitions)
	copies := s.project + "_refused"
	if s.real {
		_, adm := s.kafka()
		if _, err := adm.CreateTopic(context.Background(), 1, 1, nil, copies); err != nil {
			t.Fatal(err)
		}
	}
	s.env = append(s.env, "MILLRACE_DEADLETTER_TOPIC="+copies)
	p := s.up(1)
	s.produce(0, "k", `{"n":1,"status":"cancelled"}`, kgo.RecordHeader{Key: "trace", Value: []byte("x")})
	s.waitCaughtUp(20 * time.Second)
	reader, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(copies), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	fetches := reader.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	r := fetches.Records()[0]
	headers := make(map[string]string)
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	if string(r.Key) != "k" || headers["trace"] != "x" || headers["millrace-reason"] != "null_key" || headers["millrace-view"] != "driver_last" {
		t.Errorf("the copy has key %q and headers %v", r.Key, headers)
	}
	p.stop(syscall.SIGTERM)
	if out := s.mustRun("deadletter", "replay", "--definitions", "definitions"); !strings.Contains(out, `"refused_again":1`) {
		t.Errorf("replay when nothing ingests: %s", out)
	}
	if out := s.mustRun("deadletter", "drop", "--limit", "1", "--definitions", "definitions"); !strings.Contains(out, `"dropped":1`) {
		t.Errorf("drop: %s", out)
	}
}

// startReplay starts `deadletter replay` as a process of its own.
func (s *stack) startReplay() *process {
	s.t.Helper()
	p := s.start(freePort(s.t), "deadletter", "replay", "--definitions", "definitions")
	return p
}

// produceRefused sends rows whose status is no number, among some that are
// stored at once and some that no definition can use. It returns the serial of
// each driver's newest event that view driver_trips can have, and how many
// letters the useless records make.
func (s *stack) produceRefused(base time.Time) (want map[int64]int64, stubborn int) {
	s.t.Helper()
	client, _ := s.kafka()
	want = make(map[int64]int64)
	newest := make(map[int64]int64)
	var records []*kgo.Record
	send := func(driver, serial, at int64, value string) {
		records = append(records, &kgo.Record{Topic: s.topic, Partition: int32(driver % 2), Value: []byte(value)})
		if driver >= 0 && at > newest[driver] {
			newest[driver], want[driver] = at, serial
		}
	}
	for i := range int64(replayLetters) {
		driver := i*7919%replayDrivers + 1
		at := base.UnixMicro() + i*7907%1_000_003 // another order than the log's, without ties
		send(driver, i, at, fmt.Sprintf(`{"driver_id":%d,"n":%d,"fare":10,"km":5,"status":"completed","at":%d}`, driver, i, at))
		if i%10 == 0 {
			at += 500_000
			send(driver, -i-1, at, fmt.Sprintf(`{"driver_id":%d,"n":%d,"fare":10,"km":5,"status":"7","at":%d}`, driver, -i-1, at))
		}
		if i%1000 == 0 {
			records = append(records, &kgo.Record{Topic: s.topic, Value: []byte(`{"n":1,"status":"3"}`)})
			stubborn += 2 // both views
		}
	}
	if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
	return want, stubborn
}

func (s *stack) compareSerials(want map[int64]int64) {
	s.t.Helper()
	wrong := 0
	var ask []int64
	for d := range want {
		ask = append(ask, d)
	}
	for len(ask) > 0 {
		n := min(len(ask), lookupChunk)
		a, err := s.lookup([]string{"driver_trips:serial"}, ask[:n]...)
		if err != nil {
			s.t.Fatal(err)
		}
		for i, d := range ask[:n] {
			if got := string(a.Rows[i].Values[0]); got != fmt.Sprint(want[d]) {
				if wrong++; wrong < 5 {
					s.t.Errorf("driver %d has serial %s, want %d", d, got, want[d])
				}
			}
		}
		ask = ask[n:]
	}
	if wrong > 0 {
		s.t.Errorf("%d of %d drivers are wrong", wrong, len(want))
	}
}
