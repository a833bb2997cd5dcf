// Package pushtopic is the log behind pushes: it appends their rows to the
// topics of sources, and tells how far the group that ingests them has come and
// what it refused.
//
// Invariant: a position counts as passed only by a commit that says it is of
// the same topic, by the topic's id; what Publish returned is acknowledged by
// all replicas in sync.
package pushtopic

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/serving/push"
	"millrace/sinks"
)

// Errors that Publish and Await wrap.
var (
	ErrOverloaded = fmt.Errorf("as many bytes as may be are on their way to the brokers; %w", push.ErrOverloaded)
	ErrClosed     = errors.New("the topic is closed")
)

// Numbers tells how dead letters of a topic are numbered: sinks.Epochs.
type Numbers interface {
	TopicNumber(ctx context.Context, source string, topic [16]byte, partition int32) (int64, error)
}

// Settings are what a Topic works with. Numbers and Letters are of the store
// that the lanes write to.
type Settings struct {
	Group   string                                // that ingests the sources
	Sources map[string]Source                     // by name
	Connect func(...kgo.Opt) (*kgo.Client, error) // another client of the brokers; needed where there are copies
	Numbers Numbers
	Letters sinks.LetterFinder

	MaxBytes int64         // of rows on their way to the brokers; 0 is 64 MiB
	Poll     time.Duration // between two looks at the group's commits; 0 is 5 ms
}

// Source is where the rows of a source are, and who reads them.
type Source struct {
	Topic  string
	Direct bool     // the group reads the topic itself
	Copies []Copies // what else it reads of them
}

// Copies are those of a source's records for one view: the group reads them
// instead.
type Copies struct {
	Source string // that their dead letters are of
	Topic  string
	Group  string // that makes them
}

func (s *Settings) fill() {
	if s.MaxBytes <= 0 {
		s.MaxBytes = 64 << 20
	}
	if s.Poll <= 0 {
		s.Poll = 5 * time.Millisecond
	}
}

// Topic implements push.Topic. It is safe for concurrent use.
type Topic struct {
	s       Settings
	client  *kgo.Client
	admin   *kadm.Client
	topics  topics
	commits *commits
	copying map[string]*commits // by the groups that make copies
	scans   chan struct{}       // those that run
	flying  atomic.Int64        // bytes on their way
	numbers numbers
}

var _ push.Topic = (*Topic)(nil)

// Opts are what the client needs beside how to reach the brokers: all replicas
// acknowledge, the client repeats without appending twice, and requests leave
// at once, for a caller waits. How much it buffers is bounded by the Topic.
func Opts() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(math.MaxInt32),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // Kafka's own: a key's partition is that of any producer
	}
}

// deliveryTimeout is how long a row may wait for brokers. (The client has an
// option for that, which counts from the record's own time.)
const deliveryTimeout = 30 * time.Second

// New returns a Topic over a client with Opts, which Close closes.
func New(client *kgo.Client, s Settings) *Topic {
	s.fill()
	admin := kadm.NewClient(client)
	t := &Topic{s: s, client: client, admin: admin, topics: topics{admin: admin}, numbers: numbers{of: s.Numbers}}
	t.commits = newCommits(s.Poll, commitsOf(admin, s.Group))
	t.copying, t.scans = make(map[string]*commits), make(chan struct{}, maxScans)
	for _, src := range s.Sources {
		for _, c := range src.Copies {
			t.copying[c.Group] = newCommits(s.Poll, commitsOf(admin, c.Group))
		}
	}
	return t
}

// Close ends what waits and lets the client go. Rows on their way are given up.
func (t *Topic) Close() {
	t.commits.close()
	for _, c := range t.copying {
		c.close()
	}
	t.client.Close()
}

func (t *Topic) nameOf(source string) (string, error) {
	if name := t.s.Sources[source].Topic; name != "" {
		return name, nil
	}
	return "", fmt.Errorf("source %s has no topic", source)
}
