//go:build !real

package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// newCluster makes a project beside somebody else's Kafka, one that would
// create any topic that it is asked for.
func newCluster(t *testing.T, name string) *stack {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(2))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	s := newBase(t, name)
	s.brokers = cluster.ListenAddrs()
	return s
}

// traces is everything that a client can leave on a cluster.
type traces struct {
	topics  map[string]string // configuration and ends of partitions
	offsets []string          // groups that have any
}

func (s *stack) traces() traces {
	s.t.Helper()
	_, adm := s.kafka()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	found := traces{topics: make(map[string]string)}
	topics, err := adm.ListTopicsWithInternal(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	for name := range topics {
		configs, err := adm.DescribeTopicConfigs(ctx, name)
		if err != nil {
			s.t.Fatal(err)
		}
		ends, err := adm.ListEndOffsets(ctx, name)
		if err != nil {
			s.t.Fatal(err)
		}
		var text []string
		for _, c := range configs[0].Configs {
			text = append(text, c.Key+"="+c.MaybeValue())
		}
		for n, e := range ends[name] {
			text = append(text, fmt.Sprintf("partition %d ends at %d", n, e.Offset))
		}
		slices.Sort(text)
		found.topics[name] = strings.Join(text, "\n")
	}
	groups, err := adm.ListGroups(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, g := range groups.Groups() {
		if committed, err := adm.FetchOffsets(ctx, g); err == nil && len(committed) > 0 {
			found.offsets = append(found.offsets, g)
		}
	}
	return found
}

// committedBy sums what a group has committed of the stack's topic.
func (s *stack) committedBy(group string) (sum int64) {
	s.t.Helper()
	_, adm := s.kafka()
	at, err := adm.FetchOffsets(context.Background(), group)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, o := range at[s.topic] {
		sum += max(o.At, 0)
	}
	return sum
}

// missingTopic is a source of a topic that is not there, and its view.
const missingTopic = `
  - name: absent
    push: {topic: TOPIC_absent}
    fields: [{name: driver_id, type: int64}, {name: stars, type: int64}]
views:
  - {name: driver_stars, entity: driver, source: absent, features: [{name: stars}]}
`

// TestDevLeavesNothingOnAnExistingCluster reads a cluster with `dev --brokers`,
// and compares all that a client can see of the cluster before and after.
func TestDevLeavesNothingOnAnExistingCluster(t *testing.T) {
	s := newCluster(t, "looker")
	s.write(strings.NewReplacer("\nviews:\n", missingTopic, "services:", windowView("driver_rekeyed", "    rekey: true\n")+"services:").Replace(tripDefinitions) + strings.Replace(onWrite, "driver_profile:rating", "driver_stars:stars", 1))
	s.env = []string{"MILLRACE_DEADLETTER_TOPIC=letters", "MILLRACE_KAFKA_GROUP=production"}
	s.createTopic(2, nil)
	s.produce(0, "7", trip(7, 1, time.Now()))
	s.produce(1, "8", `{"driver": "not a number"`)
	before := s.traces()

	p := s.start(s.admin, "dev", "--brokers", strings.Join(s.brokers, ","), "--from", "1h", "--http", s.http, "--admin", s.admin, "--definitions", "definitions")
	s.ready(p)
	s.waitValue(10*time.Second, 7, "driver_trips:serial", "1")
	s.waitValue(10*time.Second, 7, "driver_rekeyed:count_12h", "1") // counted without a topic of its own
	s.eventually(10*time.Second, "the dead letter", func() error {
		if out := s.mustRun("deadletter", "list", "--definitions", "definitions"); !strings.Contains(out, "malformed") {
			return fmt.Errorf("there is none: %s", out)
		}
		return nil
	})
	s.eventually(10*time.Second, "offsets", func() error {
		var sum int64 // both records: a lane that could not write something would wait for ever
		for _, g := range s.traces().offsets {
			sum += s.committedBy(g)
		}
		if sum != 2 {
			return fmt.Errorf("%d are committed", sum)
		}
		return nil
	})
	p.stop(syscall.SIGINT)
	if p.err != nil {
		t.Errorf("ended with %v", p.err)
	}
	after := s.traces()
	if !maps.Equal(before.topics, after.topics) {
		t.Errorf("topics were\n%s\nand are\n%s", before.topics, after.topics)
	}
	if own := "millrace-dev-" + s.project + "-"; len(after.offsets) != 1 || !strings.HasPrefix(after.offsets[0], own) {
		t.Errorf("groups with offsets: %v, not one of %s", after.offsets, own)
	}
	for _, says := range []string{"reads      topic " + s.topic + ", 2 partitions, from 1h0m0s ago", "waits for  topic " + s.topic + "_absent", "leaves     group production as it is", "no topic, no record, no dead letter, no changelog", "predictions of fraud when they are read, not when their inputs change"} {
		if !strings.Contains(p.log.String(), says) {
			t.Errorf("it does not say %q:\n%s", says, p.log)
		}
	}
}

// TestDevRefusesWhatDoesNotGoTogether with an existing cluster.
func TestDevRefusesWhatDoesNotGoTogether(t *testing.T) {
	s := newBase(t, "refuses")
	s.write(tripDefinitions)
	closed := freePort(t)
	for _, c := range []struct {
		args string
		says string
	}{
		{"--from 1h", "name it with --brokers"},
		{"--brokers b:1 --demo", "--demo writes events"},
		{"--brokers b:1 --kafka 127.0.0.1:0", "--kafka is the address of the embedded broker"},
		{"--brokers b:1 --from 0s", "a duration back; write 15m"},
		{"--brokers " + closed + " --definitions definitions --http 127.0.0.1:0 --admin 127.0.0.1:0", "reach Kafka at " + closed},
	} {
		if out, err := s.run(append([]string{"dev"}, strings.Fields(c.args)...)...); err == nil || !strings.Contains(out, c.says) {
			t.Errorf("dev %s: %v\n%s", c.args, err, out)
		}
	}
}
