package pebble

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// pruneKeys is how many keys Prune looks at while it keeps writers out.
const pruneKeys = 500

// Prune removes what has expired, rows, tiles and letters, and returns how many.
// It changes no answer: what is expired is not read anyway. It may run
// beside every other call and keeps writers out for moments only.
func (s *Store) Prune(ctx context.Context) (int, error) {
	total := 0
	for _, table := range []byte{tableCells, tableLetter, tableMark, tableTiles} {
		from := []byte{table}
		for from != nil {
			n, next, err := s.pruneSome(ctx, from, []byte{table + 1})
			if err != nil {
				return total, fmt.Errorf("prune: %w", err)
			}
			total, from = total+n, next
		}
	}
	return total, nil
}

// pruneSome removes what has expired among the first keys of the range and
// returns the key to go on from, nil at the end.
func (s *Store) pruneSome(ctx context.Context, from, to []byte) (int, []byte, error) {
	if err := s.enter(ctx, "prune"); err != nil {
		return 0, nil, err
	}
	defer s.leave()
	s.pruning.Lock()
	defer s.pruning.Unlock()
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return 0, nil, err
	}
	b := s.db.NewBatch()
	next, err := s.collectExpired(it, b)
	n := int(b.Count())
	if err == nil && n > 0 {
		err = b.Commit(pebble.NoSync)
	}
	return n, next, errors.Join(err, it.Close(), b.Close())
}

func (s *Store) collectExpired(it *pebble.Iterator, b *pebble.Batch) (next []byte, err error) {
	now, seen := s.set.Now(), 0
	for ok := it.First(); ok; ok = it.Next() {
		if seen++; seen > pruneKeys {
			return append([]byte{}, it.Key()...), nil
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		if table := it.Key()[0]; (table == tableCells || table == tableTiles) && len(value) >= headBytes {
			value = value[stampBytes:]
		}
		if len(value) < expiryBytes || !expired(value, now) {
			continue
		}
		if err := b.Delete(it.Key(), nil); err != nil {
			return nil, err
		}
	}
	return nil, it.Error()
}
