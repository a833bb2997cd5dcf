package changelog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/sinks"
)

// Topic names the changelog of a project.
func Topic(project string) string { return "millrace." + project + ".changelog" }

// TopicConfigs returns what the topic is to be created with: the newest record
// of every key stays, and segments are closed soon enough to be compacted.
func TopicConfigs() map[string]string {
	return map[string]string{
		"cleanup.policy":            "compact",
		"segment.ms":                "3600000",
		"min.cleanable.dirty.ratio": "0.1",
	}
}

// Bounds of what a client holds for records on their way: their bytes, and
// their number for what each costs beside these.
const (
	maxBufferedBytes   = 16 << 20
	maxBufferedRecords = 64 << 10
)

// Opts are what the client needs beside how to reach the brokers: all replicas
// in sync acknowledge, the client repeats without appending twice, records
// leave at once, for a lane waits, and what it buffers is bounded. Records on
// their way are not given up with the call that sent them: the client would give
// up those of other lanes behind them too.
func Opts() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0),
		kgo.MaxBufferedBytes(maxBufferedBytes), kgo.MaxBufferedRecords(maxBufferedRecords),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // Kafka's own: a key's partition is that of any producer
	}
}

// deliveryTimeout bounds one call; the caller repeats it.
const deliveryTimeout = 10 * time.Second

// Publisher implements sinks.Changes over a topic. It is safe for concurrent
// use.
type Publisher struct {
	client  *kgo.Client
	topic   string
	timeout time.Duration
}

var _ sinks.Changes = (*Publisher)(nil)

// New returns a Publisher over a client with Opts, which Close closes.
func New(client *kgo.Client, topic string) *Publisher {
	return &Publisher{client: client, topic: topic, timeout: deliveryTimeout}
}

// Close lets the client go. Records on their way are given up.
func (p *Publisher) Close() error {
	p.client.Close()
	return nil
}

// Publish implements sinks.Changes. It gives up after ten seconds.
func (p *Publisher) Publish(ctx context.Context, changes []sinks.Change) error {
	if len(changes) == 0 {
		return nil
	}
	records, err := p.records(changes)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	f := &flight{left: len(records), landed: make(chan struct{})}
	for i := range records {
		p.client.Produce(ctx, &records[i], f.land) // waits for room, or the end of ctx
	}
	select {
	case <-f.landed:
		err = f.err
	case <-ctx.Done(): // the client may hold the records for longer; they share nothing with changes
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("publish %d changes to topic %s: %w%s", len(changes), p.topic, err, nextStep(err))
	}
	return nil
}

func nextStep(err error) string {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return "; run millrace apply, which creates it, or start millrace dev again, which does, too"
	}
	return ""
}

// records encodes changes into memory of their own.
func (p *Publisher) records(changes []sinks.Change) ([]kgo.Record, error) {
	var buffer []byte
	var err error
	records, ends := make([]kgo.Record, len(changes)), make([]int, 0, 2*len(changes))
	for i := range changes {
		c := &changes[i]
		if buffer, err = AppendKey(buffer, c.Entity, c.Key); err != nil {
			return nil, err
		}
		ends = append(ends, len(buffer))
		if buffer, err = AppendValue(buffer, c); err != nil {
			return nil, err
		}
		ends = append(ends, len(buffer))
	}
	from := 0
	for i := range records {
		key, value := ends[2*i], ends[2*i+1]
		records[i] = kgo.Record{Topic: p.topic, Key: buffer[from:key:key], Value: buffer[key:value:value]}
		from = value
	}
	return records, nil
}

// flight is the records of one call, until the last is acknowledged or failed.
type flight struct {
	landed chan struct{}

	mu   sync.Mutex
	err  error // the first; read after landed
	left int
}

func (f *flight) land(_ *kgo.Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	if f.left--; f.left == 0 {
		close(f.landed)
	}
}
