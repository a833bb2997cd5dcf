package refresh

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The rules, once more, as simply as can be: every record that was taken is
// remembered with what became of it.

// taken is a record in the model's memory.
type taken struct {
	key    string
	offset int64
	at     time.Time
	told   bool // it was refreshed, perhaps too early
	done   bool
}

// log is a partition in the model's memory.
type log struct {
	next    int64
	records []*taken
	settled time.Time
	leaving bool
	flying  int // refreshes under way that have a record of it
}

func (l *log) mark() int64 {
	for _, r := range l.records {
		if !r.done {
			return r.offset
		}
	}
	return l.next
}

// refreshing is a refresh under way in the model's memory.
type refreshing struct {
	entry *entry
	began time.Time
	of    map[*log][]*taken // what it is an end for
}

// ends notes that it succeeded: of partitions that had settled when it began.
func (r *refreshing) ends() {
	for l, records := range r.of {
		l.flying--
		for _, rec := range records {
			rec.told, rec.done = true, !r.began.Before(l.settled)
		}
	}
}

// keyState is what the model remembers of a key.
type keyState struct {
	began   time.Time // the last refresh
	failed  bool      // it failed
	again   time.Time
	running bool
}

// machine drives a queue and the model beside it.
type machine struct {
	q        queue
	debounce time.Duration
	now      time.Time
	logs     map[int32]*log
	keys     map[string]*keyState
	flights  []*refreshing
	gone     []*log // that were ours
}

const (
	testPartitions = 3
	testKeys       = 5
)

func newMachine(debounce time.Duration) *machine {
	m := &machine{
		q: newQueue(debounce), debounce: debounce, now: time.Unix(1, 0), logs: make(map[int32]*log),
		keys: make(map[string]*keyState),
	}
	return m
}

func (m *machine) key(name string) *keyState {
	if m.keys[name] == nil {
		m.keys[name] = new(keyState)
	}
	return m.keys[name]
}

func (m *machine) assign(t *rapid.T) {
	n := rapid.Int32Range(0, testPartitions-1).Draw(t, "partition")
	if m.logs[n] != nil {
		t.Skip("it is ours")
	}
	at := rapid.Int64Range(0, 50).Draw(t, "offset")
	settled := m.now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 50, 400}).Draw(t, "settles")) * time.Millisecond)
	m.q.begin(n, at, settled)
	m.logs[n] = &log{next: at, settled: settled}
}

func (m *machine) take(t *rapid.T) {
	n := rapid.Int32Range(0, testPartitions-1).Draw(t, "partition")
	var changes []Change
	l := m.logs[n]
	next := int64(0)
	if l != nil {
		next = l.next
	}
	for range rapid.IntRange(0, 4).Draw(t, "records") {
		next += rapid.Int64Range(0, 2).Draw(t, "gap") // compaction
		// A key has one partition, but for topics that were given more.
		key := fmt.Sprint(rapid.IntRange(0, testKeys-1).Draw(t, "key"))
		changes = append(changes, Change{Offset: next, Key: key})
		next++
	}
	next += rapid.Int64Range(0, 2).Draw(t, "others")
	m.q.take(n, changes, next, m.now)
	if l == nil || l.leaving {
		return
	}
	for _, c := range changes {
		l.records = append(l.records, &taken{key: c.Key, offset: c.Offset, at: m.now})
	}
	l.next = next
}

func (m *machine) pass(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "ms")) * time.Millisecond)
}

func (m *machine) begin(t *rapid.T) {
	for _, e := range m.q.pop(m.now, rapid.IntRange(1, 3).Draw(t, "most")) {
		m.begun(t, e)
	}
}

// begun checks that a key may begin, and notes which records it is an end for.
func (m *machine) begun(t *rapid.T, e *entry) {
	k := m.key(e.key)
	r := &refreshing{entry: e, began: m.now, of: make(map[*log][]*taken)}
	var first time.Time
	early := true // all of it was refreshed, nothing of it has settled, and nothing is gone that was due before
	for _, l := range slices.AppendSeq(slices.Clone(m.gone), maps.Values(m.logs)) {
		ours := !l.leaving && !slices.Contains(m.gone, l)
		early = early && ours
		for _, rec := range l.records {
			if rec.key != e.key || rec.done {
				continue
			}
			// What started the interval may be of a partition that is gone.
			if (ours || !rec.at.Before(k.began)) && (first.IsZero() || rec.at.Before(first)) {
				first = rec.at
			}
			if ours {
				r.of[l] = append(r.of[l], rec)
				early = early && rec.told && m.now.Before(l.settled)
			}
		}
	}
	switch {
	case k.running:
		t.Fatalf("key %s has two refreshes", e.key)
	case len(r.of) == 0:
		t.Fatalf("key %s is refreshed for nothing", e.key)
	case early && !k.failed:
		t.Fatalf("key %s is looked at again before anything has settled", e.key)
	case k.failed && m.now.Before(k.again):
		t.Fatalf("key %s is tried again too early", e.key)
	case !k.failed && m.now.Before(first.Add(m.debounce)):
		t.Fatalf("key %s begins %v after its first change", e.key, m.now.Sub(first))
	case !k.failed && m.now.Before(k.began.Add(m.debounce)):
		t.Fatalf("key %s begins %v after it began", e.key, m.now.Sub(k.began))
	}
	k.began, k.running = m.now, true
	for l := range r.of {
		l.flying++
	}
	m.flights = append(m.flights, r)
}

func (m *machine) end(t *rapid.T) {
	if len(m.flights) == 0 {
		t.Skip("nothing flies")
	}
	i := rapid.IntRange(0, len(m.flights)-1).Draw(t, "flight")
	r := m.flights[i]
	m.flights = slices.Delete(m.flights, i, i+1)
	k := m.key(r.entry.key)
	k.running, k.failed = false, rapid.Bool().Draw(t, "fails")
	if k.failed {
		for l := range r.of {
			l.flying--
		}
		k.again = m.now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "again")) * time.Millisecond)
		m.q.failed(r.entry, k.again)
	} else {
		r.ends()
		m.q.ended(r.entry)
	}
	k.failed = k.failed && m.waits(r.entry.key) // where nothing waits, nothing is tried again
}

// waits reports whether an unfinished record of a key is ours.
func (m *machine) waits(key string) bool {
	for _, l := range m.logs {
		if !l.leaving && slices.ContainsFunc(l.records, func(r *taken) bool { return r.key == key && !r.done }) {
			return true
		}
	}
	return false
}

func (m *machine) stop(t *rapid.T) {
	n := rapid.Int32Range(0, testPartitions-1).Draw(t, "partition")
	if m.logs[n] == nil {
		t.Skip("it is not ours")
	}
	m.q.stop(m.q.parts[n])
	m.logs[n].leaving = true
	m.lostInterest()
}

func (m *machine) forget(t *rapid.T) {
	n := rapid.Int32Range(0, testPartitions-1).Draw(t, "partition")
	m.q.forget(n)
	if l := m.logs[n]; l != nil {
		m.gone = append(m.gone, l)
	}
	delete(m.logs, n)
	m.lostInterest()
}

// lostInterest: a key that failed and whose records are all gone starts afresh.
func (m *machine) lostInterest() {
	for name, k := range m.keys {
		k.failed = k.failed && (k.running || m.waits(name))
	}
}

func (m *machine) check(t *rapid.T) {
	if !slices.Equal(slices.Sorted(maps.Keys(m.q.parts)), slices.Sorted(maps.Keys(m.logs))) {
		t.Fatalf("partitions %v are held, %v are ours", slices.Sorted(maps.Keys(m.q.parts)), slices.Sorted(maps.Keys(m.logs)))
	}
	for n, l := range m.logs {
		p := m.q.parts[n]
		if p.mark() != l.mark() {
			t.Fatalf("partition %d is marked at %d; below %d all has had its end", n, p.mark(), l.mark())
		}
		idle := false
		select {
		case <-p.idle:
			idle = true
		default:
		}
		if want := l.leaving && l.flying == 0; idle != want {
			t.Fatalf("partition %d is idle: %v, should be: %v", n, idle, want)
		}
	}
	m.checkKeys(t)
}

// checkKeys: nothing is kept of keys that are done, and the sums are right.
func (m *machine) checkKeys(t *rapid.T) {
	bytes, failing := 0, 0
	for name, e := range m.q.keys {
		bytes += len(name)
		if e.attempts > 0 {
			failing++
		}
		if !m.waits(name) && !m.key(name).running {
			t.Fatalf("key %s is kept for nothing", name)
		}
		if lined := e.index >= 0; lined == e.inFlight {
			t.Fatalf("key %s: in flight %v, lined up %v", name, e.inFlight, lined)
		}
	}
	for name := range m.keys {
		if m.waits(name) && m.q.keys[name] == nil {
			t.Fatalf("key %s waits and is forgotten", name)
		}
	}
	if bytes != m.q.bytes || failing != m.q.failing {
		t.Fatalf("%d bytes, %d failing are counted; there are %d, %d", m.q.bytes, m.q.failing, bytes, failing)
	}
}

// settle lets time pass and refreshes succeed until nothing waits.
func (m *machine) settle(t *rapid.T) {
	for range 1000 {
		for len(m.flights) > 0 {
			r := m.flights[0]
			m.flights = m.flights[1:]
			m.key(r.entry.key).running, m.key(r.entry.key).failed = false, false
			r.ends()
			m.q.ended(r.entry)
		}
		m.check(t)
		wait, waits := m.q.wait(m.now)
		if !waits {
			break
		}
		m.now = m.now.Add(wait)
		for _, e := range m.q.pop(m.now, 10) {
			m.begun(t, e)
		}
	}
	for n, l := range m.logs {
		if p := m.q.parts[n]; !l.leaving && p.mark() != l.next {
			t.Fatalf("partition %d came to rest at %d of %d", n, p.mark(), l.next)
		}
	}
	if len(m.q.keys) > 0 {
		t.Fatalf("%d keys are left", len(m.q.keys))
	}
}

// TestMarksTellWhatHasHadItsEnd under any order of changes, refreshes, failures,
// assignments and revokes: the mark is exactly the oldest record without an end.
func TestMarksTellWhatHasHadItsEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(time.Duration(rapid.SampledFrom([]int{0, 10, 200}).Draw(t, "debounce")) * time.Millisecond)
		t.Repeat(map[string]func(*rapid.T){
			"": m.check, "assign": m.assign, "take": m.take, "take more": m.take, "pass": m.pass, "begin": m.begin,
			"begin more": m.begin, "end": m.end, "end more": m.end, "stop": m.stop, "forget": m.forget,
		})
		m.settle(t)
	})
}

// TestRewoundPartitionBeginsAnew although keys of the log before still wait.
func TestRewoundPartitionBeginsAnew(t *testing.T) {
	q, now := newQueue(0), time.Unix(1, 0)
	q.begin(0, 100, time.Time{})
	q.take(0, []Change{{Offset: 100, Key: "a"}, {Offset: 101, Key: "b"}}, 102, now)
	es := q.pop(now, 1)
	q.parts[0].rewind(0)
	q.take(0, []Change{{Offset: 0, Key: "a"}, {Offset: 1, Key: "c"}}, 2, now)
	if got := q.parts[0].mark(); got != 0 {
		t.Fatalf("the mark is %d while changes of the log before wait", got)
	}
	q.ended(es[0])
	for es = q.pop(now, 9); len(es) > 0; es = es[1:] {
		q.ended(es[0])
	}
	if got := q.parts[0].mark(); got != 2 || len(q.keys) > 0 {
		t.Fatalf("the mark is %d, %d keys are left", got, len(q.keys))
	}
}

// TestAKeyIsLookedAtAgainWhenItsPartitionHasSettled, and holds the mark until
// then; a change that comes meanwhile is not held up.
func TestAKeyIsLookedAtAgainWhenItsPartitionHasSettled(t *testing.T) {
	q, now := newQueue(0), time.Unix(1, 0)
	settled := now.Add(10 * time.Second)
	q.begin(0, 0, settled)
	q.take(0, []Change{{Offset: 0, Key: "a"}}, 1, now)
	refresh := func(at time.Time) int {
		es := q.pop(at, 9)
		for _, e := range es {
			q.ended(e)
		}
		return len(es)
	}
	if n := refresh(now) + refresh(settled.Add(-1)); n != 1 || q.parts[0].mark() != 0 {
		t.Fatalf("%d refreshes before it has settled, the mark is %d", n, q.parts[0].mark())
	}
	q.take(0, []Change{{Offset: 1, Key: "a"}}, 2, now.Add(time.Second))
	if n := refresh(now.Add(time.Second)); n != 1 || q.parts[0].mark() != 0 {
		t.Fatalf("%d refreshes of a change meanwhile, the mark is %d", n, q.parts[0].mark())
	}
	if n := refresh(settled) + refresh(settled.Add(time.Hour)); n != 1 || q.parts[0].mark() != 2 || len(q.keys) > 0 {
		t.Fatalf("%d refreshes when it has settled, the mark is %d, %d keys are left", n, q.parts[0].mark(), len(q.keys))
	}
}

// TestFailingKeyCostsNoMemory beside one that changes all the time.
func TestFailingKeyCostsNoMemory(t *testing.T) {
	q, now := newQueue(0), time.Unix(1, 0)
	q.begin(0, 0, time.Time{})
	q.take(0, []Change{{Offset: 0, Key: "bad"}}, 1, now)
	q.failed(q.pop(now, 1)[0], now.Add(time.Hour))
	for i := int64(1); i <= 1000; i++ {
		q.take(0, []Change{{Offset: i, Key: "hot"}}, i+1, now)
		q.ended(q.pop(now, 1)[0])
	}
	open := 0
	for t := q.parts[0].first; t != nil; t = t.next {
		open++
	}
	if open != 1 || q.parts[0].mark() != 0 {
		t.Fatalf("%d tickets are open, the mark is %d", open, q.parts[0].mark())
	}
}
