package scylla

import (
	"context"
	"fmt"
	"strings"

	"millrace/sinks"
)

// A mark stands in columns that insertLetter does not name: a lane that writes
// a letter again leaves them as they are. A letter that is done loses its
// payload and keeps its mark.
const (
	markLetter = `UPDATE deadletters USING TTL ? SET attempts = ?, replay_number = ?, stage = ?, reason = ?, message = ?
WHERE source = ? AND src = ? AND day = ? AND position = ? AND element = ? AND feature_view = ?`
	markDone = `UPDATE deadletters USING TTL ? SET attempts = ?, replay_number = ?, replay_done = true,
 record_key = null, record_value = null, headers = null
WHERE source = ? AND src = ? AND day = ? AND position = ? AND element = ? AND feature_view = ?`
	dropLetter = "DELETE FROM deadletters WHERE source = ? AND src = ? AND day = ? AND position = ? AND element = ? AND feature_view = ?"
)

// GetLetters implements sinks.LetterKeeper: one request per letter, because
// payloads may be large.
func (s *Store) GetLetters(ctx context.Context, ids []sinks.LetterID, fn func(*sinks.Letter) bool) error {
	for i := range ids {
		l, err := s.getLetter(ctx, &ids[i])
		if err != nil {
			return fmt.Errorf("get letters: %w", err)
		}
		if l != nil && !fn(l) {
			return nil
		}
	}
	return nil
}

func (s *Store) getLetter(ctx context.Context, id *sinks.LetterID) (*sinks.Letter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	it := s.session.QueryWithContext(ctx, selectLetter, id.Source, id.Partition, id.Day, id.Position, id.Element, id.View).RetryPolicy(again()).Iter()
	l, done, ok, err := scanLetter(it, letterPartition{id.Source, id.Partition, id.Day})
	if closed := it.Close(); closed != nil {
		return nil, failure(ctx, closed)
	}
	if err != nil || !ok || done {
		return nil, err
	}
	return l, nil
}

// MarkLetters implements sinks.LetterKeeper.
func (s *Store) MarkLetters(ctx context.Context, marks []sinks.LetterMark) error {
	ttl := seconds(s.set.LetterTTL)
	err := s.parallel(ctx, len(marks), func(ctx context.Context, i int) error {
		m := &marks[i]
		if m.Done {
			return exec(s.session.QueryWithContext(ctx, markDone, ttl, m.Attempts, m.ReplayNumber,
				m.Source, m.Partition, m.Day, m.Position, m.Element, m.View).Consistency(s.tiles))
		}
		return exec(s.session.QueryWithContext(ctx, markLetter, ttl, m.Attempts, m.ReplayNumber,
			string(m.Stage), string(m.Reason), strings.ToValidUTF8(m.Message, "\ufffd"),
			m.Source, m.Partition, m.Day, m.Position, m.Element, m.View).Consistency(s.tiles))
	})
	if err != nil {
		return fmt.Errorf("mark letters: %w", err)
	}
	return nil
}

// DropLetters implements sinks.LetterKeeper.
func (s *Store) DropLetters(ctx context.Context, ids []sinks.LetterID) error {
	err := s.parallel(ctx, len(ids), func(ctx context.Context, i int) error {
		id := &ids[i]
		return exec(s.session.QueryWithContext(ctx, dropLetter, id.Source, id.Partition, id.Day, id.Position, id.Element, id.View))
	})
	if err != nil {
		return fmt.Errorf("drop letters: %w", err)
	}
	return nil
}
