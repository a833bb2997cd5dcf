// Package sample takes some records of a topic and shows what would become of
// them.
//
// Invariant: it reads without a group and writes nothing, neither to Kafka nor
// to a store.
package sample

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/feature"
	"millrace/sources"
)

// Settings say which records of a topic to take.
type Settings struct {
	Topic string
	N     int
	From  *feature.StartAt // nil: the newest that there are
	Wait  time.Duration    // how long to wait for records; default 10 s
	Now   time.Time
}

// Connect makes a client of the brokers with further options.
type Connect func(more ...kgo.Opt) (*kgo.Client, error)

// Record is a record and where it stands.
type Record struct {
	sources.Partition
	sources.Record
}

// Position names the record as it is named everywhere: trips/3@81234.
func (r *Record) Position() string {
	return r.Topic + "/" + strconv.Itoa(int(r.Number)) + "@" + strconv.FormatInt(r.Offset, 10)
}

const (
	defaultWait = 10 * time.Second
	// maxRounds bounds how often more of the log is read where much of it is
	// not records: control records, and what compaction took.
	maxRounds = 5
	// maxBytes bounds what a sample holds.
	maxBytes = 64 << 20
)

// Read returns up to N records, ordered by partition and offset. With a start
// of latest it waits for them to come, otherwise it takes what there is. It
// does not see records of transactions that are open or were aborted.
func Read(ctx context.Context, connect Connect, s Settings) ([]Record, error) {
	if s.N < 1 {
		return nil, fmt.Errorf("read records of topic %s: %d of them cannot be read; write -n 1 or more", s.Topic, s.N)
	}
	if s.Wait <= 0 {
		s.Wait = defaultWait
	}
	logs, err := logsOf(ctx, connect, &s)
	if err != nil {
		return nil, err
	}
	r := reader{connect: connect, s: &s}
	for round, want := 1, int64(s.N); ; round, want = round+1, want*4 {
		windows, all := allot(logs, want, s.From == nil)
		if len(windows) == 0 {
			return nil, nil
		}
		records, err := r.fetch(ctx, windows)
		if err != nil {
			return nil, fmt.Errorf("read records of topic %s: %w", s.Topic, err)
		}
		if len(records) >= s.N || all || r.full || round == maxRounds {
			return trim(records, s.N, s.From == nil), nil
		}
	}
}

// trim keeps the n newest or oldest records.
func trim(records []Record, n int, newest bool) []Record {
	byTime := func(a, b Record) int { return cmp.Compare(a.TimeMillis, b.TimeMillis) }
	byPlace := func(a, b Record) int { return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Offset, b.Offset)) }
	slices.SortFunc(records, byPlace)
	slices.SortStableFunc(records, byTime)
	switch more := len(records) - n; {
	case more > 0 && newest:
		records = records[more:]
	case more > 0:
		records = records[:n]
	}
	slices.SortFunc(records, byPlace)
	return records
}

// reader reads windows of partitions.
type reader struct {
	connect Connect
	s       *Settings
	full    bool // maxBytes were read
}

// fetch reads windows to their ends.
func (r *reader) fetch(ctx context.Context, windows map[int32]window) ([]Record, error) {
	at := make(map[int32]kgo.Offset, len(windows))
	for n, w := range windows {
		at[n] = kgo.NewOffset().At(w.start)
	}
	client, err := r.connect(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.s.Topic: at}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they tell that the end is reached
		kgo.FetchMaxPartitionBytes(1<<20), kgo.FetchMaxBytes(8<<20),
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	var records []Record
	bytes := 0
	for len(windows) > 0 && !r.full && (r.s.From == nil || !r.s.From.Latest || len(records) < r.s.N) {
		polled, stop, err := r.poll(ctx, client)
		if err != nil || stop {
			return records, err
		}
		for _, k := range polled {
			w, open := windows[k.Partition]
			if !open {
				continue
			}
			if k.Offset < w.end && !k.Attrs.IsControl() {
				records = append(records, record(k))
				bytes += len(k.Key) + len(k.Value)
			}
			if k.Offset >= w.end-1 {
				delete(windows, k.Partition)
				client.PauseFetchPartitions(map[string][]int32{r.s.Topic: {k.Partition}})
			}
		}
		r.full = bytes > maxBytes
	}
	return records, nil
}

// deadline bounds the wait for records that are to come.
func (r *reader) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.s.From != nil && r.s.From.Latest {
		return context.WithTimeout(ctx, r.s.Wait)
	}
	return context.WithCancel(ctx)
}

// poll returns the next records; stop says that there will be no more.
func (r *reader) poll(ctx context.Context, client *kgo.Client) (records []*kgo.Record, stop bool, err error) {
	polling, cancel := context.WithTimeout(ctx, r.s.Wait)
	defer cancel()
	fetches := client.PollFetches(polling)
	for _, e := range fetches.Errors() {
		if errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, context.Canceled) {
			stop = true // nothing comes any more, or a person has seen enough
			continue
		}
		return nil, true, e.Err
	}
	return fetches.Records(), stop, nil
}

func record(k *kgo.Record) Record {
	r := Record{Partition: sources.Partition{Topic: k.Topic, Number: k.Partition}}
	r.Record = sources.Record{Key: k.Key, Value: k.Value, Offset: k.Offset, TimeMillis: k.Timestamp.UnixMilli()}
	for _, h := range k.Headers {
		r.Headers = append(r.Headers, sources.Header{Key: h.Key, Value: h.Value})
	}
	return r
}
