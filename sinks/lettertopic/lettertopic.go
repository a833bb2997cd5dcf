// Package lettertopic publishes every dead letter to a topic too, for
// consumers of other kinds: the record as it was, with headers that say where
// it came from and why it was refused.
//
// Invariant: Put returns without an error only when every letter is kept in the
// store and acknowledged by the topic, so no offset passes a letter that the
// topic lacks. A letter written again is published again: at least once.
package lettertopic

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/sinks"
)

// Headers of a published letter. Those of the record itself come first.
const (
	HeaderSource    = "millrace-source"
	HeaderTopic     = "millrace-topic"
	HeaderPartition = "millrace-partition"
	HeaderOffset    = "millrace-offset"
	HeaderElement   = "millrace-element"
	HeaderTime      = "millrace-record-time" // RFC 3339
	HeaderView      = "millrace-view"        // absent when the record could not be decoded
	HeaderStage     = "millrace-stage"
	HeaderReason    = "millrace-reason"
	HeaderMessage   = "millrace-message"
	HeaderTruncated = "millrace-truncated" // bytes of the whole value; absent when it is whole
)

// Letters keeps letters in a store and publishes them.
type Letters struct {
	store  sinks.DeadLetter
	client *kgo.Client
	topic  string
}

var _ sinks.DeadLetter = (*Letters)(nil)

// Opts are what the client needs beside how to reach the brokers: all replicas
// acknowledge, and a letter of the greatest size fits.
func Opts() []kgo.Opt {
	const room = 1 << 20 // for key and headers
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchMaxBytes(sinks.MaxLetterBytes + room),
		kgo.RecordDeliveryTimeout(deliveryTimeout),
	}
}

// deliveryTimeout bounds one attempt; the lane repeats it.
const deliveryTimeout = 30 * time.Second

// New returns Letters over a store and a client, which Close closes.
func New(store sinks.DeadLetter, client *kgo.Client, topic string) *Letters {
	return &Letters{store: store, client: client, topic: topic}
}

// Put implements sinks.DeadLetter. The store comes first: what people look at
// is then never behind what consumers were told.
func (l *Letters) Put(ctx context.Context, letters []sinks.Letter) error {
	if err := l.store.Put(ctx, letters); err != nil {
		return err //nolint:wrapcheck // the store says what failed
	}
	records := make([]*kgo.Record, len(letters))
	for i := range letters {
		records[i] = l.record(&letters[i])
	}
	if err := l.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("publish %d dead letters to topic %s: %w", len(letters), l.topic, err)
	}
	return nil
}

// record is the letter's record with the headers that say why it is here. What
// it points to is the caller's; ProduceSync is done with it when it returns.
func (l *Letters) record(d *sinks.Letter) *kgo.Record {
	r := &kgo.Record{Topic: l.topic, Key: d.RecordKey, Value: d.RecordValue}
	for _, h := range d.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	add := func(key, value string) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	add(HeaderSource, d.Source)
	add(HeaderTopic, d.Topic)
	add(HeaderPartition, strconv.Itoa(int(d.Partition)))
	add(HeaderOffset, strconv.FormatInt(d.Offset, 10))
	add(HeaderElement, strconv.Itoa(int(d.Element)))
	add(HeaderTime, time.UnixMilli(d.RecordMillis).UTC().Format(time.RFC3339Nano))
	if d.View != "" {
		add(HeaderView, d.View)
	}
	add(HeaderStage, string(d.Stage))
	add(HeaderReason, string(d.Reason))
	add(HeaderMessage, strings.ToValidUTF8(d.Message, "\ufffd"))
	if d.Truncated {
		add(HeaderTruncated, strconv.Itoa(d.ValueBytes))
	}
	return r
}

// Close lets the client go.
func (l *Letters) Close() error {
	l.client.Close()
	return nil
}
