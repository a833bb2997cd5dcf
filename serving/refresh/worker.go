package refresh

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sourcegraph/conc"
)

// Change is a record that says that an entity key of the model has changed.
type Change struct {
	Offset int64
	Millis int64 // record time
	Key    string
}

// Mark says that every change of a partition below Offset has had its end.
type Mark struct {
	Partition int32
	Offset    int64
}

// Worker refreshes predictions of one model. It is safe for concurrent use, but
// calls about one partition have an order: Begin, then Take, and after Stop no
// Take.
//
// mu guards everything that is not settings. It is held over events and over
// nothing that blocks.
type Worker struct {
	s     Settings
	wake  chan struct{} // holds one note for Run
	calls conc.WaitGroup

	mu struct {
		sync.Mutex
		queue
		flights map[*flight]struct{}
		paused  map[int32]struct{}
	}
}

// New checks the settings; Run works.
func New(s Settings) (*Worker, error) {
	s = s.withDefaults()
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("settings of refreshing: %w", err)
	}
	w := &Worker{s: s, wake: make(chan struct{}, 1)}
	w.mu.queue = newQueue(s.Debounce)
	w.mu.flights = make(map[*flight]struct{})
	w.mu.paused = make(map[int32]struct{})
	return w, nil
}

// Begin makes a partition the worker's, from an offset on. Marks stay behind the
// changes of the first Settings.Settle until that is over.
func (w *Worker) Begin(partition int32, offset int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.forget(partition)
	w.mu.begin(partition, offset, w.s.Clock().Add(w.s.Settle))
}

// Take notes changes of a partition, in the order of their offsets; next is the
// offset behind the last record, of whatever entity. True asks to deliver no
// more of the partition until Resume. It never blocks. Of a partition that is
// not the worker's nothing is taken.
func (w *Worker) Take(partition int32, changes []Change, next int64) (full bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.take(partition, changes, next, w.s.Clock())
	w.s.Events.Pending(len(w.mu.keys))
	w.note()
	if _, ours := w.mu.parts[partition]; !ours || !w.over(w.s.MaxKeys, w.s.MaxKeyBytes) {
		return false
	}
	w.mu.paused[partition] = struct{}{}
	w.s.Events.Full(partition)
	return true
}

// over reports whether more waits than the bounds allow.
func (w *Worker) over(keys, bytes int) bool { return len(w.mu.keys) >= keys || w.mu.bytes >= bytes }

// Rewind puts a partition at an offset of a log that lost or replaced what was to
// be read. What waits is refreshed all the same.
func (w *Worker) Rewind(partition int32, offset int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.mu.parts[partition]; p != nil {
		p.rewind(offset)
	}
}

// Marks appends the marks of all partitions to dst.
func (w *Worker) Marks(dst []Mark) []Mark {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, p := range w.mu.parts {
		dst = append(dst, Mark{n, p.mark()})
	}
	return dst
}

// Pending is how many keys wait or are being refreshed.
func (w *Worker) Pending() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.mu.keys)
}

// cancelWait is how long calls are waited for whose context was ended.
const cancelWait = time.Second

// Stop begins no more refreshes for partitions, and waits for those under way
// until ctx ends. Then it ends their calls, which are tried again for keys of
// other partitions, and waits a second at most. Marks count what has had its end
// until Forget.
func (w *Worker) Stop(ctx context.Context, partitions []int32) {
	idle := w.stop(partitions)
	for _, is := range idle {
		select {
		case <-is:
			continue
		case <-ctx.Done():
		}
		w.cancel(partitions)
		w.last(idle)
		return
	}
}

func (w *Worker) stop(partitions []int32) []chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.mu.failing
	var idle []chan struct{}
	for _, n := range partitions {
		if p := w.mu.parts[n]; p != nil {
			w.mu.stop(p)
			idle = append(idle, p.idle)
		}
		delete(w.mu.paused, n)
	}
	w.tell(before, nil)
	w.relieve()
	return idle
}

// last waits for calls that were ended.
func (w *Worker) last(idle []chan struct{}) {
	t := time.NewTimer(cancelWait)
	defer t.Stop()
	for _, is := range idle {
		select {
		case <-is:
		case <-t.C:
			return
		}
	}
}

// Forget gives partitions up: no mark names them any more. Calls for them that
// are still under way are ended.
func (w *Worker) Forget(partitions []int32) {
	w.stop(partitions)
	w.cancel(partitions)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range partitions {
		w.mu.forget(n)
	}
}

// cancel ends the calls that are about keys of partitions.
func (w *Worker) cancel(partitions []int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range partitions {
		p := w.mu.parts[n]
		for f := range w.mu.flights {
			if p != nil && f.of(p) {
				f.cancel()
			}
		}
	}
}

// note wakes Run.
func (w *Worker) note() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// relieve has deliveries go on where there is room again: for half of what is
// bounded, so that they do not stop again at once.
func (w *Worker) relieve() {
	w.s.Events.Pending(len(w.mu.keys))
	if len(w.mu.paused) == 0 || w.over(w.s.MaxKeys/2+1, w.s.MaxKeyBytes/2+1) {
		return
	}
	for n := range w.mu.paused {
		delete(w.mu.paused, n)
		w.s.Resume(n)
	}
}
