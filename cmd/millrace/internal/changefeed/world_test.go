package changefeed_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"millrace/cmd/millrace/internal/changefeed"
	"millrace/internal/synctest"
	"millrace/serving"
	"millrace/serving/refresh"
	"millrace/sinks"
	"millrace/sinks/changelog"
	"millrace/sources/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	topic = "millrace.p.changelog"
	group = "millrace-p.refresh.fraud"
)

// world is a broker without sockets, a store of inputs and predictions, and
// processes that refresh these.
type world struct {
	t       *testing.T
	network *kfake.VirtualNetwork
	cluster *kfake.Cluster
	client  *kgo.Client
	admin   *kadm.Client
	changes *changelog.Publisher

	takes time.Duration // a refresh
	mu    sync.Mutex
	input map[string]int // version of a key's inputs
	pred  map[string]int // version that its prediction was made of
	alive map[string]int // refreshes of a key under way
	twice []string       // keys that were in two
	calls int
	fails bool

	expelled bool // the group threw a living process out, which may finish what it has begun
}

func newWorld(t *testing.T, partitions int32, network *kfake.VirtualNetwork) *world {
	t.Helper()
	w := &world{
		t: t, network: network, takes: 5 * time.Millisecond,
		input: make(map[string]int), pred: make(map[string]int), alive: make(map[string]int),
	}
	opts := []kfake.Opt{kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "1000"})}
	if network != nil {
		opts = append(opts, kfake.Ports(9092), kfake.ListenFn(network.Listen))
	}
	var err error
	if w.cluster, err = kfake.NewCluster(opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cluster.Close)
	w.client = w.connect(changelog.Opts()...)
	w.admin, w.changes = kadm.NewClient(w.client), changelog.New(w.client, topic)
	w.create(partitions)
	return w
}

// connect makes a client that is closed at the end.
func (w *world) connect(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.Dialer(w.dial))...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	return client
}

func (w *world) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if w.network != nil {
		return w.network.DialContext(ctx, network, addr)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// bubble runs do with a clock of its own.
func bubble(t *testing.T, partitions int32, do func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, partitions, &kfake.VirtualNetwork{})
		do(t, w)
		w.check()
	})
}

// check fails the test for keys that were in two refreshes at a time.
func (w *world) check() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(w.twice) > 0 && w.expelled:
		w.t.Logf("keys %v were in two refreshes at a time; the group had thrown a process out", w.twice)
	case len(w.twice) > 0:
		w.t.Errorf("keys %v were in two refreshes at a time", w.twice)
	}
}

func (w *world) create(partitions int32) {
	w.t.Helper()
	if _, err := w.admin.CreateTopic(w.t.Context(), partitions, 1, nil, topic); err != nil {
		w.t.Fatal(err)
	}
}

// change changes the inputs of keys, and tells of it.
func (w *world) change(entity string, keys ...string) {
	w.t.Helper()
	cs := make([]sinks.Change, len(keys))
	w.mu.Lock()
	for i, k := range keys {
		cs[i] = sinks.Change{Entity: entity, Key: k, Views: []sinks.ChangedView{{View: "v@1", Row: true}}}
		if entity == "driver" {
			w.input[k]++
		}
	}
	w.mu.Unlock()
	if err := w.changes.Publish(w.t.Context(), cs); err != nil {
		w.t.Fatal(err)
	}
}

// produce appends a record to partition 0.
func (w *world) produce(key, value []byte) {
	w.t.Helper()
	client := w.connect(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := client.ProduceSync(w.t.Context(), &kgo.Record{Topic: topic, Key: key, Value: value}).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// behind lists the keys whose prediction is not of their inputs.
func (w *world) behind() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var keys []string
	for k, v := range w.input {
		if w.pred[k] != v {
			keys = append(keys, k)
		}
	}
	return keys
}

// committed is what the group has of a partition; -1 nothing.
func (w *world) committed(partition int32) int64 {
	w.t.Helper()
	os, err := w.admin.FetchOffsets(w.t.Context(), group)
	if err != nil {
		w.t.Fatal(err)
	}
	if o, is := os.Lookup(topic, partition); is {
		return o.At
	}
	return -1
}

// process is one that refreshes.
type process struct {
	*changefeed.Feed

	w    *world
	stop context.CancelFunc
	done chan error

	mu    sync.Mutex
	dead  bool
	conns []net.Conn
	told  []string
}

// start begins a process.
func (w *world) start(change ...func(*changefeed.Settings)) *process {
	w.t.Helper()
	p := &process{w: w, done: make(chan error, 1)}
	source, err := kafka.New(kafka.Settings{
		Brokers: w.cluster.ListenAddrs(), Group: group, Topics: []kafka.Topic{{Name: topic, Since: time.Now().Add(-time.Minute)}},
		// A member that dies while the group gathers holds it up until the latter.
		RevokeTimeout: 4 * time.Second, RebalanceTimeout: 8 * time.Second, SessionTimeout: 6 * time.Second, Heartbeat: 200 * time.Millisecond,
		Opts:   []kgo.Opt{kgo.Dialer(p.dial)},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	s := changefeed.Settings{
		Topic: topic, Entity: "driver", Source: source, Clock: time.Now,
		Refresh: refresh.Settings{Model: "fraud", Refresher: p, Debounce: 20 * time.Millisecond},
		Events: changefeed.Events{
			Assigned: func(n int32, offset int64) { p.tell("assigned", n) },
			Gone:     p.gone,
			Corrupt:  func(n int32, offset int64, _ error) { p.tell("corrupt", n, offset) },
			Reset:    func(n int32, _ error) { p.tell("reset", n) },
			Unstored: func(err error) { p.tell("unstored", err) },
		},
	}
	for _, c := range change {
		c(&s)
	}
	if p.Feed, err = changefeed.New(s); err != nil {
		w.t.Fatal(err)
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	go func() { p.done <- p.Run(ctx) }()
	w.t.Cleanup(func() { p.end() })
	return p
}

func (p *process) gone(n int32, lost bool) {
	p.tell("gone", n, lost)
	if lost && !p.isDead() {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		p.w.expelled = true
	}
}

func (p *process) tell(what ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, fmt.Sprintln(what...))
}

// count is how often something was told.
func (p *process) count(what ...any) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, is := range p.told {
		if is == fmt.Sprintln(what...) {
			n++
		}
	}
	return n
}

// end stops a process in good order.
func (p *process) end() {
	p.stop()
	if err := <-p.done; err != nil {
		p.w.t.Error(err)
	}
	p.done <- nil // for the next who asks
}

var errDead = errors.New("the process is dead")

// kill ends a process as a crash does: nothing of it gets anywhere any more.
func (p *process) kill() {
	p.mu.Lock()
	p.dead = true
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

func (p *process) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := p.w.dial(ctx, network, addr)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if p.dead {
		_ = c.Close()
		return nil, errDead
	}
	p.conns = append(p.conns, c)
	return c, nil
}

// Refresh implements refresh.Refresher over the world's inputs.
func (p *process) Refresh(ctx context.Context, _ string, keys []string, _ string, dst []serving.RefreshEnd) ([]serving.RefreshEnd, error) {
	if p.isDead() {
		return nil, errDead
	}
	read := p.w.read(keys)
	var err error
	select {
	case <-time.After(p.w.takes):
	case <-ctx.Done():
		err = ctx.Err()
	}
	return p.w.write(keys, read, err != nil || p.isDead(), dst), err
}

func (w *world) read(keys []string) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	read := make([]int, len(keys))
	for i, k := range keys {
		read[i] = w.input[k]
		if w.alive[k]++; w.alive[k] > 1 {
			w.twice = append(w.twice, k)
		}
	}
	return read
}

func (w *world) write(keys []string, read []int, dies bool, dst []serving.RefreshEnd) []serving.RefreshEnd {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, k := range keys {
		w.alive[k]--
		if dies || w.fails {
			dst = append(dst, serving.RefreshFailed)
			continue
		}
		w.pred[k] = read[i]
		dst = append(dst, serving.RefreshStored)
	}
	return dst
}

// wait returns when is holds.
func (w *world) wait(what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("waited in vain for: %s", what)
		}
	}
}
