package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/sources"
)

// flatDecoder reads records of which the format is "=" and then the key.
type flatDecoder struct{ inner sources.Decoder }

func (d flatDecoder) Decode(ctx context.Context, dst *feature.Batch, recs []sources.Record) error {
	own := slices.Clone(recs)
	for i := range own {
		own[i].Value = own[i].Value[1:]
	}
	return d.inner.Decode(ctx, dst, own)
}

// pickyDecoder refuses one more letter than others do.
type pickyDecoder struct{ inner sources.Decoder }

func (d pickyDecoder) Decode(ctx context.Context, dst *feature.Batch, recs []sources.Record) error {
	own := slices.Clone(recs)
	for i := range own {
		if own[i].Value[0] == '%' {
			own[i].Value = []byte("!")
		}
	}
	return d.inner.Decode(ctx, dst, own)
}

// orderTransformer notes the offsets of the rows that a view gets.
type orderTransformer struct {
	Transformer
	offsets *[]int64
}

func (o orderTransformer) Apply(in *feature.Batch, now int64, out *feature.Rows) {
	for i := range in.Origins {
		*o.offsets = append(*o.offsets, in.Origins[i].Offset)
	}
	o.Transformer.Apply(in, now, out)
}

// pushedSource can be pushed to, feeds view v in one shape and w in another
// that refuses more, and collects what became of rows.
func pushedSource(got map[string]*ViewEnds, offsets *[2][]int64) func(*Settings) {
	return func(s *Settings) {
		twoViews(got)(s)
		r := &s.Routes[0]
		r.Pushed = true
		plain := func() sources.Decoder { return fakeDecoder{new(faults)} }
		picky := func() sources.Decoder { return pickyDecoder{plain()} }
		r.Shapes = []Shape{
			{Fields: keyField, NewDecoder: plain, NewFields: func() sources.Decoder { return flatDecoder{plain()} }},
			{Fields: keyField, NewDecoder: picky, NewFields: func() sources.Decoder { return flatDecoder{picky()} }},
		}
		for i := range r.Views {
			r.Views[i].Shape = i
			transformer := r.Views[i].NewTransformer
			r.Views[i].NewTransformer = func() Transformer { return orderTransformer{transformer(), &offsets[i]} }
		}
	}
}

const format, to = sources.HeaderFormat, sources.HeaderTo

func flat(offset int64, key byte, at int64, headers ...string) sources.Record {
	r := headed(offset, key, at, append([]string{format, sources.FormatFields}, headers...)...)
	r.Value = append([]byte("="), r.Value...)
	return r
}

// TestPushedRecordsInOneBatch mixes what may be said of records in one
// micro-batch: each goes where it belongs, in its place, and is counted there.
func TestPushedRecordsInOneBatch(t *testing.T) {
	got, offsets := make(map[string]*ViewEnds), new([2][]int64)
	run(t, pushedSource(got, offsets), func(r *rig) {
		r.assign(fresh(p0))
		settle()
		r.src.h.Deliver(fetch(p0,
			flat(0, 'a', 5), record(1, 'a', 6), flat(2, 'a', 7), // for both
			flat(3, 'b', 1, named, "v"), headed(4, 'b', 2, named, "w"),
			flat(5, 'c', 1, to, "offline"), headed(6, 'c', 1, to, "offline", named, "w"),
			flat(7, 'd', 1, to, "online_and_offline"),
			headed(8, 'x', 1, format, "csv"), headed(9, 'x', 1, to, "moon"), flat(10, 'x', 1, named, "nope"),
			flat(11, '!', 1), flat(12, '!', 1, named, "v"), headed(13, '!', 1, named, "w"), // refused in both shapes
			flat(14, '%', 1), flat(15, '%', 1, named, "v"), flat(16, '%', 1, named, "w"), // in one
			flat(17, '?', 1, named, "v"), flat(18, '~', 1, named, "w"),
			flat(19, 'e', 9, flag, "false", named, "w"),
		))
		settle()
		for view, want := range map[string]ViewEnds{
			// Both: 0, 1, 2, 7, 14 and of refused ones 8, 9, 10, 11.
			"v": {Received: 14, Stored: 7, Superseded: 3, Filtered: 2, DeadLettered: 5}, // 3 and 15; 5 and 17; 12
			"w": {Received: 16, Stored: 6, Superseded: 2, Filtered: 2, DeadLettered: 8}, // 4 and 19; 5 and 6; 13, 14, 16, 18
		} {
			if e := got[view]; fmt.Sprint(*e) != fmt.Sprint(want) {
				t.Errorf("view %s: %+v, want %+v", view, *e, want)
			}
		}
		if want := [2][]int64{{0, 1, 2, 3, 7, 14, 15, 17}, {0, 1, 2, 4, 7, 18}}; fmt.Sprint(*offsets) != fmt.Sprint(want) {
			t.Errorf("views got offsets %v, want %v", *offsets, want)
		}
		var letters []string
		for _, l := range r.store.Letters() {
			letters = append(letters, fmt.Sprintf("%02d %s %q %s", l.Offset, l.RecordValue, l.View, l.Reason))
		}
		slices.Sort(letters)
		want := []string{
			`08 x "" bad_flag`, `09 x "" bad_flag`, `10 =x "" unknown_view`,
			`11 =! "" malformed`, `12 =! "v" malformed`, `13 ! "w" malformed`,
			`14 =% "w" malformed`, `16 =% "w" malformed`, `18 =~ "w" expression`,
		}
		if !slices.Equal(letters, want) {
			t.Errorf("letters\n%q, want\n%q", letters, want)
		}
		r.wantCommit(p0, 20)
	})
}

// TestBatchBoundariesChangeNothingForPushedRecords takes the same random
// records in at once and one by one.
func TestBatchBoundariesChangeNothingForPushedRecords(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	said := [][]string{nil, {named, "v"}, {named, "w"}, {to, "offline"}, {flag, "false", named, "v"}, {format, "x"}, {to, "online", named, "w"}}
	for range 40 {
		var recs []sources.Record
		for i := range int64(1 + r.IntN(30)) {
			headers := said[r.IntN(len(said))]
			key := "abc!%?~"[r.IntN(7)]
			if r.IntN(2) == 0 && !slices.Contains(headers, flag) {
				recs = append(recs, flat(i, key, int64(r.IntN(4)), headers...))
			} else {
				recs = append(recs, headed(i, key, int64(r.IntN(4)), headers...))
			}
		}
		outcome := func(fetches ...sources.Fetch) string {
			got, offsets := make(map[string]*ViewEnds), new([2][]int64)
			var text strings.Builder
			run(t, pushedSource(got, offsets), func(r *rig) {
				r.assign(fresh(p0))
				settle()
				for _, f := range fetches {
					r.src.h.Deliver(f)
					settle()
				}
				for _, view := range []string{"v", "w"} {
					e := *got[view]
					if e.Received != e.Stored+e.Filtered+e.DeadLettered {
						t.Errorf("view %s does not add up: %+v", view, e)
					}
					e.Superseded = 0 // by a row of the same batch
					fmt.Fprintf(&text, "%s %+v\n", view, e)
				}
				fmt.Fprintln(&text, *offsets)
				for _, row := range r.store.Rows() {
					fmt.Fprintln(&text, row.View, row.Key, row.Stamp, row.Value)
				}
				for _, l := range r.store.Letters() {
					fmt.Fprintln(&text, l.LetterID, l.Reason, l.Message)
				}
			})
			return text.String()
		}
		single := make([]sources.Fetch, len(recs))
		for i := range recs {
			single[i] = fetch(p0, recs[i])
		}
		if one, many := outcome(fetch(p0, slices.Clone(recs)...)), outcome(single...); one != many {
			t.Fatalf("in one batch\n%s\none by one\n%s", one, many)
		}
	}
}

// TestAPushedSourceNeedsItsDecoder says at once what wiring forgot.
func TestAPushedSourceNeedsItsDecoder(t *testing.T) {
	s := benchSettings()
	s.Routes[0].Pushed = true
	if _, err := New(s); err == nil || !strings.Contains(err.Error(), "decoder of pushed rows") {
		t.Errorf("error %v", err)
	}
}
