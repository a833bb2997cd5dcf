package pipeline

import (
	"context"
	"fmt"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sources"
)

// refusedBefore writes the letter of a record that another catalog version
// refused.
func (r *rig) refusedBefore(offset int64, element int32, view string, version int64) sinks.LetterID {
	r.t.Helper()
	l := sinks.Letter{
		LetterID: sinks.LetterID{Source: "trips", Position: sinks.Position(0, offset), Element: element, View: view},
		Topic:    "trips", Offset: offset, RecordMillis: 1000, Reason: feature.ReasonExpression, Revision: 1, CatalogVersion: version,
	}
	if err := r.store.Put(context.Background(), []sinks.Letter{l}); err != nil {
		r.t.Fatal(err)
	}
	return l.LetterID
}

// TestARowThatWasRefusedKeepsThatEnd: a letter was acknowledged before a crash,
// and the definitions that the lane adopts would accept its row.
func TestARowThatWasRefusedKeepsThatEnd(t *testing.T) {
	whole := int32(feature.WholeRecord)
	for name, c := range map[string]struct {
		before func(*rig)
		want   string // stored, filtered, dead-lettered, kept; counted of a; letters; rows
	}{
		"no letter":                    {func(*rig) {}, "2 1 1 0; 2; 1; 1"},
		"the row's letter":             {func(r *rig) { r.refusedBefore(5, 0, "v", 2) }, "1 1 2 1; 1; 2; 1"},
		"the record's letter":          {func(r *rig) { r.refusedBefore(5, whole, "", 2) }, "1 1 2 1; 1; 2; 1"},
		"another view's letter":        {func(r *rig) { r.refusedBefore(5, 0, "w", 2) }, "2 1 1 0; 2; 2; 1"},
		"another element's letter":     {func(r *rig) { r.refusedBefore(5, 1, "v", 2) }, "2 1 1 0; 2; 2; 1"},
		"below the lane's start":       {func(r *rig) { r.refusedBefore(3, 0, "v", 2) }, "2 1 1 0; 2; 2; 1"},
		"a row that is filtered now":   {func(r *rig) { r.refusedBefore(8, 0, "v", 2) }, "2 0 2 1; 2; 2; 1"},
		"a row that is refused again":  {func(r *rig) { r.refusedBefore(9, 0, "v", 2) }, "2 1 1 1; 2; 1; 1"},
		"the same version, a registry": {func(r *rig) { r.refusedBefore(5, whole, "", 3) }, "1 1 2 1; 1; 2; 1"},
		"a letter that is done": {func(r *rig) {
			id := r.refusedBefore(5, 0, "v", 2)
			if err := r.store.MarkLetters(context.Background(), []sinks.LetterMark{{LetterID: id, ReplayNumber: 1, Done: true}}); err != nil {
				r.t.Fatal(err)
			}
		}, "1 1 2 1; 1; 1; 1"},
	} {
		t.Run(name, func(t *testing.T) {
			var ends ViewEnds
			run(t, func(s *Settings) {
				withWindows(s)
				s.Events = Events{BatchDone: func(b *BatchStats) { ends = b.Views[0] }}
			}, func(r *rig) {
				c.before(r)
				a := fresh(p0)
				a.Committed, a.LogEnd = 4, 10
				a.Metadata = metadata{Catalog: 2, Topic: a.TopicID.Hex()}.encode()
				r.assign(a)
				settle()
				r.src.h.Deliver(fetch(p0, record(5, 'a', 1000), record(7, 'a', 1000), record(8, '?', 1000), record(9, '~', 1000)))
				settle()
				got := fmt.Sprintf("%d %d %d %d; %d; %d; %d", ends.Stored, ends.Filtered, ends.DeadLettered, ends.Kept, r.counted("a"), len(r.store.Letters()), len(r.store.Rows()))
				if got != c.want || ends.Received != 4 || ends.Stored+ends.Filtered+ends.DeadLettered != 4 {
					t.Errorf("ends %s, want %s (%+v)", got, c.want, ends)
				}
				if m, _ := r.src.last(p0); m.Offset != 10 {
					t.Errorf("committed %d", m.Offset)
				}
			})
		})
	}
}

// TestALetterThatCameLateIsOvertaken: the lane that adopted the version has not
// seen it, so later ones must not let it decide either.
func TestALetterThatCameLateIsOvertaken(t *testing.T) {
	run(t, withWindows, func(r *rig) {
		kept := r.refusedBefore(6, 0, "v", 2)
		a := fresh(p0)
		a.Committed, a.LogEnd = 4, 10
		a.Metadata = metadata{Catalog: 2, Topic: a.TopicID.Hex()}.encode()
		r.assign(a)
		settle()
		r.src.h.Lost([]sources.Partition{p0}) // before a batch
		late := r.refusedBefore(5, 0, "v", 2)
		m, _ := r.src.last(p0)
		a.Metadata = m.Metadata
		r.assign(a)
		settle()
		r.src.h.Deliver(fetch(p0, record(5, 'a', 1000), record(6, 'a', 1000), record(7, 'a', 1000)))
		settle()
		if n := r.counted("a"); n != 2 {
			t.Errorf("%d are counted, want those at 5 and 7", n)
		}
		for _, l := range r.store.Letters() {
			if want := map[sinks.LetterID]int64{kept: sinks.KeptNumber(3), late: 0}[l.LetterID]; l.ReplayNumber != want {
				t.Errorf("letter %d has the number %d, want %d", l.Position, l.ReplayNumber, want)
			}
		}
	})
}

// TestManyLettersAreReadInParts: what a lane holds of them is bounded, and given
// back when the lane has passed what others may have read.
func TestManyLettersAreReadInParts(t *testing.T) {
	const letters = 2*refusedPage + 10
	run(t, func(s *Settings) {
		withWindows(s)
		s.MaxRows = 100
	}, func(r *rig) {
		for i := range int64(letters) {
			if i%2 == 0 {
				r.refusedBefore(i, 0, "v", 2)
			}
			r.refusedBefore(i, 0, "w", 2)
		}
		a := fresh(p0)
		a.LogEnd = letters
		r.assign(a)
		settle()
		l := r.p.allLanes()[0]
		for i := range int64(letters + 1) {
			r.src.h.Deliver(fetch(p0, record(i, 'a', 1000)))
			settle()
			for _, d := range l.refused.days {
				if len(d.ends) > refusedPage {
					t.Fatalf("%d are held", len(d.ends))
				}
			}
		}
		if n := r.counted("a"); n != letters/2+1 || l.refused.days != nil {
			t.Errorf("%d are counted, want %d; days held: %v", n, letters/2+1, l.refused.days != nil)
		}
	})
}

// TestTilesWaitForTheLettersOfEarlierBatches: they have counted these batches
// and their fence covers them.
func TestTilesWaitForTheLettersOfEarlierBatches(t *testing.T) {
	run(t, func(s *Settings) {
		withWindows(s)
		s.MaxRows = 1
	}, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.faults.set("Put", errDown)
		r.src.h.Deliver(fetch(p0, record(0, '~', 1000), record(1, 'a', 1000)))
		settle()
		if n := len(r.store.Tiles()); n != 0 {
			t.Errorf("%d tiles are stored whose fence covers a record without its letter", n)
		}
		r.faults.set("Put", nil)
		time.Sleep(time.Minute) // longer than any back-off
		settle()
		if n := r.counted("a"); n != 1 || len(r.store.Letters()) != 1 {
			t.Errorf("%d are counted, %d letters", n, len(r.store.Letters()))
		}
	})
}
