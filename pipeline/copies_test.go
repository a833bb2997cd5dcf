package pipeline

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sources"
	"millrace/transforms/window"
)

// letterKeys takes the row's one column for its key; '?' has none.
type letterKeys struct{}

func (letterKeys) Keys(in *feature.Batch) []string {
	keys := make([]string, in.Rows())
	for i := range keys {
		if keys[i] = in.Columns[0].Strings[i]; keys[i] == "?" {
			keys[i] = ""
		}
	}
	return keys
}

// copying makes the rig's source one of copies, with a row per letter.
func copying(got map[string]*ViewEnds) func(*Settings) {
	return func(s *Settings) {
		twoViews(got)(s)
		r := &s.Routes[0]
		r.Source = "trips/v"
		r.Views = r.Views[:1]
		r.Elsewhere = []string{"w"}
		r.Shapes[0].NewDecoder = func() sources.Decoder { return lettersDecoder{} }
		keyer := func() Keyer { return letterKeys{} }
		r.Copies = &Copies{NewKeyer: keyer, NewFinishedKeyer: keyer}
	}
}

// copyAt is a copy at an offset of the lane's partition, made of a record with
// these letters that lay elsewhere.
func copyAt(offset int64, entity, letters string, c sources.Copy, own ...sources.Header) sources.Record {
	c.Partition = sources.Partition{Topic: "raw", Number: 7}
	if c.Offset == 0 {
		c.Offset = 1000 + offset
	}
	c.TimeMillis, c.Key = 5, []byte("raw key")
	return sources.Record{Key: []byte(entity), Value: []byte(letters), Headers: c.Pack(own), Offset: offset, TimeMillis: 99_000_000}
}

var alone = sources.Copy{First: true}

// TestRowsOfCopiesHaveOneEnd: each lies where its key's copy is, whatever else
// its record holds; what has no key, and what is refused, is the first copy's.
func TestRowsOfCopiesHaveOneEnd(t *testing.T) {
	got := make(map[string]*ViewEnds)
	run(t, copying(got), func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.src.h.Deliver(fetch(p0,
			copyAt(0, "a", "ab~?!", sources.Copy{First: true, Offset: 1000, Others: []string{"b", "~"}}),
			copyAt(2, "b", "ab~?!", sources.Copy{Offset: 1000}),
			copyAt(3, "~", "ab~?!", sources.Copy{Offset: 1000}),
			copyAt(5, "raw/7/1005", "!", alone),
			copyAt(6, "raw/7/1006", "c", alone), // its key was not known when it was copied
			copyAt(7, "d", "de", sources.Copy{First: true}),
			copyAt(8, "x", "y", sources.Copy{}), // no row has its key any more
			record(9, 'z', 5),                   // nobody made this one
		))
		settle()
		// a, b, ~, ? and ! of the first record, ! and c, d and e, z.
		if want := (ViewEnds{Received: 10, Stored: 5, Filtered: 1, DeadLettered: 4}); fmt.Sprint(*got["v"]) != fmt.Sprint(want) {
			t.Errorf("%+v, want %+v", *got["v"], want)
		}
		want := []string{`1000/2 "v" expression`, `1000/4 "" malformed`, `1005/-1 "" malformed`, `9/-1 "" malformed`}
		if letters := r.letters(); !slices.Equal(letters, want) {
			t.Errorf("letters %q, want %q", letters, want)
		}
		r.wantCommit(p0, 10)
	})
}

// TestLettersOfCopiesShowTheRecord and are kept under the copy's place, so that
// a copy that is read again writes the same letter.
func TestLettersOfCopiesShowTheRecord(t *testing.T) {
	run(t, copying(make(map[string]*ViewEnds)), func(r *rig) {
		r.assign(fresh(p0))
		settle()
		trace := sources.Header{Key: "trace", Value: []byte("1")}
		r.src.h.Deliver(fetch(p0, copyAt(4, "~", "~", alone, trace)))
		settle()
		l := r.store.Letters()[0]
		if l.Source != "trips/v" || l.Partition != p0.Number || l.Position != 4 || l.Topic != "raw" || l.Offset != 1004 || l.RecordMillis != 5 || string(l.RecordKey) != "raw key" {
			t.Errorf("letter %+v", l)
		}
		if len(l.Headers) != 2 || l.Headers[0].Key != "trace" || l.Headers[1].Key != sources.HeaderOriginal || string(l.Headers[1].Value) != "raw/7/1004/5" {
			t.Errorf("headers %q", l.Headers)
		}
	})
}

// TestRowsForOtherRoutesAreNotOurs, and unnamed ones are for nobody
// where the source has several views, though the route has one.
func TestRowsForOtherRoutesAreNotOurs(t *testing.T) {
	r := &Route{Views: []RouteView{fakeView(&feature.View{Name: "v"})}, Elsewhere: []string{"w"}}
	for _, c := range []struct {
		headers []string
		view    int
		want    wrong
	}{
		{[]string{flag, "false", named, "v"}, 0, fits},
		{[]string{flag, "false", named, "w"}, Elsewhere, fits},
		{[]string{flag, "false", named, "x"}, EveryView, viewUnknown},
		{[]string{flag, "false"}, 0, viewUnnamed},
		{[]string{named, "w"}, Elsewhere, fits},
		{[]string{named, "v"}, EveryView, fits},
		{nil, EveryView, fits},
	} {
		rec := headed(0, 'a', 0, c.headers...)
		if got, w := r.courseOf(&rec); got.View != c.view || w != c.want {
			t.Errorf("headers %q: view %d, wrong %d, want %d, %d", c.headers, got.View, w, c.view, c.want)
		}
	}
	got := make(map[string]*ViewEnds)
	run(t, func(s *Settings) {
		twoViews(got)(s)
		s.Routes[0].Views = s.Routes[0].Views[:1]
		s.Routes[0].Elsewhere = []string{"w"}
	}, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.src.h.Deliver(fetch(p0, record(0, 'a', 5), headed(1, 'b', 5, flag, "false", named, "w"),
			headed(2, 'c', 5, flag, "false", named, "v"), headed(3, 'd', 5, named, "w")))
		settle()
		if want := (ViewEnds{Received: 2, Stored: 2}); fmt.Sprint(*got["v"]) != fmt.Sprint(want) {
			t.Errorf("%+v, want %+v", *got["v"], want)
		}
		r.wantCommit(p0, 4)
	})
}

// TestHeadersOfCopiesMeanNothingElsewhere: anybody may write them to a topic of
// their own.
func TestHeadersOfCopiesMeanNothingElsewhere(t *testing.T) {
	run(t, nil, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.src.h.Deliver(fetch(p0, copyAt(3, "b", "~", sources.Copy{})))
		settle()
		if l := r.store.Letters(); len(l) != 1 || l[0].Offset != 3 || l[0].Topic != "trips" || l[0].RecordMillis != 99_000_000 || string(l[0].RecordKey) != "b" {
			t.Errorf("letters %+v", l)
		}
	})
}

func TestARouteOfCopiesHasOneView(t *testing.T) {
	s := benchSettings()
	s.Routes[0].Copies = &Copies{}
	s.Routes[0].Views = append(s.Routes[0].Views, s.Routes[0].Views[0])
	if _, err := New(s); err == nil {
		t.Error("two are taken")
	}
}

// TestTilesOfCopiesAreFencedByCopies while rows keep their record's place: the
// offsets of records of many partitions, one behind the other, go up and down.
func TestTilesOfCopiesAreFencedByCopies(t *testing.T) {
	change := func(s *Settings) {
		copying(make(map[string]*ViewEnds))(s)
		store := s.Sink.(*memory.Store)
		s.Tiles, s.Sinces, s.Routes[0].Views = store, sinks.NewSinces(store), []RouteView{simView()}
	}
	run(t, change, func(r *rig) {
		r.assign(fresh(p0))
		settle()
		for i, record := range []int64{1000, 3, 500} {
			r.src.h.Deliver(fetch(p0, copyAt(int64(14+i), "a", "a", sources.Copy{First: true, Offset: record})))
			settle()
		}
		// Read again from where it began, as after a crash: nothing is new.
		r.src.revoke(p0)
		r.assign(fresh(p0))
		settle()
		r.src.h.Deliver(fetch(p0, copyAt(15, "a", "a", sources.Copy{First: true, Offset: 3})))
		settle()
		counts := 0
		for _, tile := range r.store.Tiles() {
			state := decodeTile(&tile)
			if tile.Source != p0.Number || state.Fence.Next != 17 {
				t.Errorf("tile of source partition %d, fence %+v", tile.Source, state.Fence)
			}
			for i, a := range shapeOf(&tile.TileID).Aggregates {
				if a.Spec.Kind != window.KindCount {
					continue
				}
				var c feature.Column
				c.Reset(feature.Of(feature.KindInt64))
				c.AppendNull()
				state.Finalize(i, &c, 0)
				if counts++; c.Ints[0] != 3 {
					t.Errorf("a tile of hop %d s counts %d, want 3", tile.HopSeconds, c.Ints[0])
				}
			}
		}
		if counts != 2 {
			t.Errorf("%d counts are stored, want 2", counts)
		}
		if rows := r.store.Rows(); len(rows) != 1 || binary.BigEndian.Uint32(rows[0].Value[feature.SequenceBytes:]) != 7 {
			t.Errorf("rows %+v, want one of the record's partition", rows)
		}
	})
}
