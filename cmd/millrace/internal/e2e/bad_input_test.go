package e2e_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestBadRecords sends one record of every fault between good ones: each costs
// itself only, and is found with stage, reason, position and original bytes.
func TestBadRecords(t *testing.T) {
	s := newStack(t, "bad")
	s.write(tripDefinitions)
	s.up(1)
	s.configure(map[string]string{"max.message.bytes": "16777216"})
	now := time.Now()
	huge := `{"driver_id":5,"n":1,"status":"` + strings.Repeat("x", 3<<20) + `"}`
	faults := []struct{ name, value, stage, reason string }{
		{"malformed JSON", `{"driver_id": 1, "n"`, "decode", "malformed"},
		{"not an object", `[1,2]`, "decode", "malformed"},
		{"wrong type", `{"driver_id":"abc","n":1}`, "decode", "wrong_type"},
		{"missing join key", `{"n":1}`, "transform", "null_key"},
		{"far future", trip(4, 1, now.Add(time.Hour)), "transform", "event_time_future"},
		{"oversized", huge, "encode", "row_too_large"},
	}
	s.produce(0, "1", trip(1, 1, now))
	var sent []*kgo.Record
	for _, f := range faults {
		sent = append(sent, s.produce(0, "k", f.value, kgo.RecordHeader{Key: "trace", Value: []byte(f.name)}))
	}
	s.produce(0, "1", trip(1, 2, now.Add(time.Second)))
	s.waitValue(10*time.Second, 1, "driver_trips:serial", "2")
	s.waitCaughtUp(10 * time.Second)

	at := make(map[int64][]letter)
	for _, l := range s.letters() {
		at[l.Offset] = append(at[l.Offset], l)
	}
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			ls := at[sent[i].Offset]
			if len(ls) == 0 {
				t.Fatal("it has no dead letter")
			}
			for _, l := range ls {
				if l.Stage != f.stage || l.Reason != f.reason {
					t.Errorf("refused at %s for %s, want %s for %s (%s)", l.Stage, l.Reason, f.stage, f.reason, l.Message)
				}
				if l.Topic != s.topic || l.Source != "trips" || string(l.Key) != "k" {
					t.Errorf("it does not say where from: %s %s", l.Topic, l.Source)
				}
				if len(l.Headers) != 1 || string(l.Headers[0].Value) != f.name {
					t.Errorf("its headers are lost: %v", l.Headers)
				}
				if !bytes.HasPrefix([]byte(f.value), l.Value) || (len(l.Value) != len(f.value)) != l.Truncated {
					t.Errorf("its bytes are not the original: %d of %d, truncated %v", len(l.Value), len(f.value), l.Truncated)
				}
			}
		})
	}
	s.checkEnds("driver_trips", "driver_last")
}

// TestBadRequests shows a caller's mistakes, each answered clearly.
func TestBadRequests(t *testing.T) {
	s := newStack(t, "requests")
	s.write(tripDefinitions)
	s.up(1)
	many, one := make([]int64, 10001), []any{map[string]any{"driver_id": 1}}
	for _, c := range []struct {
		name, path string
		body       any
		status     int
		says       string
	}{
		{"unknown view", "/v1/lookup", map[string]any{"features": []string{"driver_trip:serial"}, "entities": one}, 404, "driver_trips"},
		{"unknown feature", "/v1/lookup", map[string]any{"features": []string{"driver_trips:serail"}, "entities": one}, 404, "serial"},
		{"too many entities", "/v1/lookup", map[string]any{"service": "eta_v1", "entities": map[string]any{"driver_id": many}}, 422, "1000"},
		{"not JSON of a request", "/v1/lookup", "text", 400, "object"},
		{
			"Feast: unknown view", "/get-online-features",
			map[string]any{"features": []string{"nope:x"}, "entities": map[string]any{"driver_id": []int{1}}},
			404, "FeatureViewNotFoundException",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body, err := s.post(c.path, c.body)
			if err != nil {
				t.Fatal(err)
			}
			if status != c.status || !strings.Contains(string(body), c.says) {
				t.Errorf("answered %d: %s; want %d with %q", status, body, c.status, c.says)
			}
			if strings.Contains(string(body), "goroutine") {
				t.Errorf("a stack trace reached the caller: %s", body)
			}
		})
	}
	resp, err := http.Post("http://"+s.http+"/v1/lookup", "application/json", strings.NewReader(`{"features": [`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written to it
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("wrong JSON answered %d, want 400", resp.StatusCode)
	}
}

// TestBadSetups shows a user's mistakes at the command line.
func TestBadSetups(t *testing.T) {
	s := newStack(t, "setups")
	s.write(strings.Replace(tripDefinitions, "upper(status)", "uper(status)", 1))
	out, err := s.run("check", "--definitions", "definitions")
	if err == nil || !strings.Contains(out, "upper") || !strings.Contains(out, "features.yaml:") {
		t.Errorf("check on a broken definition: %v\n%s", err, out)
	}
	out, err = s.run("check", "--definitions", "nowhere")
	if err == nil || !strings.Contains(out, "nowhere") {
		t.Errorf("check on a missing folder: %v\n%s", err, out)
	}
	s.env = append(s.env, "MILLRACE_STORE_TYPE=scylla", "MILLRACE_STORE_HOSTS=127.0.0.1", "MILLRACE_STORE_PORT="+portOf(freePort(t)),
		"MILLRACE_PROJECT=nobody")
	out, err = s.run("serve")
	if err == nil || !strings.Contains(out, "127.0.0.1") || strings.Contains(out, "goroutine") {
		t.Errorf("serve without a store: %v\n%s", err, out)
	}
}

func portOf(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }
