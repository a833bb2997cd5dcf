package scylla

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"
	"github.com/sourcegraph/conc"

	"millrace/sinks"
)

const (
	upsert        = "INSERT INTO latest (entity, key, feature_view, v) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
	upsertExpires = upsert + " AND TTL ?"
)

// A batch is one mutation and has the limits of one.
const (
	maxBatchRows  = 64
	maxBatchBytes = 1 << 20
)

// Write implements sinks.Sink. The views of one entity key go out together as
// one mutation; everything else goes out alone, many at once.
func (s *Store) Write(ctx context.Context, rows []sinks.Row) error {
	return s.write(ctx, "write rows", rows, nil)
}

// WriteTogether implements sinks.TogetherSink: all cells of one entity key go
// out as one mutation, where the two kinds may have one consistency.
func (s *Store) WriteTogether(ctx context.Context, rows []sinks.Row, tiles []sinks.Tile) error {
	if s.together {
		return s.write(ctx, "write rows and tiles", rows, tiles)
	}
	if err := s.Write(ctx, rows); err != nil {
		return err
	}
	return s.WriteTiles(ctx, tiles)
}

func (s *Store) write(ctx context.Context, what string, rows []sinks.Row, tiles []sinks.Tile) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	w := writer{store: s, rows: rows, tiles: tiles}
	w.plan()
	if err := s.parallel(ctx, len(w.requests), w.send); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// writer is one call of Write, WriteTiles or WriteTogether. Its workers only
// read it. Cells are numbered: rows, and behind them tiles.
type writer struct {
	store    *Store
	rows     []sinks.Row
	tiles    []sinks.Tile
	order    []int32 // of cells, by entity key; nil when every cell stands alone
	requests []span  // of order, or of cells
}

type span struct{ from, to int32 }

// cell is the one at a place of order.
func (w *writer) cell(at int32) int {
	if w.order == nil {
		return int(at)
	}
	return int(w.order[at])
}

// tile is the tile that a cell is, or nil for a row.
func (w *writer) tile(cell int) *sinks.Tile {
	if cell < len(w.rows) {
		return nil
	}
	return &w.tiles[cell-len(w.rows)]
}

func (w *writer) partition(cell int) (entity, key string) {
	if t := w.tile(cell); t != nil {
		return t.Entity, t.Key
	}
	return w.rows[cell].Entity, w.rows[cell].Key
}

func (w *writer) bytes(cell int) int {
	if t := w.tile(cell); t != nil {
		return len(t.State)
	}
	return len(w.rows[cell].Value)
}

func (w *writer) bind(cell int) (statement string, args []any) {
	if t := w.tile(cell); t != nil {
		return bindTile(t)
	}
	return bind(&w.rows[cell])
}

// plan decides what goes out together. Rows name distinct cells, so rows of
// one view are of distinct entity keys and stand alone.
func (w *writer) plan() {
	if len(w.tiles) > 0 || !oneView(w.rows) {
		w.sort()
	}
	w.requests = cut(len(w.rows)+len(w.tiles), func(at int32) int { return w.bytes(w.cell(at)) }, func(i, j int32) bool {
		if w.order == nil {
			return false
		}
		entity, key := w.partition(w.cell(i))
		otherEntity, otherKey := w.partition(w.cell(j))
		return key == otherKey && entity == otherEntity
	})
}

// cut divides n cells, those of a partition together, into what one request
// takes: cells of one partition, as many as a mutation may have.
func cut(n int, size func(i int32) int, same func(i, j int32) bool) []span {
	requests := make([]span, 0, n)
	for from := int32(0); int(from) < n; {
		to, bytes := from+1, size(from)
		for ; int(to) < n && to-from < maxBatchRows && same(from, to); to++ {
			if bytes += size(to); bytes > maxBatchBytes {
				break
			}
		}
		requests = append(requests, span{from, to})
		from = to
	}
	return requests
}

func oneView(rows []sinks.Row) bool {
	for i := range rows {
		if rows[i].View != rows[0].View || rows[i].Entity != rows[0].Entity {
			return false
		}
	}
	return true
}

// sort puts cells of one entity key together, rows first. In what order keys
// come does not matter, so that mostly hashes are compared.
func (w *writer) sort() {
	type hashed struct {
		hash uint64
		cell int32
	}
	seed, all := maphash.MakeSeed(), make([]hashed, len(w.rows)+len(w.tiles))
	for i := range all {
		_, key := w.partition(i)
		all[i] = hashed{maphash.String(seed, key), int32(i)}
	}
	slices.SortFunc(all, func(a, b hashed) int {
		if a.hash != b.hash {
			return cmp.Compare(a.hash, b.hash)
		}
		entity, key := w.partition(int(a.cell))
		otherEntity, otherKey := w.partition(int(b.cell))
		return cmp.Or(cmp.Compare(key, otherKey), cmp.Compare(entity, otherEntity), cmp.Compare(a.cell, b.cell))
	})
	w.order = make([]int32, len(all))
	for i := range all {
		w.order[i] = all[i].cell
	}
}

func places(n int) []int32 {
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	return all
}

// send sends request i once.
func (w *writer) send(ctx context.Context, i int) error {
	at := w.requests[i]
	last := w.tile(w.cell(at.to - 1)) // rows come first
	if at.to-at.from == 1 {
		statement, args := w.bind(w.cell(at.from))
		q := w.store.session.QueryWithContext(ctx, statement, args...)
		if last != nil {
			q = q.Consistency(w.store.tiles)
		}
		return exec(q)
	}
	b := w.store.session.BatchWithContext(ctx, gocql.UnloggedBatch)
	if last != nil {
		b.SetConsistency(w.store.tiles)
	}
	for i := at.from; i < at.to; i++ {
		statement, args := w.bind(w.cell(i))
		b.Entries = append(b.Entries, gocql.BatchEntry{Stmt: statement, Args: args, Idempotent: true})
	}
	return b.Exec()
}

// exec runs q and gives it back to the driver's pool.
func exec(q *gocql.Query) error {
	defer q.Release()
	return q.Exec()
}

func bind(r *sinks.Row) (statement string, args []any) {
	ttl := seconds(r.Expire)
	if ttl == 0 {
		return upsert, []any{r.Entity, r.Key, r.View, r.Value, r.Stamp}
	}
	return upsertExpires, []any{r.Entity, r.Key, r.View, r.Value, r.Stamp, ttl}
}

// maxTTL is the longest that the database takes, twenty years of 365 days.
const maxTTL = 20 * 365 * 24 * time.Hour

// seconds returns the TTL of an expiry, rounded up; 0 is none.
func seconds(expire time.Duration) int {
	if expire <= 0 || expire > maxTTL {
		return 0
	}
	return int((expire + time.Second - 1) / time.Second)
}

// parallel sends n requests and returns when all are acknowledged or one has
// failed for good; the others are then given up. It borrows at most as many
// goroutines as places, each taking the next request: a goroutine per request
// costs more than what it waits for.
func (s *Store) parallel(ctx context.Context, n int, send func(context.Context, int) error) error {
	if n == 1 {
		return s.persist(ctx, 0, send)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var failed sync.Once
	var first error
	var workers conc.WaitGroup
	for range min(n, s.set.MaxInFlight) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := s.persist(ctx, i, send); err != nil {
					failed.Do(func() { first = err })
					cancel(err)
					return
				}
			}
		})
	}
	workers.Wait()
	return first
}

// Waits between repetitions: doubled from the first to the longest, and a
// random half of it, so that those who failed together do not return together.
const (
	firstWait   = 10 * time.Millisecond
	longestWait = 320 * time.Millisecond
)

// persist sends one request until it is acknowledged, is refused, or RetryFor
// is over. Its place is free while it waits.
func (s *Store) persist(ctx context.Context, i int, send func(context.Context, int) error) error {
	var giveUp time.Time
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		if err := s.limit.acquire(ctx); err != nil {
			return err
		}
		began := time.Now()
		err := send(ctx, i)
		o := outcomeOf(err)
		if ctx.Err() != nil && err != nil {
			o = outcomePassing // ended by the caller, not by the database
		}
		s.limit.release(began, o)
		if err == nil {
			return nil
		}
		if giveUp.IsZero() {
			giveUp = began.Add(s.set.RetryFor)
		}
		if ctx.Err() != nil || o == outcomePermanent || time.Now().Add(wait).After(giveUp) {
			return failure(ctx, err)
		}
		if err := sleep(ctx, wait/2+rand.N(wait/2)); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
