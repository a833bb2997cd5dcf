package pipeline

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"millrace/feature"
	"millrace/internal/synctest"
	"millrace/sinks"
	"millrace/sources"
)

func TestALetterCarriesItsRecord(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p1))
		long := append([]byte{'!'}, make([]byte, sinks.MaxLetterBytes)...)
		r.src.h.Deliver(fetch(p1,
			sources.Record{
				Offset: 7, TimeMillis: 86_400_000, Key: []byte("k"), Value: []byte("!"),
				Headers: []sources.Header{{Key: "trace", Value: []byte("1")}, {Key: "trace", Value: nil}},
			},
			sources.Record{Offset: 9, TimeMillis: 5, Value: long},
		))
		settle()
		all := r.store.Letters()
		slices.SortFunc(all, func(a, b sinks.Letter) int { return int(a.Offset - b.Offset) })
		if len(all) != 2 {
			t.Fatalf("%d letters", len(all))
		}
		l := all[0]
		want := sinks.LetterID{Source: "trips", Partition: 1, Day: 1, Position: sinks.Position(0, 7), Element: feature.WholeRecord}
		if l.LetterID != want || l.Topic != "trips" || l.Offset != 7 || l.RecordMillis != 86_400_000 || l.CatalogVersion != 3 {
			t.Errorf("letter %+v", l)
		}
		if string(l.RecordKey) != "k" || string(l.RecordValue) != "!" || l.ValueBytes != 1 || l.Truncated {
			t.Errorf("record %+v", l)
		}
		if len(l.Headers) != 2 || l.Headers[0].Key != "trace" || string(l.Headers[0].Value) != "1" || l.Headers[1].Value != nil {
			t.Errorf("headers %+v", l.Headers)
		}
		if l.Stage != feature.StageDecode || l.Reason != feature.ReasonMalformed || l.Message != "malformed" {
			t.Errorf("why: %+v", l)
		}
		if cut := all[1]; !cut.Truncated || cut.ValueBytes != len(long) || !bytes.Equal(cut.RecordValue, long[:sinks.MaxLetterBytes]) {
			t.Errorf("a long record: truncated %v, %d bytes of %d", cut.Truncated, len(cut.RecordValue), cut.ValueBytes)
		}
	})
}

// A record that cannot be decoded has one letter, and counts once in every
// view of its source.
func TestAMalformedRecordCountsOncePerView(t *testing.T) {
	var got []ViewEnds
	two := func(s *Settings) {
		other := &feature.View{Name: "w", Entity: "e", Revision: 2}
		s.Routes[0].Views = append(s.Routes[0].Views, fakeView(other))
		s.Events = Events{BatchDone: func(b *BatchStats) {
			for _, v := range b.Views {
				got = append(got, ViewEnds{View: v.View, Stored: v.Stored, Superseded: v.Superseded, Filtered: v.Filtered, DeadLettered: v.DeadLettered})
			}
		}}
	}
	run(t, two, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.src.h.Deliver(fetch(p0, record(0, '!', 1), record(1, '~', 1), record(2, 'a', 1), record(3, 'a', 1), record(4, '?', 1)))
		settle()
		for i, name := range []string{"v", "w"} {
			v := got[i]
			if v.View != name || v.Stored != 2 || v.Superseded != 1 || v.Filtered != 1 || v.DeadLettered != 2 {
				t.Errorf("%+v", v)
			}
		}
		if n := len(r.store.Letters()); n != 3 {
			t.Errorf("%d letters, want one of the record and one of each view", n)
		}
		if rows := r.store.Rows(); len(rows) != 2 || rows[0].View != "v" || rows[1].View != "w" {
			t.Errorf("rows %+v", rows)
		}
	})
}

func TestStatsSayWhatABatchWas(t *testing.T) {
	var got []BatchStats
	listen := func(s *Settings) {
		s.Events = Events{BatchDone: func(b *BatchStats) { got = append(got, *b) }}
	}
	run(t, listen, func(r *rig) {
		a := fresh(p0)
		a.LogEnd = 40
		r.assign(a)
		settle()
		f := fetch(p0, record(3, 'a', 30), record(5, 'b', 10), record(8, '!', 20))
		f.LogEnd = 90
		want := int64(0)
		for i := range f.Records {
			want += int64(f.Records[i].Bytes())
		}
		r.src.h.Deliver(f)
		settle()
		b := got[0]
		if b.Source != "trips" || b.Partition != p0 || b.Records != 3 || b.Rows != 2 || b.Bytes != want || b.LogEnd != 90 || b.Next != 9 || b.OldestMs != 10 {
			t.Errorf("%+v", b)
		}
		if s := r.p.Snapshot()[0]; s.Next != 9 || s.Committed != 9 || s.LogEnd != 90 || s.Lag != 81 || s.State != "waiting" || s.BufferedBytes != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestABatchIsBoundedInRecordsAndBytes(t *testing.T) {
	one := record(0, 'a', 1)
	for name, c := range map[string]struct {
		change func(*Settings)
		want   []int
	}{
		"records":           {func(s *Settings) { s.MaxRows = 3 }, []int{3, 3, 1}},
		"bytes":             {func(s *Settings) { s.MaxBytes = int64(2 * one.Bytes()) }, []int{2, 2, 2, 1}},
		"less than one row": {func(s *Settings) { s.MaxBytes = 1 }, []int{1, 1, 1, 1, 1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var sizes []int
			listen := func(s *Settings) {
				c.change(s)
				s.InFlight = 1
				s.Events = Events{BatchDone: func(b *BatchStats) { sizes = append(sizes, b.Records) }}
			}
			run(t, listen, func(r *rig) {
				r.assign(fresh(p0))
				settle()
				f := fetch(p0)
				for i := range int64(7) {
					f.Records = append(f.Records, record(i, 'a', 1))
				}
				r.src.h.Deliver(f)
				settle()
				if !slices.Equal(sizes, c.want) {
					t.Errorf("batches of %v, want %v", sizes, c.want)
				}
				r.wantCommit(p0, 7)
			})
		})
	}
}

func TestLingerFillsABatch(t *testing.T) {
	var sizes []int
	change := func(s *Settings) {
		s.Linger, s.MaxRows = 100*time.Millisecond, 4
		s.Events = Events{BatchDone: func(b *BatchStats) { sizes = append(sizes, b.Records) }}
	}
	run(t, change, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		for i := range int64(6) {
			r.src.h.Deliver(fetch(p0, record(i, 'a', 1)))
			time.Sleep(10 * time.Millisecond)
		}
		settle()
		if !slices.Equal(sizes, []int{4, 2}) {
			t.Errorf("batches of %v", sizes)
		}
		r.wantCommit(p0, 6)
	})
}

func TestLingerEndsWithTheLane(t *testing.T) {
	run(t, func(s *Settings) { s.Linger = time.Hour }, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.src.h.Deliver(fetch(p0, record(0, 'a', 1)))
		synctest.Wait()
		r.src.revoke(p0)
		r.wantCommit(p0, 1) // it was taken, so it is finished
	})
}

// A total that other lanes have spent must not keep a lane from its one fetch:
// it would never hold bytes whose release reopens it.
func TestEveryLaneHasOneFetchWhateverOthersHold(t *testing.T) {
	one := record(0, 'a', 1)
	run(t, func(s *Settings) { s.TotalBytes = int64(one.Bytes()) }, func(r *rig) {
		r.assign(fresh(p0), fresh(p1))
		settle()
		r.faults.set("decode", errDown)
		if !r.src.h.Deliver(fetch(p0, record(0, 'a', 1))) {
			t.Error("the total is spent, yet partition 0 stays open")
		}
		if r.src.h.Deliver(fetch(p1)) {
			t.Error("a lane that holds nothing is paused: nothing would reopen it")
		}
		if !r.src.h.Deliver(fetch(p1, record(0, 'b', 1))) {
			t.Error("the total is spent, yet partition 1 stays open")
		}
		r.faults.set("decode", nil)
		time.Sleep(time.Minute)
		for range 2 {
			if got := <-r.src.resumed; got.at != sources.KeepPosition {
				t.Errorf("resumed %+v", got)
			}
		}
		r.wantCommit(p0, 1)
		r.wantCommit(p1, 1)
	})
}

// Bytes come back before the slot does; whoever holds all slots counts on it.
func TestALaneThatStopsHoldsNoBytes(t *testing.T) {
	run(t, func(s *Settings) { s.MaxRows, s.InFlight = 1, 2 }, func(r *rig) {
		r.assign(fresh(p0))
		for i := range int64(20) {
			r.src.h.Deliver(fetch(p0, record(i, 'a', 1)))
		}
		r.src.h.Deliver(sources.Fetch{Partition: p0, Err: errDown})
		r.recover(100)
		time.Sleep(10 * time.Second)
		if used, s := r.p.budget.used.Load(), r.p.Snapshot()[0]; used != 0 || s.BufferedBytes != 0 || s.Next != 100 {
			t.Errorf("%d bytes are charged, lane %+v", used, s)
		}
	})
}

func TestADecoderThatCanSayNothingIsAskedAgain(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.faults.set("decode", errDown)
		r.src.h.Deliver(fetch(p0, record(0, 'a', 1), record(1, '!', 1)))
		time.Sleep(time.Hour)
		r.wantCommit(p0, 0)
		if !r.saw("failed decode") || len(r.store.Letters()) != 0 {
			t.Errorf("events %v, letters %v", r.events, r.store.Letters())
		}
		r.faults.set("decode", nil)
		settle()
		time.Sleep(10 * time.Second)
		r.wantCommit(p0, 2)
		if !r.saw("recovered decode") || r.records != 2 {
			t.Errorf("events %v, %d records", r.events, r.records)
		}
	})
}

// One goroutine takes, decodes, transforms, encodes and coalesces: none of it
// allocates once buffers have their size.
func TestFillAllocatesNothingInSteadyState(t *testing.T) {
	t.Run("alone", func(t *testing.T) { fillsWithoutAllocations(t, benchSettings()) })
	t.Run("with a changelog", func(t *testing.T) {
		s := benchSettings()
		s.Changes, s.Routes[0].Views[0].Changes = dropChanges{}, true
		fillsWithoutAllocations(t, s)
	})
}

func fillsWithoutAllocations(t *testing.T, settings Settings) {
	t.Helper()
	p, err := New(settings)
	if err != nil {
		t.Fatal(err)
	}
	defer p.cut()
	l := newLane(p, &p.s.Routes[0], fresh(p0))
	const records, rounds = 512, 20
	batch := fetch(p0)
	for i := range int64(records) {
		batch.Records = append(batch.Records, record(i, byte(i%200)+40, 10))
	}
	fetches := make([]sources.Fetch, 2*rounds+10)
	for i := range fetches {
		fetches[i] = fetch(p0, slices.Clone(batch.Records)...)
		for j := range fetches[i].Records {
			fetches[i].Records[j].Offset += int64(i * records)
		}
	}
	s, next := <-l.slots, 0
	allocs := testing.AllocsPerRun(rounds, func() {
		l.deliver(fetches[next])
		next++
		if _, ok := l.fill(s); !ok {
			t.Fatal("nothing was taken")
		}
		l.mu.tracker.finish(s.id, false)
		l.release(s.bytes)
	})
	if allocs > 2 && !raceEnabled { // the queue, now and then
		t.Errorf("%.0f allocations for %d records", allocs, records)
	}
}
