package rekey_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/pipeline"
	"millrace/pipeline/rekey"
	"millrace/sources"
)

var fields = []feature.Field{{Name: "key", Type: feature.Of(feature.KindString)}}

// letters decodes a row of each letter; '!' refuses the element.
type letters struct{ fail *error }

func (d letters) Decode(_ context.Context, dst *feature.Batch, recs []sources.Record) error {
	if *d.fail != nil {
		return *d.fail
	}
	for i := range recs {
		for e, l := range string(recs[i].Value) {
			row := dst.AppendRow(feature.Origin{Offset: recs[i].Offset, Record: int32(i), Element: int32(e)})
			dst.Columns[0].SetString(row, string(l))
			if l == '!' {
				dst.RejectLast(feature.StageDecode, feature.ReasonMalformed, "malformed")
			}
		}
	}
	return nil
}

// keys takes the letter for the key; '?' has none, finished rows' are in capitals.
type keys struct{ finished bool }

func (k keys) Keys(in *feature.Batch) []string {
	out := make([]string, in.Rows())
	for i := range out {
		out[i] = in.Columns[0].Strings[i]
		if out[i] == "?" {
			out[i] = ""
		} else if k.finished {
			out[i] = strings.ToUpper(out[i])
		}
	}
	return out
}

func maker(fail *error) *rekey.Maker {
	decoder := func() sources.Decoder { return letters{fail} }
	return rekey.New(&pipeline.Route{
		Source: "trips/v", Topic: "copies",
		Shapes:    []pipeline.Shape{{Fields: fields, NewDecoder: decoder}},
		Views:     []pipeline.RouteView{{View: &feature.View{Name: "v"}, Finished: pipeline.FinishedRows{Fields: fields, NewDecoder: decoder}}},
		Elsewhere: []string{"w"},
		Copies: &pipeline.Copies{
			NewKeyer:         func() pipeline.Keyer { return keys{} },
			NewFinishedKeyer: func() pipeline.Keyer { return keys{finished: true} },
		},
	})
}

var from = sources.Partition{Topic: "trips", Number: 3}

func rec(offset int64, value string, headers ...string) sources.Record {
	r := sources.Record{Key: []byte("raw"), Value: []byte(value), Offset: offset, TimeMillis: 50 + offset}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, sources.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r
}

// text shows copies: key, what they say, and the record's headers.
func text(t *testing.T, copies []sources.Record) []string {
	t.Helper()
	var all []string
	for i := range copies {
		r := copies[i]
		key := string(r.Key)
		c, err := sources.Unpack(&r)
		if err != nil {
			t.Fatal(err)
		}
		if c.Partition != from || c.TimeMillis != 50+c.Offset || string(r.Key) != "raw" {
			t.Errorf("copy %+v of record %+v", c, r)
		}
		line := fmt.Sprintf("%d %s", c.Offset, key)
		if c.First {
			line += fmt.Sprint(" first", c.Others)
		}
		all = append(all, fmt.Sprint(line, " ", len(r.Headers)))
	}
	return all
}

func TestCopiesOfRecords(t *testing.T) {
	var fail error
	m := maker(&fail)
	got, err := m.Copies(t.Context(), from, []sources.Record{
		rec(0, "a"),
		rec(1, "cab?c!", "trace", "1"),
		rec(2, "!"), // nothing can be read of it
		rec(3, "?"), // no row has a key
		rec(4, ""),  // no rows
		rec(5, "d", sources.HeaderTransformOnWrite, "false", sources.HeaderView, "v"),
		rec(6, "e", sources.HeaderTransformOnWrite, "false", sources.HeaderView, "w"), // of another view alone
		rec(7, "f", sources.HeaderTransformOnWrite, "maybe"),                          // refused by the lane
		rec(8, "g", sources.HeaderTransformOnWrite, "false"),                          // and so is one that names no view
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"0 a first[] 0",
		"1 c first[a b] 1", "1 a 1", "1 b 1",
		"2 trips/3/2 first[] 0", "3 trips/3/3 first[] 0", "4 trips/3/4 first[] 0",
		"5 D first[] 2",
		"7 trips/3/7 first[] 1", "8 trips/3/8 first[] 1",
	}
	if lines := text(t, got); !slices.Equal(lines, want) {
		t.Errorf("copies\n%q, want\n%q", lines, want)
	}
}

func TestNothingIsSaidWhenNothingCanBe(t *testing.T) {
	fail := errors.New("the registry is away")
	m := maker(&fail)
	before := []sources.Record{rec(9, "z")}
	got, err := m.Copies(t.Context(), from, []sources.Record{rec(0, "a")}, before)
	if !errors.Is(err, fail) || len(got) != 1 {
		t.Errorf("%d copies, %v", len(got), err)
	}
	fail = nil
	if got, err = m.Copies(t.Context(), from, []sources.Record{rec(0, "a")}, before); err != nil || len(got) != 2 {
		t.Errorf("%d copies, %v", len(got), err)
	}
}

// TestEveryRowBelongsToOneCopy of its record, whatever records come together.
func TestEveryRowBelongsToOneCopy(t *testing.T) {
	var fail error
	m := maker(&fail)
	rapid.Check(t, func(rt *rapid.T) {
		values := rapid.SliceOfN(rapid.StringMatching(`[abc?!]{0,5}`), 1, 6).Draw(rt, "values")
		var recs []sources.Record
		for i, v := range values {
			recs = append(recs, rec(int64(i), v))
		}
		copies, err := m.Copies(t.Context(), from, recs, nil)
		if err != nil {
			rt.Fatal(err)
		}
		owners, firsts := make(map[string]int), make([]int, len(recs))
		for i := range copies {
			c, err := sources.Unpack(&copies[i])
			if err != nil {
				rt.Fatal(err)
			}
			if c.First {
				firsts[c.Offset]++
			}
			for _, l := range []string{"a", "b", "c", "d", ""} {
				if c.Owns(l) {
					owners[fmt.Sprint(c.Offset, l)]++
				}
			}
		}
		for i := range recs {
			if firsts[i] != 1 {
				rt.Fatalf("record %d has %d first copies", i, firsts[i])
			}
			for _, l := range []string{"a", "b", "c", "d", ""} {
				if n := owners[fmt.Sprint(i, l)]; n != 1 {
					rt.Fatalf("a row of %q of record %q belongs to %d copies", l, values[i], n)
				}
			}
		}
	})
}
