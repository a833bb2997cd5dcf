package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/sources"
)

// Copier makes the copies of a partition's records that go to another topic.
// It belongs to one goroutine.
type Copier interface {
	// Copies appends the copies of recs to dst. An error means that nothing can
	// be said now; the call is repeated.
	Copies(ctx context.Context, from sources.Partition, recs []sources.Record, dst []sources.Record) ([]sources.Record, error)
}

// Ledger remembers, beside the group's offsets, what a relay has begun: without
// it a group that lost its offsets would look like one that has yet to begin,
// and everything would be copied, and counted, again. It may block; it is asked
// again when it fails.
type Ledger interface {
	// Opened reports whether copies of a partition of the topic, or of an
	// earlier topic of its name, may have been made.
	Opened(ctx context.Context, partition int32, topic sources.TopicID) (this, earlier bool, err error)
	// Open notes that copies may be made from now on.
	Open(ctx context.Context, partition int32, topic sources.TopicID) error
	// Missed notes that records of a partition up to now are never copied. It
	// is called before the first copy of what comes behind them.
	Missed(ctx context.Context, partition int32) error
	// Recovery returns where a person lets a partition go on whose log lost
	// records; the zero Recovery if nowhere.
	Recovery(ctx context.Context, partition int32) (Recovery, error)
}

// Recovery says where a relay goes on.
type Recovery struct {
	Number int64  // greater than every earlier one of the partition
	Topic  string // id of the topic it speaks of, in hex
	Offset int64
}

// RelayEvents are told to whoever listens; each must be set and must not block.
type RelayEvents struct {
	Assigned func(partition int32, offset int64)
	Gone     func(partition int32)
	// Copied reports a transaction: records read of a partition, copies sent,
	// and how many records are yet to be read.
	Copied  func(partition int32, records, copies int, lag int64)
	Aborted func() // a rebalance ended a transaction, whose records come again
	// Failed reports the first of several failures in a row, Recovered the
	// first transaction after it.
	Failed    func(err error)
	Recovered func()
	Expired   func(partition int32, records int64) // the log dropped them before they were read
}

// RelaySettings say what a Relay copies, and where to. The group of the embedded
// Settings is the relay's own, and they name one topic.
type RelaySettings struct {
	Settings

	To                 string
	TransactionalID    string        // of this process and relay alone
	TransactionTimeout time.Duration // how long what a killed process began keeps others waiting; default 15 s
	GoOn               bool          // where the log lost records, go on at its end instead of waiting for a person
	Copier             Copier
	Ledger             Ledger
	Events             RelayEvents
}

// Relay copies the records of a topic to another one, exactly once: copies and
// the group's offsets are one Kafka transaction.
//
// Invariants: no copy is sent of a partition before the group has an offset of
// it and the ledger knows that; an offset that is not the relay's own is never
// gone by.
type Relay struct {
	set RelaySettings

	mu struct {
		sync.Mutex
		client *kgo.Client // nil between sessions
		fault  error       // of the latest session; nil since its first transaction
	}
}

// relayWaitMost is how long a relay waits between two sessions that fail.
const relayWaitMost = 5 * time.Second

// NewRelay checks the settings, files included, and touches no network.
func NewRelay(set RelaySettings) (*Relay, error) {
	set.Settings = set.withDefaults()
	def(&set.TransactionTimeout, 15*time.Second)
	if err := set.validate(); err != nil {
		return nil, fmt.Errorf("kafka settings: %w", err)
	}
	if len(set.Topics) != 1 || set.To == "" || set.TransactionalID == "" || set.Copier == nil || set.Ledger == nil {
		return nil, errors.New("kafka settings: a relay reads one topic, and needs another one, a transactional id, a copier and a ledger")
	}
	r := &Relay{set: set}
	if _, err := r.opts(&relaySession{r: r}, 1<<20); err != nil {
		return nil, fmt.Errorf("kafka settings: %w", err)
	}
	return r, nil
}

// Run copies until ctx ends. Whatever fails is tried again: a relay that needs
// a person waits, and says so, while the rest of the process works.
func (r *Relay) Run(ctx context.Context) {
	wait := retryFirst
	for ctx.Err() == nil {
		moved, err := r.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if moved {
			wait = retryFirst
		}
		r.failed(err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, relayWaitMost)
	}
}

// Health returns nil while copies are made, else what the relay waits for.
func (r *Relay) Health() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.fault
}

// Member reports whether the group has taken this process in.
func (r *Relay) Member() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.client == nil {
		return false
	}
	_, generation := r.mu.client.GroupMetadata()
	return generation > 0
}

func (r *Relay) failed(err error) {
	err = fmt.Errorf("copy topic %s to %s: %w", r.set.Topics[0].Name, r.set.To, r.explain(err))
	r.mu.Lock()
	first := r.mu.fault == nil
	r.mu.fault = err
	r.mu.Unlock()
	if first {
		r.set.Events.Failed(err)
	}
}

func (r *Relay) works() {
	r.mu.Lock()
	again := r.mu.fault != nil
	r.mu.fault = nil
	r.mu.Unlock()
	if again {
		r.set.Events.Recovered()
	}
}

func (r *Relay) use(client *kgo.Client) {
	r.mu.Lock()
	r.mu.client = client
	r.mu.Unlock()
}
