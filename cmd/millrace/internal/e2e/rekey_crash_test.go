package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/sources"
)

// rekeyTopic is where the copies for a rekeyed view are.
func (s *stack) rekeyTopic(view string) string {
	return fmt.Sprintf("millrace.%s.rekey.%s.g1", s.project, view)
}

// TestCrashRekeyed is TestCrash with a view that is rekeyed: events of a driver
// come in every partition, and processes are killed while they copy them to the
// driver's. Every event is copied once and counted once.
//
// The embedded broker dies with its process, and ends a transaction partition
// by partition and the group's offsets last, so nothing is promised there of a
// kill in between: on that stack processes are ended politely.
func TestCrashRekeyed(t *testing.T) {
	eachCrashSeed(t, inCI.rekeySeeds, 1, crashRekeyedRun)
}

func crashRekeyedRun(t *testing.T, seed uint64) {
	s := newStack(t, fmt.Sprintf("rekey%d", seed))
	s.env = append(s.env, "MILLRACE_KAFKA_TRANSACTION_TIMEOUT=6s")
	s.write(strings.Replace(tripDefinitions, "services:", windowView("driver_rekeyed", "    rekey: true\n")+
		"      - {name: serial, expr: n}\nservices:", 1))
	s.up(crashPartitions)
	for range ingesters - 1 {
		s.startIngest()
	}
	stop := make(chan struct{})
	ended := make(chan int)
	go func() { ended <- s.chaos(rand.New(rand.NewPCG(seed, 2)), stop, !s.real) }()
	events := crashEvents(inCI.rekeyEvents)
	// Many pauses: there is a transaction under way at any time.
	want := s.produceCrashEvents(rand.New(rand.NewPCG(seed, 1)), events, 1000, false)
	close(stop)
	t.Logf("seed %d: %d events for %d drivers, %d processes ended and started", seed, events, len(want), <-ended)
	s.waitCaughtUp(120 * time.Second)
	s.waitCopied(120*time.Second, "driver_rekeyed")
	s.compare("driver_trips", want)
	s.compare("driver_rekeyed", want)
	s.compareWindows("driver_rekeyed", false)
}

// waitCopied waits until every record of the stack's topic has been copied for
// a view, and every copy has its end. Then it looks that no record was copied
// twice.
func (s *stack) waitCopied(limit time.Duration, view string) {
	s.t.Helper()
	group, topic := s.group()+".rekey."+view+"@1", s.rekeyTopic(view)
	s.eventually(limit, "copied", func() error {
		lag, err := s.lagOf(group, s.topic)
		if err == nil && lag != 0 {
			err = fmt.Errorf("%d records are not copied", lag)
		}
		return err
	})
	s.eventually(limit, "transactions at their end", func() error { return s.openTransactions(topic) })
	next := s.scanCopies(topic)
	s.eventually(limit, "copies at their end", func() error {
		_, adm := s.kafka()
		committed, err := adm.FetchOffsets(context.Background(), s.group())
		if err != nil {
			return err
		}
		for p, want := range next {
			if at, ok := committed.Lookup(topic, p); !ok || at.At < want {
				return fmt.Errorf("partition %d stands at %d of %d", p, at.At, want)
			}
		}
		return nil
	})
}

// openTransactions fails while a transaction is open in a topic: one of a process
// that was killed is until its timeout, and hides what others copied behind it.
func (s *stack) openTransactions(topic string) error {
	_, adm := s.kafka()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	stable, err := adm.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return err
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	ends.Each(func(end kadm.ListedOffset) {
		if at, _ := stable.Lookup(end.Topic, end.Partition); at.Offset < end.Offset {
			err = fmt.Errorf("partition %d is stable up to %d of %d", end.Partition, at.Offset, end.Offset)
		}
	})
	return err
}

// scanCopies reads the committed copies of a topic to its end. It returns the
// offset behind the last one of each partition.
func (s *stack) scanCopies(topic string) map[int32]int64 {
	s.t.Helper()
	_, adm := s.kafka()
	ends, err := adm.ListCommittedOffsets(s.t.Context(), topic)
	if err != nil {
		s.t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	left := make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	next, seen := make(map[int32]int64), make(map[string]int)
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			s.t.Fatalf("copies are not read, up to %v: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				next[r.Partition] = r.Offset + 1
				seen[s.copyName(r)]++
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	for name, n := range seen {
		if n > 1 {
			s.t.Errorf("%s was copied %d times", name, n)
		}
	}
	s.t.Logf("%d copies in %s", len(seen), topic)
	return next
}

// copyName is what there must be one of: a record and an entity key.
func (s *stack) copyName(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == sources.HeaderOriginal {
			return string(h.Value) + " for " + string(r.Key)
		}
	}
	s.t.Errorf("offset %d of partition %d is no copy", r.Offset, r.Partition)
	return ""
}
