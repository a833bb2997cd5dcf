//go:build !real

package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/sinks"
	"millrace/sinks/changelog"
)

// onWrite is a model of views of tripDefinitions and of profiles, whose server
// is not there: what changes is told all the same.
const onWrite = `
models:
  - name: fraud
    version: "7"
    endpoint: http://127.0.0.1:1
    entity: driver
    inputs: ["driver_trips:tier", "driver_profile:rating"]
    outputs: [{name: score, type: float64}]
    refresh: [on_read, on_write]
`

var changelogDefinitions = strings.NewReplacer(
	"\nviews:\n", "\n  - {name: profiles, push: {}, fields: [{name: driver_id, type: int64}, {name: rating, type: float64}]}\nviews:\n  - {name: driver_profile, entity: driver, source: profiles, features: [{name: rating}]}\n",
	"expr: upper(status)", "expr: cast(status as bigint)",
).Replace(tripDefinitions) + onWrite

// changed lists what the changelog holds now, "driver 7 driver_trips@1".
func (s *stack) changed() []string {
	s.t.Helper()
	_, adm := s.kafka()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	topic := changelog.Topic(s.project)
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil || ends.Error() != nil {
		s.t.Fatal(err, ends.Error())
	}
	left := make(map[int32]int64)
	for n, e := range ends[topic] {
		if e.Offset > 0 {
			left[n] = e.Offset
		}
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer reader.Close()
	var all []string
	for len(left) > 0 {
		fs := reader.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			s.t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			var c sinks.Change
			if err := changelog.Decode(r.Key, r.Value, &c); err != nil {
				s.t.Error(err)
			}
			for _, v := range c.Views {
				all = append(all, c.Entity+" "+c.Key+" "+v.View)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (s *stack) wantChanged(want ...string) {
	s.t.Helper()
	s.eventually(20*time.Second, "the changelog", func() error {
		if got := s.changed(); !slices.Equal(got, want) {
			return fmt.Errorf("it tells of %q, want %q", got, want)
		}
		return nil
	})
}

// TestChangesAreTold follows `dev` and the commands: events, API writes and
// replayed letters of a model's inputs are told; other views' are not.
func TestChangesAreTold(t *testing.T) {
	s := newStack(t, "changelog")
	s.write(changelogDefinitions)
	s.up(1)
	expect(t, s.mustRun("plan", "--definitions", "definitions"), "ingest: write, describe topic millrace."+s.project+".changelog, which apply creates")
	numbered := strings.Replace(trip(7, 1, time.Now()), "completed", "12", 1)
	s.produce(0, "7", numbered)
	s.produce(0, "8", trip(8, 1, time.Now())) // whose status is no number
	s.wantChanged("driver 7 driver_trips@1")
	s.pushOK("/v1/push/profiles", jsonBody, `{"rows": [{"driver_id": 9, "rating": 4.5}]}`)
	if got := s.changed(); !slices.Equal(got, []string{"driver 7 driver_trips@1", "driver 9 driver_profile@1"}) {
		t.Errorf("when the push is answered the changelog tells of %q", got)
	}
	s.waitCaughtUp(20 * time.Second)
	s.write(strings.Replace(changelogDefinitions, "cast(", "try_cast(", 1))
	s.mustRun("apply", "--definitions", "definitions")
	expect(t, s.mustRun("deadletter", "replay", "--definitions", "definitions"), `"stored":1`)
	want := []string{"driver 7 driver_trips@1", "driver 8 driver_trips@1", "driver 9 driver_profile@1"}
	if got := s.changed(); !slices.Equal(got, want) {
		t.Errorf("when the replay has ended the changelog tells of %q", got)
	}
}

// Without the broker that the changelog is on, no letter is marked.
func TestNothingIsReplayedThatCannotBeTold(t *testing.T) {
	s := newStack(t, "untold")
	s.write(changelogDefinitions)
	p := s.up(1)
	s.produce(0, "8", trip(8, 1, time.Now()))
	s.waitCaughtUp(20 * time.Second)
	p.stop(syscall.SIGTERM)
	s.write(strings.Replace(changelogDefinitions, "cast(", "try_cast(", 1))
	s.mustRun("apply", "--definitions", "definitions")
	out, err := s.run("deadletter", "replay", "--definitions", "definitions")
	if err == nil || !strings.Contains(out, "replay while millrace dev runs") {
		t.Errorf("%v: %s", err, out)
	}
	if n := s.letterCounts()["expression"]; n != 1 {
		t.Errorf("%d letters", n)
	}
}
