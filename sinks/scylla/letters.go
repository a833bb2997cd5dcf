package scylla

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gocql/gocql"

	"millrace/feature"
	"millrace/sinks"
)

const insertLetter = `INSERT INTO deadletters (source, src, day, position, element, feature_view,
 topic, record_offset, record_millis, stage, reason, message,
 revision, catalog_version, record_key, record_value, headers, value_bytes, truncated)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ?`

const selectLetters = `SELECT position, element, feature_view,
 topic, record_offset, record_millis, stage, reason, message,
 revision, catalog_version, record_key, record_value, headers, value_bytes, truncated,
 attempts, replay_number, replay_done
FROM deadletters WHERE source = ? AND src = ? AND day = ?`

const selectLettersAt = selectLetters + " AND position >= ? AND position < ?"

const selectLetter = selectLetters + " AND position = ? AND element = ? AND feature_view = ?"

// letterPage is how many letters are fetched at once: payloads may be large.
const letterPage = 50

// Put implements sinks.DeadLetter.
func (s *Store) Put(ctx context.Context, letters []sinks.Letter) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("put letters: %w", err)
	}
	err := s.parallel(ctx, len(letters), func(ctx context.Context, i int) error { return s.putLetter(ctx, &letters[i]) })
	if err != nil {
		return fmt.Errorf("put letters: %w", err)
	}
	return nil
}

func (s *Store) putLetter(ctx context.Context, l *sinks.Letter) error {
	var headers []byte
	if len(l.Headers) > 0 {
		text, err := json.Marshal(l.Headers)
		if err != nil {
			return fmt.Errorf("encode headers: %w", err)
		}
		headers = text
	}
	return exec(s.session.QueryWithContext(ctx, insertLetter,
		l.Source, l.Partition, l.Day, l.Position, l.Element, l.View,
		strings.ToValidUTF8(l.Topic, "\ufffd"), l.Offset, l.RecordMillis, string(l.Stage), string(l.Reason), strings.ToValidUTF8(l.Message, "\ufffd"),
		int(l.Revision), l.CatalogVersion, l.RecordKey, l.RecordValue, headers, l.ValueBytes, l.Truncated,
		seconds(s.set.LetterTTL)))
}

// letterPartition is one partition of the table.
type letterPartition struct {
	source   string
	src, day int32
}

// EachLetter implements sinks.LetterReader. It looks at every partition that
// has letters, so it is for people and replays, not for the hot path.
func (s *Store) EachLetter(ctx context.Context, f sinks.LetterFilter, fn func(*sinks.Letter) bool) error {
	partitions, err := s.letterPartitions(ctx, &f)
	if err != nil {
		return fmt.Errorf("read letters: %w", err)
	}
	found := 0
	each := func(l *sinks.Letter) bool {
		if !f.Match(l) {
			return true
		}
		found++
		return fn(l) && found != f.Limit
	}
	for _, p := range partitions {
		more, err := s.lettersOf(ctx, p, each, selectLetters)
		if err != nil {
			return fmt.Errorf("read letters: %w", err)
		}
		if !more {
			return nil
		}
	}
	return nil
}

// letterPartitions lists the partitions that may hold selected letters, in the
// order of LetterID.
func (s *Store) letterPartitions(ctx context.Context, f *sinks.LetterFilter) ([]letterPartition, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	it := s.session.QueryWithContext(ctx, "SELECT DISTINCT source, src, day FROM deadletters").RetryPolicy(again()).Iter()
	var all []letterPartition
	for p := (letterPartition{}); it.Scan(&p.source, &p.src, &p.day); {
		if (f.Source == "" || f.Source == p.source) && p.mayHold(f) {
			all = append(all, p)
		}
	}
	if err := it.Close(); err != nil {
		return nil, failure(ctx, err)
	}
	slices.SortFunc(all, letterPartition.compare)
	return all, nil
}

func (p letterPartition) compare(q letterPartition) int {
	return cmp.Or(cmp.Compare(p.source, q.source), cmp.Compare(p.src, q.src), cmp.Compare(p.day, q.day))
}

// mayHold reports whether letters that f selects can be in p, by its day and
// its place in the order.
func (p letterPartition) mayHold(f *sinks.LetterFilter) bool {
	if f.SinceMillis > 0 && p.day < sinks.DayOf(f.SinceMillis) {
		return false
	}
	return f.After == nil || p.compare(letterPartition{f.After.Source, f.After.Partition, f.After.Day}) >= 0
}

// LettersAt implements sinks.LetterFinder.
func (s *Store) LettersAt(ctx context.Context, r sinks.LetterRange, fn func(*sinks.Letter) bool) error {
	if _, err := s.lettersOf(ctx, letterPartition{r.Source, r.Partition, r.Day}, fn, selectLettersAt, r.From, r.To); err != nil {
		return fmt.Errorf("read letters: %w", err)
	}
	return nil
}

// lettersOf calls fn for the letters of one partition that a query with further
// values selects until it returns false, and reports whether it never did.
func (s *Store) lettersOf(ctx context.Context, p letterPartition, fn func(*sinks.Letter) bool, query string, values ...any) (bool, error) {
	it := s.session.QueryWithContext(ctx, query, append([]any{p.source, p.src, p.day}, values...)...).RetryPolicy(again()).PageSize(letterPage).Iter()
	more := true
	for more {
		l, done, ok, err := scanLetter(it, p)
		if err != nil {
			return false, errors.Join(err, it.Close())
		}
		if !ok {
			break
		}
		more = done || fn(l)
	}
	if err := it.Close(); err != nil && more {
		return false, failure(ctx, err)
	}
	return more, nil
}

// scanLetter reads the next letter; ok is false at the end. A mark without a
// letter counts as done: there is nothing to show.
func scanLetter(it *gocql.Iter, p letterPartition) (l *sinks.Letter, done, ok bool, err error) {
	l = &sinks.Letter{LetterID: sinks.LetterID{Source: p.source, Partition: p.src, Day: p.day}}
	var stage, reason string
	var topic *string
	var revision int
	var headers []byte
	if !it.Scan(&l.Position, &l.Element, &l.View,
		&topic, &l.Offset, &l.RecordMillis, &stage, &reason, &l.Message,
		&revision, &l.CatalogVersion, &l.RecordKey, &l.RecordValue, &headers, &l.ValueBytes, &l.Truncated,
		&l.Attempts, &l.ReplayNumber, &done) {
		return nil, false, false, nil
	}
	if topic == nil || done {
		return nil, true, true, nil
	}
	l.Topic, l.Stage, l.Reason, l.Revision = *topic, feature.Stage(stage), feature.Reason(reason), uint16(revision)
	if len(headers) > 0 {
		if err := json.Unmarshal(headers, &l.Headers); err != nil {
			return nil, false, false, fmt.Errorf("decode headers: %w", err)
		}
	}
	return l, false, true, nil
}
