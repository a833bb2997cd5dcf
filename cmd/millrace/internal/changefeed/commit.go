package changefeed

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"millrace/sinks"
	"millrace/sinks/changelog"
	"millrace/sources"
)

// commit commits marks that have moved, of some partitions or, without any
// named, of all. turn is held. What fails is in the next commit again.
func (f *Feed) commit(ctx context.Context, only []int32) {
	marks := f.moved(only)
	if len(marks) == 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, f.s.CommitTimeout)
	defer cancel()
	if err := f.s.Source.Commit(limited, marks); err != nil {
		// During a rebalance some are refused: nothing to tell of.
		if f.failed++; f.failed == tellAfter && ctx.Err() == nil {
			f.s.Events.Unstored(err)
		}
		return
	}
	if f.failed >= tellAfter {
		f.s.Events.Unstored(nil)
	}
	f.failed = 0
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range marks {
		f.mu.parts[m.Number].committed = m.Offset // is there still: giving it up takes the turn
	}
}

// tellAfter is how many commits in a row have failed when it is told.
const tellAfter = 3

// moved lists what is to be committed, and tells the lag.
func (f *Feed) moved(only []int32) []sources.Mark {
	var marks []sources.Mark
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.worker.Marks(nil) {
		p := f.mu.parts[m.Partition]
		if p == nil || only != nil && !slices.Contains(only, m.Partition) {
			continue
		}
		f.s.Events.Lag(m.Partition, max(0, p.logEnd-m.Offset))
		if m.Offset != p.committed {
			marks = append(marks, sources.Mark{Partition: f.partition(m.Partition), Offset: m.Offset, Metadata: p.metadata})
		}
	}
	return marks
}

// check says what is wrong with a record whose key can be read; of a newer
// format nothing is.
func (f *Feed) check(r *sources.Record) error {
	var c sinks.Change
	if err := changelog.Decode(r.Key, r.Value, &c); err != nil && !errors.Is(err, changelog.ErrFormat) {
		return fmt.Errorf("a change whose key can be read: %w", err)
	}
	return nil
}
