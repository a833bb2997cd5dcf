package pushtopic

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/feature"
	"millrace/serving/push"
	"millrace/sinks"
	"millrace/sources"
)

const (
	copiesTopic = "copies"
	copier      = "copier"
)

// copied is a world whose source feeds a rekeyed view.
type copied struct {
	*world
	into [16]byte
}

func newCopied(t *testing.T, direct bool) *copied {
	t.Helper()
	c := &copied{}
	c.world = newWorld(t, func(s *Settings) {
		s.Sources[source] = Source{Topic: topic0, Direct: direct, Copies: []Copies{{Source: "trips/v", Topic: copiesTopic, Group: copier}}}
		s.Connect = func(opts ...kgo.Opt) (*kgo.Client, error) { return c.connect(t, opts...), nil }
	})
	made, err := c.admin.CreateTopic(t.Context(), 2, 1, nil, copiesTopic)
	if err != nil {
		t.Fatal(err)
	}
	c.into = made.ID
	return c
}

// commitOf commits for a group on a topic.
func (c *copied) commitOf(t *testing.T, group, topic string, id [16]byte, partition int32, offset int64) {
	t.Helper()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: topic, Partition: partition, At: offset, Metadata: fmt.Sprintf(`{"topic":%q}`, hex.EncodeToString(id[:]))})
	if _, err := c.admin.CommitOffsets(t.Context(), group, os); err != nil {
		t.Fatal(err)
	}
}

// copy writes copies of a record into a partition, in a transaction that ends
// as is said, and tells where the first is.
func (c *copied) copy(t *testing.T, of push.Position, into int32, n int, how kgo.TransactionEndTry) int64 {
	t.Helper()
	client := c.connect(t, kgo.TransactionalID(fmt.Sprint(t.Name(), into, of.Offset)), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	made := sources.Copy{Partition: sources.Partition{Topic: topic0, Number: of.Partition}, Offset: of.Offset, TimeMillis: of.Millis, First: true}
	first := int64(math.MaxInt64)
	for range n {
		r := &kgo.Record{Topic: copiesTopic, Partition: into, Key: []byte("k")}
		for _, h := range made.Pack(nil) {
			r.Headers = append(r.Headers, kgo.RecordHeader(h))
		}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		first = min(first, r.Offset)
	}
	if err := client.EndTransaction(t.Context(), how); err != nil {
		t.Fatal(err)
	}
	return first
}

func (c *copied) passed(t *testing.T, at []push.Position, want int) {
	t.Helper()
	if n, err := c.topic.Passed(t.Context(), source, at); err != nil || n != want {
		t.Fatalf("%d of %d are passed, %v; want %d", n, len(at), err, want)
	}
}

// TestPassedFollowsCopies: a position is passed when its copies are, and marks
// of transactions and what was given up hold nobody up.
func TestPassedFollowsCopies(t *testing.T) {
	for _, direct := range []bool{false, true} {
		t.Run(fmt.Sprintf("direct=%v", direct), func(t *testing.T) {
			c := newCopied(t, direct)
			at, err := c.topic.Publish(t.Context(), source, rows(2))
			if err != nil {
				t.Fatal(err)
			}
			c.passed(t, at, 0) // there is no group yet
			var where [2]int64
			for i := range at {
				c.copy(t, at[i], 1, 3, kgo.TryAbort)
				where[i] = c.copy(t, at[i], int32(i), 2, kgo.TryCommit)
				c.commitOf(t, copier, topic0, c.id, at[i].Partition, at[i].Offset+1)
			}
			if direct {
				c.commit(t, c.id, at[0].Partition, at[0].Offset+1)
			}
			c.passed(t, at, 0) // copied, and not counted
			c.commitOf(t, group, copiesTopic, c.into, 0, where[0]+1)
			c.passed(t, at, 0) // one of two copies is
			c.commitOf(t, group, copiesTopic, c.into, 0, where[0]+2)
			c.passed(t, at, 1) // behind them is the mark
			c.commitOf(t, group, copiesTopic, [16]byte{1}, 1, where[1]+2)
			c.passed(t, at, 1) // an offset of another topic
			c.commitOf(t, group, copiesTopic, c.into, 1, where[1]+2)
			if direct {
				c.passed(t, at, 1)
				c.commit(t, c.id, at[1].Partition, at[1].Offset+1)
			}
			c.copy(t, push.Position{Partition: 2, Offset: 99}, 1, 5, kgo.TryCommit)
			c.passed(t, at, 2) // copies of others are nothing to them
		})
	}
}

// TestLettersOfCopies: they are told by what they are copies of.
func TestLettersOfCopies(t *testing.T) {
	c := newCopied(t, false)
	at, err := c.topic.Publish(t.Context(), source, rows(3))
	if err != nil {
		t.Fatal(err)
	}
	letter := func(topic string, of push.Position, position int64, shift int64) sinks.Letter {
		made := sources.Copy{Partition: sources.Partition{Topic: topic, Number: of.Partition}, Offset: of.Offset, TimeMillis: of.Millis + shift}
		return sinks.Letter{
			LetterID: sinks.LetterID{Source: "trips/v", Partition: 1, Day: sinks.DayOf(of.Millis), Position: position, View: "v"},
			Topic:    topic, RecordMillis: of.Millis + shift, Reason: feature.ReasonLate, Message: "late",
			Headers: []sinks.LetterHeader{{Key: "a", Value: []byte("b")}, sinks.LetterHeader(made.Original())},
		}
	}
	letters := []sinks.Letter{
		letter(topic0, at[2], 50, 0),
		letter("other", at[1], 51, 0),
		letter(topic0, push.Position{Partition: 2, Offset: 7777, Millis: at[0].Millis}, 52, 0),
		letter(topic0, at[0], 53, 3_600_000), // of a topic that had the name before
	}
	if err := c.store.Put(context.Background(), letters); err != nil {
		t.Fatal(err)
	}
	got, err := c.topic.Letters(t.Context(), source, at)
	if err != nil || len(got) != 1 || got[0].At != 2 || got[0].View != "v" || got[0].Reason != feature.ReasonLate {
		t.Errorf("%+v, %v", got, err)
	}
}
