package pebble

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"millrace/sinks"
)

// batchBytes is where a Write starts another batch: a batch is built in memory
// before it is applied.
const batchBytes = 1 << 20

// Write implements sinks.Sink. It returns when the rows are in the log's
// buffer; Sync makes them durable. A call that fails in the middle leaves some
// of its rows written.
func (s *Store) Write(ctx context.Context, rows []sinks.Row) error {
	return s.merge(ctx, "write rows", len(rows), func(b *pebble.Batch, i int, now time.Time) error {
		r := &rows[i]
		keyLen := 1 + uvarintLen(len(r.Entity)) + uvarintLen(len(r.Key)) + len(r.Entity) + len(r.Key) + len(r.View)
		op := b.MergeDeferred(keyLen, headBytes+len(r.Value))
		appendCellKey(op.Key[:0], r.Entity, r.Key, r.View)
		putHead(op.Value, r.Stamp, expiryOf(now, r.Expire))
		copy(op.Value[headBytes:], r.Value)
		return op.Finish()
	})
}

// merge writes n cells, each by put, in batches.
func (s *Store) merge(ctx context.Context, what string, n int, put func(b *pebble.Batch, i int, now time.Time) error) error {
	if err := s.enter(ctx, what); err != nil {
		return err
	}
	defer s.leave()
	s.pruning.RLock()
	defer s.pruning.RUnlock()
	for done := 0; done < n; {
		next, err := s.mergeSome(done, n, put)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		done = next
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

// mergeSome writes from cell i on, as many as one batch takes, and returns
// where to go on.
func (s *Store) mergeSome(i, n int, put func(b *pebble.Batch, i int, now time.Time) error) (int, error) {
	b := s.db.NewBatch()
	for now := s.set.Now(); i < n && b.Len() < batchBytes; i++ {
		if err := put(b, i, now); err != nil {
			return 0, errors.Join(err, b.Close())
		}
	}
	return i, errors.Join(b.Commit(pebble.NoSync), b.Close())
}

func uvarintLen(n int) int {
	var scratch [binary.MaxVarintLen64]byte
	return binary.PutUvarint(scratch[:], uint64(n))
}

// ReadCells implements sinks.Cells, and reads the rows of one moment.
func (s *Store) ReadCells(ctx context.Context, entity string, keys, views []string, dst *sinks.CellSet) error {
	if err := s.enter(ctx, "read cells"); err != nil {
		return err
	}
	defer s.leave()
	dst.Reset(len(keys), len(views))
	at, err := s.points(ctx, tableCells)
	if err != nil {
		return fmt.Errorf("read cells: %w", err)
	}
	r := cellReader{at: at, dst: dst}
	if err := at.close(r.readAll(ctx, entity, keys, views)); err != nil {
		return fmt.Errorf("read cells: %w", err)
	}
	return nil
}

// cellReader is one call of ReadCells. It reads cells one after another into
// memory that it takes in pieces; what it returned stays as it is.
type cellReader struct {
	at    *points
	dst   *sinks.CellSet
	key   []byte
	arena []byte
}

const arenaBytes = 4 << 10

func (r *cellReader) readAll(ctx context.Context, entity string, keys, views []string) error {
	for _, i := range forward(keys) {
		for j, view := range views {
			r.key = appendCellKey(r.key[:0], entity, keys[i], view)
			row, err := r.at.read(r.key)
			if err != nil {
				return err
			}
			r.dst.Values[i*len(views)+j] = r.keep(row)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// forward returns the places of keys in the order of their cells.
func forward(keys []string) []int {
	places := make([]int, len(keys))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(i, j int) int {
		return cmp.Or(cmp.Compare(len(keys[i]), len(keys[j])), strings.Compare(keys[i], keys[j]))
	})
	return places
}

func (r *cellReader) keep(row []byte) []byte {
	if row == nil {
		return nil
	}
	if cap(r.arena)-len(r.arena) < len(row) {
		r.arena = make([]byte, 0, max(arenaBytes, len(row)))
	}
	from := len(r.arena)
	r.arena = append(r.arena, row...)
	return r.arena[from:len(r.arena):len(r.arena)]
}
