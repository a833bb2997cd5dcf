package replay

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sources"
)

// trip is what the oracle knows of one record.
type trip struct {
	driver         int // 0 is null: nothing can be made of it
	fare, code     string
	event          int64
	partition      int32
	offset, record int64
}

func (r *trip) value() []byte {
	driver := "null"
	if r.driver > 0 {
		driver = fmt.Sprint(r.driver)
	}
	return fmt.Appendf(nil, `{"driver_id":%s,"fare":%s,"code":%q,"at":%d}`, driver, r.fare, r.code, r.event)
}

// newer is the order of rows written a second time: all have revision 1,
// because version 1 refused or stored them.
func (r *trip) newer(o *trip) bool {
	if r.event != o.event {
		return r.event > o.event
	}
	return r.record > o.record // distinct
}

func drawTrips(t *rapid.T) []trip {
	n := rapid.IntRange(1, 60).Draw(t, "records")
	all := make([]trip, n)
	for i := range all {
		all[i] = trip{
			driver: rapid.IntRange(0, 4).Draw(t, "driver"),
			fare:   rapid.SampledFrom([]string{"5", "5.5"}).Draw(t, "fare"),
			code:   rapid.SampledFrom([]string{"7", "seven", "none"}).Draw(t, "code"),
			event:  base + rapid.Int64Range(0, 3).Draw(t, "event"), partition: int32(i % 2), offset: int64(i / 2),
			record: base + 1000 + int64(i*37%61)*10, // distinct: 61 is a prime beyond n
		}
	}
	return all
}

func records(all []trip, partition int32) []sources.Record {
	var recs []sources.Record
	for i := range all {
		if r := &all[i]; r.partition == partition {
			recs = append(recs, sources.Record{Value: r.value(), Offset: r.offset, TimeMillis: r.record})
		}
	}
	return recs
}

// wanted is the newest record per cell, once everything is replayed.
func wanted(all []trip) map[string]*trip {
	want := make(map[string]*trip)
	for i := range all {
		r := &all[i]
		if r.driver == 0 {
			continue
		}
		for _, view := range []string{"codes", "fares"} {
			if view == "codes" && r.code == "none" {
				continue
			}
			cell := fmt.Sprint(view, "@1/", r.driver)
			if old := want[cell]; old == nil || r.newer(old) {
				want[cell] = r
			}
		}
	}
	return want
}

func checkRows(t tester, store *memory.Store, all []trip) {
	t.Helper()
	want := wanted(all)
	got := store.Rows()
	if len(got) != len(want) {
		t.Fatalf("%d cells, want %d", len(got), len(want))
	}
	for _, row := range got {
		w := want[row.View+"/"+row.Key]
		s := feature.Sequence(row.Value[:feature.SequenceBytes])
		if w == nil || row.Stamp != w.event*1000 || s.Offset() != w.offset || s.RecordMillis() != w.record || s.Revision() != 1 {
			t.Fatalf("cell %s/%s is of offset %d, record time %d, revision %d, want %+v", row.View, row.Key, s.Offset(), s.RecordMillis(), s.Revision(), w)
		}
	}
}

// A replay that is killed at any call of the store, any number of times, with
// lanes writing letters again in between, ends in the right store, and what
// cannot be used is still a letter, once per view.
func TestKilledAnywhereItEndsInTheRightStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store, all := new(memory.Store), drawTrips(t)
		v1, v2 := catalog(t, 1, broken), catalog(t, 2, fixed)
		for p := range int32(2) {
			ingest(t, store, v1, p, records(all, p))
		}
		kills := rapid.SliceOfN(rapid.IntRange(0, 60), 0, 6).Draw(t, "kills")
		for _, at := range append(kills, -1) {
			k := &killer{Store: store, left: at, after: rapid.Bool().Draw(t, "after")}
			s := settings(k, v1, v2)
			s.MaxAttempts = 100
			_, err := Run(context.Background(), s, sinks.LetterFilter{Source: "trips"})
			if len(k.faults) > 0 {
				t.Fatalf("%v", k.faults)
			}
			if err != nil && !errors.Is(err, errKilled) || at < 0 && err != nil {
				t.Fatalf("run: %v", err)
			}
			if rapid.Bool().Draw(t, "read again") {
				ingest(t, store, v1, 0, records(all, 0))
			}
		}
		checkRows(t, store, all)
		stubborn := 0
		for i := range all {
			if r := &all[i]; r.driver == 0 {
				stubborn++ // fares
				if r.code != "none" {
					stubborn++
				}
			}
		}
		left := store.Letters()
		if len(left) != stubborn {
			t.Fatalf("%d letters are left, want %d", len(left), stubborn)
		}
		for i := range left {
			if l := &left[i]; l.Reason != feature.ReasonNullKey || l.Attempts > len(kills)+1 || l.View == "" {
				t.Fatalf("letter left: %+v", l)
			}
		}
	})
}

// fill ingests n records that only version 2 can use, and one that none can.
func fill(t *testing.T, n int) (*memory.Store, []trip, Settings) {
	t.Helper()
	store := new(memory.Store)
	var all []trip
	for i := range n {
		all = append(all, trip{driver: i%7 + 1, fare: "5", code: "seven", event: base + int64(i*31%n), offset: int64(i), record: base + 1000 + int64(i)})
	}
	all = append(all, trip{fare: "5", code: "none", event: base, offset: int64(n), record: base + 1000})
	v1, v2 := catalog(t, 1, broken), catalog(t, 2, fixed)
	ingest(t, store, v1, 0, records(all, 0))
	return store, all, settings(store, v1, v2)
}

func replay(t *testing.T, s Settings, f sinks.LetterFilter) Result {
	t.Helper()
	f.Source = "trips"
	r, err := Run(t.Context(), s, f)
	if err != nil {
		t.Fatal(err)
	}
	return *r
}

func TestResultSaysWhatBecameOfThem(t *testing.T) {
	store, all, s := fill(t, 2500) // more than two chunks
	dry := s
	dry.DryRun = true
	before := store.Letters()
	want := Result{Letters: 2501, Stored: 2500, RefusedAgain: 1, Reasons: map[feature.Reason]int{feature.ReasonNullKey: 1}, DryRun: true}
	if got := replay(t, dry, sinks.LetterFilter{}); !reflect.DeepEqual(got, want) {
		t.Errorf("dry run: %+v, want %+v", got, want)
	}
	if after := store.Letters(); !reflect.DeepEqual(after, before) {
		t.Error("a dry run changes letters")
	}
	if got := replay(t, s, sinks.LetterFilter{Limit: 10}); got.Letters != 10 {
		t.Errorf("limited: %+v", got)
	}
	want.DryRun, want.Letters, want.Stored = false, 2491, 2490
	if got := replay(t, s, sinks.LetterFilter{}); !reflect.DeepEqual(got, want) {
		t.Errorf("replay: %+v, want %+v", got, want)
	}
	checkRows(t, store, all)
}

func TestNoLetterIsTriedForEver(t *testing.T) {
	store, _, s := fill(t, 0)
	for i := range DefaultMaxAttempts {
		if got := replay(t, s, sinks.LetterFilter{}); got.RefusedAgain != 1 {
			t.Errorf("replay %d: %+v", i+1, got)
		}
	}
	if got := replay(t, s, sinks.LetterFilter{}); got.Exhausted != 1 || got.Letters != 0 {
		t.Errorf("after %d attempts: %+v", DefaultMaxAttempts, got)
	}
	s.MaxAttempts = DefaultMaxAttempts + 1
	if got := replay(t, s, sinks.LetterFilter{}); got.Letters != 1 {
		t.Errorf("with one more allowed: %+v", got)
	}
	if l := store.Letters()[0]; l.Attempts != DefaultMaxAttempts+1 {
		t.Errorf("%d attempts", l.Attempts)
	}
}

func TestTruncatedLettersAreLeftAlone(t *testing.T) {
	store, _, s := fill(t, 3)
	l := store.Letters()[0]
	l.Truncated = true
	if err := store.Put(t.Context(), []sinks.Letter{l}); err != nil {
		t.Fatal(err)
	}
	if got := replay(t, s, sinks.LetterFilter{}); got.Truncated != 1 || got.Stored != 2 {
		t.Errorf("%+v", got)
	}
}

func TestAViewThatIsGoneLeavesItsLetters(t *testing.T) {
	store, _, s := fill(t, 3)
	c, err := s.Catalog(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Routes[0].Views = c.Routes[0].Views[1:] // only fares
	if got := replay(t, s, sinks.LetterFilter{View: "codes"}); got.NoView != 3 || got.Stored != 0 {
		t.Errorf("%+v", got)
	}
	if n := len(store.Letters()); n != 4 {
		t.Errorf("%d letters are left, want 4", n)
	}
}

// Two at once: the one that began first stops at its next step.
func TestTheLaterReplayTakesOver(t *testing.T) {
	store, all, s := fill(t, 1500)
	first := s
	begun := false
	first.Progress = func(*Result) {
		if !begun {
			begun = true
			replay(t, s, sinks.LetterFilter{})
		}
	}
	if _, err := Run(t.Context(), first, sinks.LetterFilter{Source: "trips"}); !errors.Is(err, ErrTakenOver) {
		t.Errorf("the first ends with %v", err)
	}
	checkRows(t, store, all)
}

// A row that version 2 stored meanwhile is of the same event time as a letter
// of version 1: the letter's row must lose, though it is written by version 2.
func TestALetterDoesNotBeatNewerRows(t *testing.T) {
	store, _, s := fill(t, 0)
	v1, v2 := catalog(t, 1, broken), catalog(t, 2, fixed)
	old := trip{driver: 9, fare: "5.5", code: "seven", event: base, offset: 20, record: base + 5}
	young := trip{driver: 9, fare: "5.5", code: "8", event: base, offset: 21, record: base + 6}
	ingest(t, store, v1, 0, records([]trip{old}, 0))
	ingest(t, store, v2, 0, records([]trip{young}, 0))
	replay(t, s, sinks.LetterFilter{})
	for _, row := range store.Rows() {
		if q := feature.Sequence(row.Value[:feature.SequenceBytes]); row.Key == "9" && (q.Offset() != 21 || q.Revision() != 2) {
			t.Errorf("%s is of offset %d, revision %d", row.View, q.Offset(), q.Revision())
		}
	}
}

// manyDecoder makes a row of each byte of a record, as unnest does.
type manyDecoder struct{}

func (manyDecoder) Decode(_ context.Context, dst *feature.Batch, recs []sources.Record) error {
	for i := range recs {
		for e, b := range recs[i].Value {
			at := dst.AppendRow(feature.Origin{Offset: recs[i].Offset, RecordMillis: recs[i].TimeMillis, EventMicros: base * 1000, Record: int32(i), Element: int32(e)})
			for c := range dst.Fields {
				switch dst.Fields[c].Name {
				case "driver_id", "fare":
					dst.Columns[c].SetInt(at, int64(b-'0'))
				case "code":
					dst.Columns[c].SetString(at, "1")
				}
			}
		}
	}
	return nil
}

// Of a record of many elements only the refused one is applied: the others had
// their end when they arrived.
func TestOnlyTheRefusedElementIsApplied(t *testing.T) {
	store := new(memory.Store)
	c := catalog(t, 1, broken)
	c.Routes[0].Shapes[0].NewDecoder = func() sources.Decoder { return manyDecoder{} }
	l := sinks.Letter{
		LetterID: sinks.LetterID{Source: "trips", Element: 2, View: "fares"},
		Topic:    "trips", RecordMillis: base, RecordValue: []byte("1234"), Revision: 1, CatalogVersion: 1,
	}
	if err := store.Put(t.Context(), []sinks.Letter{l}); err != nil {
		t.Fatal(err)
	}
	replay(t, settings(store, c), sinks.LetterFilter{})
	rows := store.Rows()
	if len(rows) != 1 || rows[0].Key != "3" {
		t.Errorf("%d rows: %+v", len(rows), rows)
	}
	if len(store.Letters()) != 0 {
		t.Error("the letter is left")
	}
}
