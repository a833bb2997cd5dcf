package refresh_test

import (
	"context"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"millrace/serving"
	"millrace/serving/refresh"
)

// parts is how many partitions the changelog has.
const parts = 2

// changelog is changes of keys, who refreshes for them, and how far. It is
// guarded by world.mu.
type changelog struct {
	log       [parts][]refresh.Change
	committed [parts]int64
	owner     [parts]*refresher
	version   int // of the definitions, newest
	flying    map[string][]*refreshes
	began     map[string]began
}

// refreshes is a refresh under way.
type refreshes struct{ by *refresher }

// began is the last refresh of a key that an owner began.
type began struct {
	by     *refresher
	at     time.Time
	failed bool
}

func partOf(key string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int32(h.Sum32() % parts)
}

// publish appends a change, of which its owner hears later.
func (w *world) publish(key string) {
	p := partOf(key)
	w.mu.Lock()
	log := &w.changes.log[p]
	*log = append(*log, refresh.Change{Offset: int64(len(*log)), Millis: time.Now().UnixMilli(), Key: key})
	w.tracef(key, "published %d", len(*log)-1)
	w.mu.Unlock()
	w.behind.Go(func() {
		time.Sleep(w.span(10 * time.Millisecond))
		w.mu.Lock()
		owner := w.changes.owner[p]
		w.mu.Unlock()
		if owner != nil {
			owner.poll(p)
		}
	})
}

// refresher is a member of the group.
type refresher struct {
	*process

	worker *refresh.Worker
	mu     sync.Mutex // orders what is told of partitions
	next   map[int32]int64
}

// settle is what refreshers are told; none where something is broken, which
// looking again would mend.
func (w *world) settle() time.Duration {
	if w.broken != "" {
		return 0
	}
	return settleMost
}

func (w *world) startRefresher(version int, skew time.Duration) *refresher {
	r := &refresher{process: w.start(version, skew), next: make(map[int32]int64)}
	worker, err := refresh.New(refresh.Settings{
		Model: "m", Refresher: r, Debounce: w.kind.debounce, Settle: w.settle(), MaxBatch: 1 + w.n(3), Calls: 1 + w.n(3), Timeout: 5 * time.Second,
		BackoffMin: 50 * time.Millisecond, BackoffMax: time.Second, Resume: func(int32) {}, Clock: time.Now,
	})
	if err != nil {
		panic(err)
	}
	r.worker = worker
	ctx, cancel := context.WithCancel(context.Background())
	w.behind.Go(func() { <-r.over; cancel() })
	w.behind.Go(func() { worker.Run(ctx) })
	w.behind.Go(func() {
		for r.sleep(ctx, 150*time.Millisecond) == nil {
			r.commit()
		}
	})
	return r
}

// Refresh implements refresh.Refresher: it is the service's, and watched.
func (r *refresher) Refresh(ctx context.Context, model string, keys []string, by string, dst []serving.RefreshEnd) ([]serving.RefreshEnd, error) {
	f := &refreshes{by: r}
	r.w.mu.Lock()
	for _, key := range keys {
		if owns := r.w.changes.owner[partOf(key)] == r; owns {
			if slices.ContainsFunc(r.w.changes.flying[key], func(other *refreshes) bool { return other.by == r && !r.ended() }) {
				r.w.faultf("key %s is in two refreshes", key)
			}
			last := r.w.changes.began[key]
			if since := time.Since(last.at); last.by == r && !last.failed && since < r.w.kind.debounce {
				r.w.faultf("key %s is refreshed %v after the last time", key, since)
			}
			r.w.changes.began[key] = began{by: r, at: time.Now()}
		}
		r.w.changes.flying[key] = append(r.w.changes.flying[key], f)
	}
	r.w.mu.Unlock()
	dst, err := r.svc.Refresh(ctx, model, keys, by, dst)
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	for i, key := range keys {
		if err == nil {
			r.w.tracef(key, "%p v%d refreshed %s", r.life, r.version, dst[i])
		} else {
			r.w.tracef(key, "%p v%d refreshed %v", r.life, r.version, err)
		}
		all := r.w.changes.flying[key]
		r.w.changes.flying[key] = slices.DeleteFunc(all, func(one *refreshes) bool { return one == f })
		if last := r.w.changes.began[key]; last.by == r && (err != nil || dst[i] == serving.RefreshFailed) {
			last.failed = true
			r.w.changes.began[key] = last
		}
	}
	if err == nil && r.ended() {
		err = errCrashed
	}
	return dst, err
}

// assign makes a partition the refresher's.
func (r *refresher) assign(p int32) {
	r.mu.Lock()
	r.w.mu.Lock()
	from := r.w.changes.committed[p]
	r.w.changes.owner[p] = r
	for key, last := range r.w.changes.began {
		if partOf(key) == p {
			last.by = nil
			r.w.changes.began[key] = last
		}
	}
	r.w.mu.Unlock()
	r.next[p] = from
	r.worker.Begin(p, from)
	r.mu.Unlock()
	r.poll(p)
}

// poll takes what there is of a partition.
func (r *refresher) poll(p int32) {
	if r.ended() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	from, ours := r.next[p]
	r.w.mu.Lock()
	log := r.w.changes.log[p]
	r.w.mu.Unlock()
	if !ours || from == int64(len(log)) {
		return
	}
	r.worker.Take(p, log[from:], int64(len(log)))
	r.next[p] = int64(len(log))
}

// commit commits how far the refresher is where it is the owner.
func (r *refresher) commit() {
	marks := r.worker.Marks(nil)
	if r.w.broken == commitEarly {
		r.mu.Lock()
		marks = marks[:0]
		for p, next := range r.next {
			marks = append(marks, refresh.Mark{Partition: p, Offset: next})
		}
		r.mu.Unlock()
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	for _, m := range marks {
		if r.w.changes.owner[m.Partition] == r && !r.ended() {
			r.w.changes.committed[m.Partition] = m.Offset
		}
	}
}

// leave gives a partition back in good order.
func (r *refresher) leave(p int32) {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	r.worker.Stop(ctx, []int32{p})
	r.commit()
	r.lose(p)
}

// lose makes the refresher aware of a partition that is another's.
func (r *refresher) lose(p int32) {
	r.mu.Lock()
	delete(r.next, p)
	r.mu.Unlock()
	r.worker.Forget([]int32{p})
}
