package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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

// ReadCells implements sinks.Cells.
func (s *Store) ReadCells(ctx context.Context, entity string, keys, views []string, dst *sinks.CellSet) error {
	if err := s.enter(ctx, "read cells"); err != nil {
		return err
	}
	defer s.leave()
	dst.Reset(len(keys), len(views))
	r := cellReader{db: s.db, store: s}
	for i, key := range keys {
		for j, view := range views {
			value, err := r.read(entity, key, view)
			if err != nil {
				return fmt.Errorf("read cells: %w: %w", sinks.ErrUnavailable, err)
			}
			dst.Values[i*len(views)+j] = value
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read cells: %w", err)
		}
	}
	return nil
}

// cellReader reads cells one after another into memory that it takes in
// pieces; what it returned stays as it is.
type cellReader struct {
	db    *pebble.DB
	store *Store
	key   []byte
	arena []byte
}

const arenaBytes = 4 << 10

func (r *cellReader) read(entity, key, view string) ([]byte, error) {
	r.key = appendCellKey(r.key[:0], entity, key, view)
	cell, closer, err := r.db.Get(r.key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return r.keep(liveRow(cell, r.store.set.Now())), closeRead(closer)
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

func closeRead(c io.Closer) error {
	if err := c.Close(); err != nil {
		return fmt.Errorf("end read: %w", err)
	}
	return nil
}
