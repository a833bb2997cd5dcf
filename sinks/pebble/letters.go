package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"millrace/sinks"
)

// Put implements sinks.DeadLetter, with the durability of Write.
func (s *Store) Put(ctx context.Context, letters []sinks.Letter) error {
	if err := s.enter(ctx, "put letters"); err != nil {
		return err
	}
	defer s.leave()
	s.pruning.RLock()
	defer s.pruning.RUnlock()
	b := s.db.NewBatch()
	if err := s.fillLetters(b, letters); err != nil {
		return errors.Join(fmt.Errorf("put letters: %w", err), b.Close())
	}
	if err := errors.Join(b.Commit(pebble.NoSync), b.Close()); err != nil {
		return fmt.Errorf("put letters: %w", err)
	}
	return nil
}

func (s *Store) fillLetters(b *pebble.Batch, letters []sinks.Letter) error {
	var key, value []byte
	expiry := expiryOf(s.set.Now(), s.set.LetterTTL)
	for i := range letters {
		text, err := json.Marshal(&letters[i])
		if err != nil {
			return fmt.Errorf("encode letter: %w", err)
		}
		key = appendLetterKey(key[:0], &letters[i].LetterID) // attempts are read from the mark
		value = append(binary.BigEndian.AppendUint64(value[:0], expiry), text...)
		if err := b.Set(key, value, nil); err != nil {
			return err
		}
	}
	return nil
}

// EachLetter implements sinks.LetterReader. It sees the letters of the moment
// it begins.
func (s *Store) EachLetter(ctx context.Context, f sinks.LetterFilter, fn func(*sinks.Letter) bool) error {
	if err := s.enter(ctx, "read letters"); err != nil {
		return err
	}
	defer s.leave()
	prefix := letterPrefix(f.Source)
	from := prefix
	if f.After != nil {
		if key := appendLetterKey(nil, f.After); bytes.Compare(key, from) > 0 {
			from = key
		}
	}
	return s.lettersWithin(ctx, from, after(prefix), f, fn)
}

// LettersAt implements sinks.LetterFinder.
func (s *Store) LettersAt(ctx context.Context, r sinks.LetterRange, fn func(*sinks.Letter) bool) error {
	if err := s.enter(ctx, "read letters"); err != nil {
		return err
	}
	defer s.leave()
	key := func(position int64) []byte {
		return appendLetterKey(nil, &sinks.LetterID{Source: r.Source, Partition: r.Partition, Day: r.Day, Position: position})
	}
	return s.lettersWithin(ctx, key(r.From), key(r.To), sinks.LetterFilter{}, fn)
}

func (s *Store) lettersWithin(ctx context.Context, from, to []byte, f sinks.LetterFilter, fn func(*sinks.Letter) bool) error {
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return fmt.Errorf("read letters: %w", err)
	}
	if err := errors.Join(s.eachLetter(ctx, it, f, fn), it.Close()); err != nil {
		return fmt.Errorf("read letters: %w", err)
	}
	return nil
}

func (s *Store) eachLetter(ctx context.Context, it *pebble.Iterator, f sinks.LetterFilter, fn func(*sinks.Letter) bool) error {
	now, found := s.set.Now(), 0
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if len(value) >= expiryBytes && expired(value, now) {
			continue
		}
		l, err := parseLetter(it.Key(), value)
		if err != nil {
			return err
		}
		m, err := s.mark(it.Key())
		if err != nil {
			return err
		}
		l.Attempts, l.ReplayNumber = m.Attempts, m.ReplayNumber
		if m.Done || !f.Match(l) {
			continue
		}
		if found++; !fn(l) || found == f.Limit {
			return nil
		}
	}
	return nil
}

// parseLetter reads one letter; the id is the key's.
func parseLetter(key, value []byte) (*sinks.Letter, error) {
	id, err := parseLetterKey(key)
	if err != nil {
		return nil, err
	}
	if len(value) < expiryBytes {
		return nil, fmt.Errorf("read letter: value of %d bytes: %w", len(value), errOperand)
	}
	var l sinks.Letter
	if err := json.Unmarshal(value[expiryBytes:], &l); err != nil {
		return nil, fmt.Errorf("read letter: %w", err)
	}
	l.LetterID = id
	return &l, nil
}
