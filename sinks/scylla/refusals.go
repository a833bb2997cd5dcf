package scylla

import (
	"context"
	"fmt"
	"slices"

	"millrace/sinks"
)

const selectRefusals = `SELECT position, element, feature_view, topic, catalog_version, replay_number, replay_done
FROM deadletters WHERE source = ? AND src = ? AND day = ? AND position >= ?`

// keepLetter loses against every replay, whichever comes first, because it is
// written at a time long ago; of two the one of the greater version stays.
const keepLetter = `UPDATE deadletters USING TIMESTAMP ? AND TTL ? SET replay_number = ?
WHERE source = ? AND src = ? AND day = ? AND position = ? AND element = ? AND feature_view = ?`

// refusalPage is how many are fetched at once; payloads are not read.
const refusalPage = 1000

// RefusalDays implements sinks.Refusals. It asks for the keys of all partitions
// of the table, which are as many as there are days with letters.
func (s *Store) RefusalDays(ctx context.Context, source string, partition int32) ([]int32, error) {
	all, err := s.letterPartitions(ctx, &sinks.LetterFilter{Source: source})
	if err != nil {
		return nil, fmt.Errorf("read the days of refusals: %w", err)
	}
	var days []int32
	for _, p := range all {
		if p.src == partition {
			days = append(days, p.day)
		}
	}
	return slices.Compact(days), nil
}

// EachRefusal implements sinks.Refusals.
func (s *Store) EachRefusal(ctx context.Context, source string, partition, day int32, position int64, fn func(*sinks.Refusal) bool) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read refusals: %w", err)
	}
	q := s.session.QueryWithContext(ctx, selectRefusals, source, partition, day, position)
	it := q.Consistency(s.tiles).RetryPolicy(again()).PageSize(refusalPage).Iter()
	var topic *string
	r := sinks.Refusal{LetterID: sinks.LetterID{Source: source, Partition: partition, Day: day}}
	more := true
	for more && it.Scan(&r.Position, &r.Element, &r.View, &topic, &r.CatalogVersion, &r.ReplayNumber, &r.Done) {
		if topic != nil || r.Done { // a mark without a letter stands for nothing, unless it is done
			found := r
			more = fn(&found)
		}
	}
	if err := it.Close(); err != nil && more {
		return fmt.Errorf("read refusals: %w", failure(ctx, err))
	}
	return nil
}

// KeepLetters implements sinks.Refusals. A letter that was dropped and written
// again is not kept: what was written long ago loses against the drop.
func (s *Store) KeepLetters(ctx context.Context, ids []sinks.LetterID, version int64) error {
	err := s.parallel(ctx, len(ids), func(ctx context.Context, i int) error {
		id := &ids[i]
		return exec(s.session.QueryWithContext(ctx, keepLetter, max(version, 1), seconds(s.set.LetterTTL), sinks.KeptNumber(version),
			id.Source, id.Partition, id.Day, id.Position, id.Element, id.View).Consistency(s.tiles))
	})
	if err != nil {
		return fmt.Errorf("keep letters: %w", err)
	}
	return nil
}
