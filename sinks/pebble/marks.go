package pebble

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"millrace/sinks"
)

// Marks stand in a table of their own, so that Put, which knows nothing of
// replays, writes a letter again without reading the old one.

func markKey(letterKey []byte) []byte {
	key := append([]byte{}, letterKey...)
	key[0] = tableMark
	return key
}

// get copies a value that has not expired, without its expiry; nil if there is
// none.
func (s *Store) get(key []byte) ([]byte, error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var text []byte
	if len(value) >= expiryBytes && !expired(value, s.set.Now()) {
		text = append([]byte{}, value...)
	}
	return text, closer.Close()
}

// mark returns the mark of the letter with that key, the zero mark if it has none.
func (s *Store) mark(letterKey []byte) (sinks.LetterMark, error) {
	var m sinks.LetterMark
	value, err := s.get(markKey(letterKey))
	if err != nil || value == nil {
		return m, err
	}
	if err := json.Unmarshal(value[expiryBytes:], &m); err != nil {
		return m, fmt.Errorf("read mark of a letter: %w", err)
	}
	return m, nil
}

// letter returns one letter; false when there is none, or it is done.
func (s *Store) letter(id *sinks.LetterID) (*sinks.Letter, bool, error) {
	key := appendLetterKey(nil, id)
	value, err := s.get(key)
	if err != nil || value == nil {
		return nil, false, err
	}
	m, err := s.mark(key)
	if err != nil || m.Done {
		return nil, false, err
	}
	l, err := parseLetter(key, value)
	if err != nil {
		return nil, false, err
	}
	l.Attempts, l.ReplayNumber = m.Attempts, m.ReplayNumber
	return l, true, nil
}

// GetLetters implements sinks.LetterKeeper.
func (s *Store) GetLetters(ctx context.Context, ids []sinks.LetterID, fn func(*sinks.Letter) bool) error {
	if err := s.enter(ctx, "get letters"); err != nil {
		return err
	}
	defer s.leave()
	for i := range ids {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("get letters: %w", err)
		}
		l, ok, err := s.letter(&ids[i])
		if err != nil {
			return fmt.Errorf("get letters: %w", err)
		}
		if ok && !fn(l) {
			return nil
		}
	}
	return nil
}

// MarkLetters implements sinks.LetterKeeper. The mark and the letter change in
// one step.
func (s *Store) MarkLetters(ctx context.Context, marks []sinks.LetterMark) error {
	s.marking.Lock() // what is marked is read first
	defer s.marking.Unlock()
	return s.change(ctx, "mark letters", func(b *pebble.Batch) error {
		for i := range marks {
			if err := s.fillMark(b, &marks[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) fillMark(b *pebble.Batch, m *sinks.LetterMark) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode mark: %w", err)
	}
	key := appendLetterKey(nil, &m.LetterID)
	expiry := binary.BigEndian.AppendUint64(nil, expiryOf(s.set.Now(), s.set.LetterTTL))
	if err := b.Set(markKey(key), append(expiry, text...), nil); err != nil {
		return err
	}
	if m.Done {
		return b.Delete(key, nil)
	}
	value, err := s.get(key)
	if err != nil || value == nil {
		return err
	}
	l, err := parseLetter(key, value)
	if err != nil {
		return err
	}
	l.Stage, l.Reason, l.Message = m.Stage, m.Reason, m.Message
	if text, err = json.Marshal(l); err != nil {
		return fmt.Errorf("encode letter: %w", err)
	}
	return b.Set(key, append(value[:expiryBytes:expiryBytes], text...), nil) // kept as long as before
}

// DropLetters implements sinks.LetterKeeper.
func (s *Store) DropLetters(ctx context.Context, ids []sinks.LetterID) error {
	return s.change(ctx, "drop letters", func(b *pebble.Batch) error {
		for i := range ids {
			key := appendLetterKey(nil, &ids[i])
			if err := errors.Join(b.Delete(key, nil), b.Delete(markKey(key), nil)); err != nil {
				return err
			}
		}
		return nil
	})
}

// change commits what fill puts into a batch, with the durability of Put.
func (s *Store) change(ctx context.Context, what string, fill func(*pebble.Batch) error) error {
	if err := s.enter(ctx, what); err != nil {
		return err
	}
	defer s.leave()
	s.pruning.RLock()
	defer s.pruning.RUnlock()
	b := s.db.NewBatch()
	err := fill(b)
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
