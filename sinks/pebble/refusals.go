package pebble

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"millrace/sinks"
)

// RefusalDays implements sinks.Refusals: it looks at one key of each day, among
// letters and among marks.
func (s *Store) RefusalDays(ctx context.Context, source string, partition int32) ([]int32, error) {
	if err := s.enter(ctx, "read refusals"); err != nil {
		return nil, err
	}
	defer s.leave()
	var days []int32
	for _, table := range []byte{tableLetter, tableMark} {
		prefix := refusalPrefix(table, source, partition)
		it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: prefix, UpperBound: successor(prefix)})
		if err != nil {
			return nil, fmt.Errorf("read refusals: %w", err)
		}
		for ok := it.First(); ok; {
			day := readInt32(it.Key()[len(prefix):])
			days = append(days, day)
			ok = day < math.MaxInt32 && it.SeekGE(appendInt32(slices.Clip(prefix), day+1))
		}
		if err := it.Close(); err != nil {
			return nil, fmt.Errorf("read refusals: %w", err)
		}
	}
	slices.Sort(days)
	return slices.Compact(days), nil
}

// successor returns the first key behind all that begin with prefix, whose last
// byte may be any; tables are few, so the first byte never is the greatest.
func successor(prefix []byte) []byte {
	end := slices.Clone(prefix)
	for i := len(end) - 1; ; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
}

func refusalPrefix(table byte, source string, partition int32) []byte {
	return appendInt32(appendName([]byte{table}, source), partition)
}

// EachRefusal implements sinks.Refusals. Letters and marks are two tables of
// the same keys; it goes through both, one beside the other.
func (s *Store) EachRefusal(ctx context.Context, source string, partition, day int32, position int64, fn func(*sinks.Refusal) bool) error {
	if err := s.enter(ctx, "read refusals"); err != nil {
		return err
	}
	defer s.leave()
	if err := s.eachRefusal(ctx, source, partition, day, position, fn); err != nil {
		return fmt.Errorf("read refusals: %w", err)
	}
	return nil
}

func (s *Store) eachRefusal(ctx context.Context, source string, partition, day int32, position int64, fn func(*sinks.Refusal) bool) (err error) {
	snapshot := s.db.NewSnapshot() // a letter that is marked done leaves one table and enters the other
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	var heads [2]refusalHead
	for i, table := range []byte{tableLetter, tableMark} {
		prefix := appendInt32(refusalPrefix(table, source, partition), day)
		bounds := pebble.IterOptions{LowerBound: appendInt64(slices.Clone(prefix), position), UpperBound: successor(prefix)}
		it, err := snapshot.NewIterWithContext(ctx, &bounds)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, it.Close()) }()
		heads[i] = refusalHead{it: it, ok: it.First(), now: s.set.Now()}
		if err := heads[i].settle(); err != nil {
			return err
		}
	}
	letters, marks := &heads[0], &heads[1]
	for letters.ok || marks.ok {
		r, err := joinRefusal(letters, marks)
		if err != nil {
			return err
		}
		if r != nil && !fn(r) {
			return nil
		}
	}
	return errors.Join(letters.it.Error(), marks.it.Error())
}

// refusalHead is where one of the two tables stands.
type refusalHead struct {
	it  *pebble.Iterator
	ok  bool
	now time.Time
	id  sinks.LetterID
}

// settle moves on to what has not expired, and reads its id.
func (h *refusalHead) settle() error {
	for h.ok {
		value, err := h.it.ValueAndErr()
		if err != nil {
			return err
		}
		if len(value) >= expiryBytes && !expired(value, h.now) {
			key := slices.Clone(h.it.Key())
			key[0] = tableLetter
			h.id, err = parseLetterKey(key)
			return err
		}
		h.ok = h.it.Next()
	}
	return nil
}

func (h *refusalHead) read(to any) error {
	value, err := h.it.ValueAndErr()
	if err == nil {
		err = json.Unmarshal(value[expiryBytes:], to)
	}
	if err != nil {
		return err
	}
	h.ok = h.it.Next()
	return h.settle()
}

// joinRefusal takes the lesser id off one head or both; nil when it is a mark
// that stands for nothing.
func joinRefusal(letters, marks *refusalHead) (*sinks.Refusal, error) {
	var order int
	switch {
	case !marks.ok:
		order = -1
	case !letters.ok:
		order = 1
	default:
		order = letters.id.Compare(&marks.id)
	}
	r := &sinks.Refusal{LetterID: letters.id}
	if order > 0 {
		r.LetterID = marks.id
	}
	if order <= 0 {
		var l struct {
			CatalogVersion int64 `json:"catalog_version"`
		}
		if err := letters.read(&l); err != nil {
			return nil, err
		}
		r.CatalogVersion = l.CatalogVersion
	}
	if order >= 0 {
		var m sinks.LetterMark
		if err := marks.read(&m); err != nil {
			return nil, err
		}
		r.ReplayNumber, r.Done = m.ReplayNumber, m.Done
	}
	if order > 0 && !r.Done {
		return nil, nil //nolint:nilnil // the letter was dropped or has expired
	}
	return r, nil
}

// KeepLetters implements sinks.Refusals.
func (s *Store) KeepLetters(ctx context.Context, ids []sinks.LetterID, version int64) error {
	s.marking.Lock()
	defer s.marking.Unlock()
	return s.change(ctx, "keep letters", func(b *pebble.Batch) error {
		expiry := binary.BigEndian.AppendUint64(nil, expiryOf(s.set.Now(), s.set.LetterTTL))
		for i := range ids {
			key := appendLetterKey(nil, &ids[i])
			letter, err := s.get(key)
			if err != nil {
				return err
			}
			m, err := s.mark(key)
			if err != nil {
				return err
			}
			if letter == nil || m.ReplayNumber > 0 || m.ReplayNumber <= sinks.KeptNumber(version) {
				continue
			}
			m.LetterID, m.ReplayNumber = ids[i], sinks.KeptNumber(version)
			text, err := json.Marshal(&m)
			if err != nil {
				return fmt.Errorf("encode mark: %w", err)
			}
			if err := b.Set(markKey(key), append(slices.Clip(expiry), text...), nil); err != nil {
				return err
			}
		}
		return nil
	})
}
