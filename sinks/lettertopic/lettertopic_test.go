package lettertopic

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/memory"
)

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func open(t *testing.T, c *kfake.Cluster, store sinks.DeadLetter, topic string) (*Letters, *kgo.Client) {
	t.Helper()
	client, err := kgo.NewClient(append(Opts(), kgo.SeedBrokers(c.ListenAddrs()...), kgo.UnknownTopicRetries(1))...)
	if err != nil {
		t.Fatal(err)
	}
	l := New(store, client, topic)
	t.Cleanup(func() { _ = l.Close() })
	return l, client
}

func letter() sinks.Letter {
	return sinks.Letter{
		LetterID: sinks.LetterID{Source: "trips", Partition: 3, Position: 81234, Element: 2, View: "driver_trips"},
		Topic:    "rides.trips", Offset: 81234, RecordMillis: 1_790_000_000_123,
		Stage: feature.StageTransform, Reason: feature.ReasonNullKey, Message: "join key driver_id is null",
		RecordKey: []byte("k"), RecordValue: []byte{0, 0xff}, Headers: []sinks.LetterHeader{{Key: "trace", Value: []byte{1}}},
		ValueBytes: 5, Truncated: true,
	}
}

func TestALetterIsPublishedWithWhereFromAndWhy(t *testing.T) {
	c, store := cluster(t, kfake.SeedTopics(1, "refused")), new(memory.Store)
	l, _ := open(t, c, store, "refused")
	undecodable := letter()
	undecodable.View, undecodable.Truncated, undecodable.RecordValue = "", false, nil
	if err := l.Put(t.Context(), []sinks.Letter{letter(), undecodable}); err != nil {
		t.Fatal(err)
	}
	if n := len(store.Letters()); n != 2 {
		t.Errorf("%d letters in the store", n)
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("refused"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var got []*kgo.Record
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for len(got) < 2 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		got = append(got, fetches.Records()...)
	}
	if string(got[0].Key) != "k" || string(got[0].Value) != "\x00\xff" || got[1].Value != nil {
		t.Errorf("key %q, values %q and %q", got[0].Key, got[0].Value, got[1].Value)
	}
	text := ""
	for _, h := range got[0].Headers {
		text += fmt.Sprintf("%s=%q\n", h.Key, h.Value)
	}
	want := `trace="\x01"
millrace-source="trips"
millrace-topic="rides.trips"
millrace-partition="3"
millrace-offset="81234"
millrace-element="2"
millrace-record-time="2026-09-21T14:13:20.123Z"
millrace-view="driver_trips"
millrace-stage="transform"
millrace-reason="null_key"
millrace-message="join key driver_id is null"
millrace-truncated="5"
`
	if text != want {
		t.Errorf("headers are\n%s\nwant\n%s", text, want)
	}
	if n := len(got[1].Headers); n != 10 {
		t.Errorf("a letter without a view has %d headers, want 10", n)
	}
}

func TestWhatTheTopicLacksIsNotAcknowledged(t *testing.T) {
	c, store := cluster(t), new(memory.Store)
	l, _ := open(t, c, store, "missing")
	if err := l.Put(t.Context(), []sinks.Letter{letter()}); err == nil {
		t.Error("a letter that no topic took is acknowledged")
	}
}

func TestWhatTheStoreLacksIsNotPublished(t *testing.T) {
	c, store := cluster(t, kfake.SeedTopics(1, "refused")), new(memory.Store)
	down := errors.New("it is down")
	store.Fail(func(string) error { return down })
	produced := false
	c.ControlKey(0, func(req kmsg.Request) (kmsg.Response, error, bool) {
		produced = true
		return nil, nil, false //nolint:nilnil // kfake's way to say: go on
	})
	l, _ := open(t, c, store, "refused")
	if err := l.Put(t.Context(), []sinks.Letter{letter()}); !errors.Is(err, down) || produced {
		t.Errorf("Put: %v, published %v", err, produced)
	}
}
