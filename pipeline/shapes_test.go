package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"millrace/feature"
	"millrace/sources"
)

// lettersDecoder makes a row of each letter of a value. One that begins with !
// it refuses whole, and an element that is !; - is no element.
type lettersDecoder struct{}

func (lettersDecoder) Decode(_ context.Context, dst *feature.Batch, recs []sources.Record) error {
	for i := range recs {
		for e, letter := range bytes.TrimSuffix(recs[i].Value, []byte("-")) {
			row := dst.AppendRow(feature.Origin{
				Offset: recs[i].Offset, RecordMillis: recs[i].TimeMillis, EventMicros: recs[i].TimeMillis * 1000, Record: int32(i), Element: int32(e),
			})
			dst.Columns[0].SetString(row, dst.Arena.Copy([]byte{letter}))
			if letter == '!' {
				dst.RejectLast(feature.StageDecode, feature.ReasonMalformed, "malformed")
			}
			if letter == '!' && e == 0 {
				break
			}
		}
	}
	return nil
}

// unnesting adds to the source's view v, of records, w and x of their elements;
// alone means that there is no view of records.
func unnesting(got map[string]*ViewEnds, alone bool) func(*Settings) {
	return func(s *Settings) {
		twoViews(got)(s)
		r := &s.Routes[0]
		letters := Shape{Fields: keyField, NewDecoder: func() sources.Decoder { return lettersDecoder{} }}
		r.Views = append(r.Views, fakeView(&feature.View{Name: "x", Entity: "e", Revision: 3}))
		if alone {
			r.Shapes, r.Views = []Shape{letters}, r.Views[1:]
			return
		}
		r.Shapes = append(r.Shapes, letters)
		r.Views[1].Shape, r.Views[2].Shape = 1, 1
	}
}

func word(offset int64, letters string) sources.Record {
	return sources.Record{Offset: offset, TimeMillis: 5, Value: []byte(letters)}
}

func (r *rig) letters() []string {
	var letters []string
	for _, l := range r.store.Letters() {
		letters = append(letters, fmt.Sprintf("%d/%d %q %s", l.Offset, l.Element, l.View, l.Reason))
	}
	slices.Sort(letters)
	return letters
}

// TestEveryElementHasOneEnd in each view of elements, and every record one in
// each view of records. What no shape can read is one letter for all views.
func TestEveryElementHasOneEnd(t *testing.T) {
	got := make(map[string]*ViewEnds)
	run(t, unnesting(got, false), func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.src.h.Deliver(fetch(p0,
			word(0, "ab!"), // one element is poison
			word(1, "c~?"),
			word(2, "!"), // nobody can read it
			word(3, "-"), // no elements
			headed(4, 'z', 5, flag, "no"),
			headed(5, 'd', 5, flag, "false", named, "w"), // finished: one row, as ever
		))
		settle()
		for view, want := range map[string]ViewEnds{
			"v": {Received: 5, Stored: 3, DeadLettered: 2},
			"w": {Received: 9, Stored: 4, Filtered: 1, DeadLettered: 4},
			"x": {Received: 8, Stored: 3, Filtered: 1, DeadLettered: 4},
		} {
			if e := got[view]; fmt.Sprint(*e) != fmt.Sprint(want) {
				t.Errorf("view %s: %+v, want %+v", view, *e, want)
			}
		}
		want := []string{`0/2 "w" malformed`, `0/2 "x" malformed`, `1/1 "w" expression`, `1/1 "x" expression`, `2/-1 "" malformed`, `4/-1 "" bad_flag`}
		if letters := r.letters(); !slices.Equal(letters, want) {
			t.Errorf("letters\n%q, want\n%q", letters, want)
		}
		r.wantCommit(p0, 6)
	})
}

// TestViewsOfElementsAlone: with one shape a refused element is refused for no
// view in particular.
func TestViewsOfElementsAlone(t *testing.T) {
	got := make(map[string]*ViewEnds)
	run(t, unnesting(got, true), func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.src.h.Deliver(fetch(p0, word(0, "a!b"), word(1, "!"), word(2, "c")))
		settle()
		for _, view := range []string{"w", "x"} {
			if want := (ViewEnds{Received: 5, Stored: 3, DeadLettered: 2}); fmt.Sprint(*got[view]) != fmt.Sprint(want) {
				t.Errorf("view %s: %+v, want %+v", view, *got[view], want)
			}
		}
		if letters, want := r.letters(), []string{`0/1 "" malformed`, `1/-1 "" malformed`}; !slices.Equal(letters, want) {
			t.Errorf("letters\n%q, want\n%q", letters, want)
		}
	})
}

// TestTheLaterElementWins where two of a record have one key.
func TestTheLaterElementWins(t *testing.T) {
	got := make(map[string]*ViewEnds)
	run(t, unnesting(got, false), func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.src.h.Deliver(fetch(p0, word(0, "abab"), word(1, "a")))
		settle()
		if e := got["w"]; e.Stored != 5 || e.Superseded != 3 {
			t.Errorf("view w: %+v", *e)
		}
		elements := make(map[string]string)
		for _, row := range r.store.Rows() {
			seq := feature.Sequence(row.Value[:feature.SequenceBytes])
			elements[row.View+" "+row.Key] = fmt.Sprintf("%d/%d", seq.Offset(), seq.Element())
		}
		want := map[string]string{"v abab": "0/0", "v a": "1/0", "w a": "1/0", "w b": "0/3", "x a": "1/0", "x b": "0/3"}
		if fmt.Sprint(elements) != fmt.Sprint(want) {
			t.Errorf("rows %v, want %v", elements, want)
		}
	})
}

func TestAViewReadsAShapeThatThereIs(t *testing.T) {
	s := benchSettings()
	s.Routes[0].Views[0].Shape = 1
	if _, err := New(s); err == nil {
		t.Error("a view without a shape is accepted")
	}
}
