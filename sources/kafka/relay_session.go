package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/feature"
	"millrace/sources"
)

const (
	relayPoll    = 2000             // most records of one transaction
	relayEnd     = 30 * time.Second // of one transaction's end; then the session is given up
	relayMostMax = 64 << 20         // most that a record is let grow to
	defaultMax   = 1 << 20          // of a topic that does not say
)

// relaySession is a relay's time as a member of the group, until something
// fails.
//
// A rebalance is not held up by what is under way: a transaction in which one
// falls is aborted, and its records are read again by whoever gets them. A
// member that was put out without noticing cannot commit: the offsets in its
// transaction name its generation of the group, and the broker refuses them
// (KIP-447). Offsets are fetched only when no transaction over them is open.
type relaySession struct {
	r       *Relay
	txn     *kgo.GroupTransactSession
	running context.Context //nolint:containedctx // of the session, for callbacks of the client
	stop    context.CancelCauseFunc
	copies  []sources.Record

	mu struct {
		sync.Mutex
		started   *kgo.Client
		committed map[int32]committed
		meta      map[int32]string // what commits carry
	}
}

// session works until something fails, and reports whether a transaction was
// committed.
func (r *Relay) session(ctx context.Context) (moved bool, err error) {
	s := &relaySession{r: r}
	s.mu.committed, s.mu.meta = make(map[int32]committed), make(map[int32]string)
	s.running, s.stop = context.WithCancelCause(ctx)
	defer s.stop(nil)
	most, err := r.most(s.running)
	if err != nil {
		return false, err
	}
	if err := s.open(most); err != nil {
		return false, err
	}
	defer s.leave()
	for s.running.Err() == nil {
		done, err := s.round(s.running)
		if err != nil {
			return moved, err
		}
		if done {
			moved = true
			r.works()
		}
	}
	return moved, context.Cause(s.running)
}

// open makes the client. Its callbacks may come before it returns: they wait
// for mu.
func (s *relaySession) open(most int32) error {
	opts, err := s.r.opts(s, most)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.txn, err = kgo.NewGroupTransactSession(opts...); err != nil {
		return fmt.Errorf("make kafka client: %w", err)
	}
	s.mu.started = s.txn.Client()
	s.r.use(s.mu.started)
	return nil
}

func (s *relaySession) client() *kgo.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.started
}

// leave gives the partitions back and closes the client; what was not
// committed is aborted.
func (s *relaySession) leave() {
	s.stop(nil) // ends what a callback waits for
	s.r.use(nil)
	ctx, cancel := context.WithTimeout(context.Background(), leaveGrace)
	defer cancel()
	if err := s.client().LeaveGroupContext(ctx); err != nil {
		s.r.set.Logger.Warn("leave kafka group", "group", s.r.set.Group, "err", err)
	}
	s.client().CloseAllowingRebalance()
}

func (r *Relay) opts(s *relaySession, most int32) ([]kgo.Opt, error) {
	opts, err := ClientOpts(r.set.Settings)
	if err != nil {
		return nil, err
	}
	gone := func(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
		for _, numbers := range taken {
			for _, n := range numbers {
				r.set.Events.Gone(n)
			}
		}
	}
	opts = append(opts, r.set.memberOpts()...)
	opts = append(opts,
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // begin decides, and nothing else
		kgo.OnOffsetsFetched(s.fetched),
		kgo.AdjustFetchOffsetsFn(s.adjust),
		kgo.OnPartitionsRevoked(gone),
		kgo.OnPartitionsLost(gone),
		kgo.TransactionalID(r.set.TransactionalID),
		kgo.TransactionTimeout(r.set.TransactionTimeout),
		kgo.DefaultProduceTopic(r.set.To),
		kgo.ProducerBatchMaxBytes(most),
	)
	opts = append(opts, r.set.Opts...)
	if err := kgo.ValidateOpts(opts...); err != nil {
		return nil, fmt.Errorf("configure the kafka client: %w", err)
	}
	return opts, nil
}

// most asks how large records of the topic may be that copies go to, which has
// to be there: nobody but `apply` knows how it is to be made.
func (r *Relay) most(ctx context.Context) (int32, error) {
	opts, err := ClientOpts(r.set.Settings)
	if err != nil {
		return 0, err
	}
	client, err := kgo.NewClient(append(opts, r.set.Opts...)...)
	if err != nil {
		return 0, fmt.Errorf("make kafka client: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopics(ctx, r.set.To)
	if err == nil {
		err = topics[r.set.To].Err
	}
	if oneOf(err, kerr.UnknownTopicOrPartition) {
		return 0, fmt.Errorf("topic %s is not there; run millrace apply, which creates it: %w", r.set.To, err)
	}
	if err != nil {
		return 0, fmt.Errorf("look for topic %s: %w", r.set.To, err)
	}
	return int32(min(max(MaxMessageBytes(ctx, admin, r.set.To), defaultMax), relayMostMax)), nil
}

// MaxMessageBytes returns how large records of a topic may be; Kafka's default
// where it is not told.
func MaxMessageBytes(ctx context.Context, admin *kadm.Client, topic string) int {
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil || len(configs) == 0 {
		return defaultMax
	}
	for _, c := range configs[0].Configs {
		if n, err := strconv.ParseInt(c.MaybeValue(), 10, 32); c.Key == "max.message.bytes" && err == nil {
			return int(n)
		}
	}
	return defaultMax
}

// facts asks the brokers until they answer or ctx ends. What the group has
// committed the client has asked, in a way that waits for open transactions.
func (s *relaySession) facts(ctx context.Context, p sources.Partition) (a sources.Assignment, into string, err error) {
	start := func(string) feature.StartAt { return s.r.set.Topics[0].begin() }
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		var got answers
		if got, err = askAll(ctx, kadm.NewClient(s.client()), s.r.set.Group, []string{p.Topic}, start); err == nil {
			a, err = got.of(p, s.r.set.Topics[0].begin())
		}
		if err == nil {
			into, err = s.into(ctx)
		}
		if err == nil || oneOf(err, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID) {
			break
		}
		select {
		case <-ctx.Done():
			return a, "", fmt.Errorf("ask where it stands: %w", err)
		case <-time.After(wait):
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.Committed, a.Metadata = -1, ""
	if c, is := s.mu.committed[p.Number]; is && c.offset >= 0 {
		a.Committed, a.Metadata = c.offset, c.metadata
	}
	return a, into, err
}

// into returns the id of the topic that copies go to.
func (s *relaySession) into(ctx context.Context) (string, error) {
	topics, err := kadm.NewClient(s.client()).ListTopics(ctx, s.r.set.To)
	if err == nil {
		err = topics[s.r.set.To].Err
	}
	if err != nil {
		return "", fmt.Errorf("look for topic %s: %w", s.r.set.To, err)
	}
	return sources.TopicID(topics[s.r.set.To].ID).Hex(), nil
}

// round is one transaction: what waits is read, its copies are sent, and the
// group's offsets go with them.
func (s *relaySession) round(ctx context.Context) (committed bool, err error) {
	fetches := s.txn.PollRecords(ctx, relayPoll)
	if ctx.Err() != nil {
		return false, context.Cause(ctx) //nolint:wrapcheck // says already what
	}
	if err := fetches.Err(); err != nil {
		return false, fmt.Errorf("read: %w", err)
	}
	if fetches.NumRecords() == 0 {
		return false, nil
	}
	moves, err := s.copy(ctx, fetches)
	if err != nil {
		return false, err
	}
	if err := s.txn.Begin(); err != nil {
		return false, fmt.Errorf("begin a transaction: %w", err)
	}
	end, cancel := s.ending(ctx)
	defer cancel()
	// The client would commit a transaction of which a record has failed: the
	// offsets would go on without it.
	failed := s.send(end)
	committed, err = s.txn.End(kgo.PreTxnCommitFnContext(end, s.carry), kgo.TransactionEndTry(failed == nil))
	clear(s.copies) // lets go of the client's memory
	if err = errors.Join(failed, err); err != nil {
		return false, fmt.Errorf("end a transaction: %w", err)
	}
	if !committed {
		s.r.set.Events.Aborted()
		return false, nil
	}
	for _, m := range moves {
		s.r.set.Events.Copied(m.partition, m.records, m.copies, m.lag)
	}
	return true, nil
}

// ending returns the context of a transaction's end. When ctx ends, what is
// under way has as long as a revoke has: an end may wait for the group, and the
// group for a process that was killed. A transaction that is left open the
// brokers abort.
func (s *relaySession) ending(ctx context.Context) (context.Context, context.CancelFunc) {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayEnd)
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(s.r.set.RevokeTimeout, cancel)
		context.AfterFunc(end, func() { t.Stop() })
	})
	return end, func() { stop(); cancel() }
}

// move is what a transaction did with a partition.
type move struct {
	partition       int32
	records, copies int
	lag             int64
}

// copy fills s.copies.
func (s *relaySession) copy(ctx context.Context, fetches kgo.Fetches) ([]move, error) {
	var moves []move
	var failed error
	s.copies = s.copies[:0]
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 || failed != nil {
			return
		}
		recs := make([]sources.Record, len(p.Records))
		for i, r := range p.Records {
			recs[i] = convert(r)
		}
		before := len(s.copies)
		failed = s.make(ctx, sources.Partition{Topic: p.Topic, Number: p.Partition}, recs)
		next := recs[len(recs)-1].Offset + 1
		moves = append(moves, move{p.Partition, len(recs), len(s.copies) - before, max(0, p.HighWatermark-next)})
	})
	return moves, failed
}

// make repeats the copier's call until it succeeds or ctx ends.
func (s *relaySession) make(ctx context.Context, from sources.Partition, recs []sources.Record) error {
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		copies, err := s.r.set.Copier.Copies(ctx, from, recs, s.copies)
		if err == nil {
			s.copies = copies
			return nil
		}
		s.r.failed(err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(wait):
		}
	}
}

// sending collects the first failure of records on their way.
type sending struct {
	mu    sync.Mutex
	first error
}

func (x *sending) done(_ *kgo.Record, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.first == nil {
		x.first = err
	}
}

func (x *sending) err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.first
}

// send has the broker acknowledge every copy. Their time is now: the log they
// go to drops records by it, and what copies are of may be years old.
func (s *relaySession) send(ctx context.Context) error {
	x := new(sending)
	for i := range s.copies {
		c := &s.copies[i]
		r := &kgo.Record{Key: c.Key, Value: c.Value, Headers: make([]kgo.RecordHeader, len(c.Headers))}
		for h := range c.Headers {
			r.Headers[h] = kgo.RecordHeader(c.Headers[h])
		}
		s.txn.Produce(ctx, r, x.done)
	}
	err := s.txn.Client().Flush(ctx)
	return errors.Join(x.err(), err)
}

// carry puts each partition's metadata in the transaction's offsets.
func (s *relaySession) carry(req *kmsg.TxnOffsetCommitRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			p := &req.Topics[i].Partitions[j]
			meta, known := s.mu.meta[p.Partition]
			if !known {
				return fmt.Errorf("commit partition %d, of which nothing was begun", p.Partition)
			}
			p.Metadata = new(meta)
		}
	}
	return nil
}

// explain turns an error that a person has to mend into one that says what to
// do.
func (r *Relay) explain(err error) error {
	switch {
	case err == nil:
		return errors.New("the session ended")
	case oneOf(err, kerr.MessageTooLarge):
		return fmt.Errorf("a record is larger than topic %s takes, with what says where it came from: raise the topic's max.message.bytes: %w", r.set.To, err)
	case oneOf(err, kerr.TransactionalIDAuthorizationFailed):
		return fmt.Errorf("use the transactional id %s: the user needs the rights Describe and Write on it: %w", r.set.TransactionalID, err)
	}
	shared := &Source{set: r.set.Settings}
	if final := shared.explain(err, r.set.Topics[0].Name+" or "+r.set.To); final != nil {
		return final
	}
	return err
}
