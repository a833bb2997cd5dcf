package refresh

import (
	"container/heap"
	"slices"
	"time"
)

// entry is a key that has to be refreshed, or is being refreshed, or both.
//
//	            take                 pop
//	(unknown) ───────► pending ───────────────► in flight ──ended──► (unknown)
//	                     ▲                        │   ▲ take: pending as well
//	                     └── failed, or pending ──┘
type entry struct {
	key      string
	due      time.Time // of what is pending: when it may begin
	index    int       // in the queue's heap; -1 when it is not there
	inFlight bool
	began    time.Time // of the last refresh
	attempts int       // that failed, since the last that did not
	settling bool      // what is pending was refreshed, and waits for a partition to settle

	pending, flying []*ticket // one per partition; a key has one, unless partitions were added
}

// queue decides which keys are refreshed when, and follows how far partitions
// are. It knows no clock, and no goroutine but its caller's.
//
// The first change of a key that waits for nothing starts its debounce; later
// ones join it, so that a key which changes all the time begins once per
// debounce, and does begin. A change during a refresh starts another debounce,
// at whose end the key begins again if the refresh has ended. After a failure
// the key begins again when its backoff ends, whatever has changed meanwhile.
//
// What a former owner of a partition wrote may reach the store after its end, and
// with a clock ahead stay there. So a key that is refreshed before the partition
// has settled is refreshed once more when it has, and holds the mark until then.
type queue struct {
	debounce time.Duration

	parts   map[int32]*part
	keys    map[string]*entry
	bytes   int // of the keys
	failing int // keys whose last refresh failed
	due     dueHeap
}

func newQueue(debounce time.Duration) queue {
	return queue{debounce: debounce, parts: make(map[int32]*part), keys: make(map[string]*entry)}
}

// begin makes a partition ours, of which everything below offset is done, and
// which has settled at a time.
func (q *queue) begin(number int32, offset int64, settled time.Time) {
	q.parts[number] = &part{number: number, next: offset, settled: settled, idle: make(chan struct{})}
}

// take notes changes of a partition; next is the offset behind the last record,
// whosever it was. Offsets below what was taken are passed over.
func (q *queue) take(number int32, changes []Change, next int64, now time.Time) {
	p := q.parts[number]
	if p == nil || p.leaving {
		return
	}
	for i := range changes {
		if changes[i].Offset >= p.next {
			q.add(p, &changes[i], now)
		}
	}
	p.next = max(p.next, next)
}

func (q *queue) add(p *part, c *Change, now time.Time) {
	e := q.keys[c.Key]
	if e == nil {
		e = &entry{key: c.Key, index: -1}
		q.keys[c.Key] = e
		q.bytes += len(c.Key)
	}
	i := ticketOf(e.pending, p)
	switch {
	case i < 0:
		e.pending = append(e.pending, p.open(e, c.Offset, c.Millis))
	case e.settling:
		e.pending[i].told, e.pending[i].millis = false, c.Millis
	default:
		return
	}
	if len(e.pending) == 1 || e.settling {
		e.due, e.settling = now.Add(q.debounce), false
		q.line(e)
	}
}

// ticketOf finds the ticket of a partition, or -1.
func ticketOf(ts []*ticket, p *part) int {
	return slices.IndexFunc(ts, func(t *ticket) bool { return t.part == p })
}

// line lines a key up that is pending and not being refreshed.
func (q *queue) line(e *entry) {
	switch {
	case e.inFlight || len(e.pending) == 0:
	case e.index < 0:
		heap.Push(&q.due, e)
	default:
		heap.Fix(&q.due, e.index)
	}
}

// pop begins keys that are due, at most n, longest due first.
func (q *queue) pop(now time.Time, n int) []*entry {
	var es []*entry
	for len(es) < n && len(q.due) > 0 && !q.due[0].due.After(now) {
		e := heap.Pop(&q.due).(*entry) //nolint:forcetypeassert // holds nothing else
		e.inFlight, e.settling, e.began = true, false, now
		e.flying, e.pending = e.pending, e.flying[:0]
		for _, t := range e.flying {
			t.part.flying++
		}
		es = append(es, e)
	}
	return es
}

// wait is how long until a key is due; false when none waits for its time.
func (q *queue) wait(now time.Time) (time.Duration, bool) {
	if len(q.due) == 0 {
		return 0, false
	}
	return max(0, q.due[0].due.Sub(now)), true
}

// ended notes that a key's refresh has had its end.
func (q *queue) ended(e *entry) {
	if e.attempts > 0 {
		q.failing--
	}
	e.attempts = 0
	waits := len(e.pending) > 0
	for _, t := range e.flying {
		switch {
		case !e.began.Before(t.part.settled):
			t.part.close(t)
		case !t.part.leaving: // else it stays open: the next owner looks again
			e.keep(t)
		}
	}
	if !waits && len(e.pending) > 0 {
		q.settle(e)
	}
	q.land(e)
}

// settle has a key wait until the partitions of what is pending have settled.
func (q *queue) settle(e *entry) {
	e.due, e.settling = e.began.Add(q.debounce), true
	for _, t := range e.pending {
		if t.part.settled.After(e.due) {
			e.due = t.part.settled
		}
	}
}

// keep has a ticket of a refresh wait for another one. Of two of a partition the
// older one stands for both.
func (e *entry) keep(t *ticket) {
	if i := ticketOf(e.pending, t.part); i >= 0 {
		t.part.close(e.pending[i])
		e.pending[i] = t
		return
	}
	e.pending = append(e.pending, t)
}

// failed notes that a key's refresh failed, and is to begin again at a time.
func (q *queue) failed(e *entry, again time.Time) {
	if e.attempts == 0 {
		q.failing++
	}
	e.attempts++
	e.due = again
	for _, t := range e.flying {
		if !t.part.leaving { // else it stays open: nobody may commit beyond it
			e.keep(t)
		}
	}
	q.land(e)
}

// land takes a key out of the air: it lines up again, or is forgotten.
func (q *queue) land(e *entry) {
	for _, t := range e.flying {
		t.part.landed()
	}
	clear(e.flying)
	e.flying, e.inFlight = e.flying[:0], false
	q.line(e)
	q.tidy(e)
}

// tidy forgets a key that has nothing to wait for.
func (q *queue) tidy(e *entry) {
	if e.inFlight || len(e.pending) > 0 {
		return
	}
	if e.index >= 0 {
		heap.Remove(&q.due, e.index)
	}
	if e.attempts > 0 {
		q.failing--
	}
	delete(q.keys, e.key)
	q.bytes -= len(e.key)
}

// stop begins no more refreshes for the changes of a partition. Those that were
// pending stay open and hold the mark.
func (q *queue) stop(p *part) {
	if p.leaving {
		return
	}
	p.leaving = true
	for t := p.first; t != nil; t = t.next {
		if i := ticketOf(t.of.pending, p); i >= 0 {
			t.of.pending = slices.Delete(t.of.pending, i, i+1)
			q.tidy(t.of)
		}
	}
	if p.flying == 0 {
		close(p.idle)
	}
}

// forget gives a partition up. Refreshes under way for it end unnoticed.
func (q *queue) forget(number int32) {
	if p := q.parts[number]; p != nil {
		q.stop(p)
		delete(q.parts, number)
	}
}

// dueHeap is the keys that wait for their time, the earliest first.
type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	e := x.(*entry) //nolint:forcetypeassert // is given nothing else
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.index = -1
	return e
}
