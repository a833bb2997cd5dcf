package transforms_test

import (
	"bytes"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/sinks"
	"millrace/transforms"
	"millrace/transforms/expr"
	"millrace/transforms/expr/exprtest"
)

// setChecks makes rapid check n cases, unless somebody asked for a number.
func setChecks(t *testing.T, n int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if f.Value.String() != f.DefValue || testing.Short() {
		return
	}
	if err := f.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(f.DefValue) })
}

// anySource has a key and the columns of generated expressions.
var anySource = func() *feature.Source {
	s := &feature.Source{Name: "any", Fields: []feature.SourceField{{Field: feature.Field{Name: "k", Type: feature.Of(feature.KindInt64)}}}}
	for _, f := range exprtest.Fields() {
		s.Fields = append(s.Fields, feature.SourceField{Field: f})
	}
	return s
}()

var anyEntity = &feature.Entity{Name: "driver", JoinKeys: []feature.Field{{Name: "driver_id", Type: feature.Of(feature.KindInt64)}}}

func anyFields() []feature.Field {
	var fields []feature.Field
	for _, f := range anySource.Fields {
		fields = append(fields, f.Field)
	}
	return fields
}

// growingScope resolves fields and the features drawn so far.
type growingScope []feature.Field

func (s growingScope) Resolve(name string) (*expr.Expr, bool) {
	for i, f := range s {
		if f.Name == name {
			return expr.Column(i, name, f.Type), true
		}
	}
	return nil, false
}

func (s growingScope) Names() []string { return nil }

// drawView draws a view of anySource without now(): features that name fields
// and each other, where, and what becomes of null keys.
func drawView(t *rapid.T) *feature.View {
	v := &feature.View{
		Name: "any", Entity: "driver", Source: "any", Revision: 1, Generation: 1,
		Keys:      []feature.JoinKeyExpr{{JoinKey: "driver_id", Expr: "k"}},
		OnNullKey: feature.NullKeyPolicy(rapid.IntRange(0, 1).Draw(t, "on null key")),
	}
	scope, g := growingScope(anyFields()), exprtest.Grammar{Names: make(map[byte][]string), NoNow: true}
	if rapid.IntRange(0, 3).Draw(t, "filtered") == 0 {
		if text := g.Draw(t, exprtest.Bool, 2); typeOf(text, scope).Kind == feature.KindBool {
			v.Where = text
		}
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "features") {
		sort := rapid.SampledFrom(exprtest.Sorts()).Draw(t, "sort")
		f := feature.Field{Name: "f" + strconv.Itoa(i)}
		text := g.Draw(t, sort, 2)
		if f.Type = typeOf(text, scope); f.Type.Kind == feature.KindInvalid {
			text = string(sort) // not every template fits every operand; a field always does
			if sort == exprtest.Number {
				text = "g"
			}
			f.Type = typeOf(text, scope)
		}
		scope, g.Names[sort] = append(scope, f), append(g.Names[sort], f.Name)
		v.Features = append(v.Features, feature.Feature{Name: f.Name, Expr: text})
	}
	return v
}

// typeOf is the zero Type when text is in error.
func typeOf(text string, scope expr.Scope) feature.Type {
	n, err := expr.Parse(text)
	if err != nil {
		return feature.Type{}
	}
	e, err := expr.Check(n, scope)
	if err != nil {
		return feature.Type{}
	}
	return e.Type()
}

// at compiles v with its i-th feature at read where read says so.
func at(t *rapid.T, v *feature.View, read func(i int) bool) *transforms.Plan {
	moved := *v
	moved.Features = slices.Clone(v.Features)
	for i := range moved.Features {
		if read(i) {
			moved.Features[i].At = feature.PhaseRead
		}
	}
	p, problems := transforms.Compile(&moved, anySource, anyEntity)
	if problems != nil {
		t.Fatalf("compile %+v: %+v", moved.Features, problems)
	}
	p.Stored.ID = 1
	return p
}

// drawBatch draws rows of anySource; key gives each its key.
func drawBatch(t *rapid.T, rows int, key func(row int) int64) *feature.Batch {
	b := new(feature.Batch)
	b.Reset(anyFields(), 3)
	for i := range rows {
		b.Origins = append(b.Origins, feature.Origin{
			Offset: int64(i), Record: int32(i), RecordMillis: 1_700_000_000_000,
			EventMicros: 1_700_000_000_000_000 - rapid.Int64Range(0, 3).Draw(t, "age"),
		})
	}
	b.Columns[0].Resize(rows)
	for i := range rows {
		if rapid.IntRange(0, 9).Draw(t, "null key") > 0 {
			b.Columns[0].SetInt(i, key(i))
		}
	}
	for i := range b.Columns[1:] {
		exprtest.Values(t, &b.Columns[1+i], rows)
	}
	return b
}

// TestMovingTheCutChangesNothing moves features between write and read and
// compares whole ways with the one that computes every feature at read.
//
// The exceptions are those of DESIGN: now() is left out, and where an
// expression fails the value is ERROR at read and the row is refused at write,
// for the first such feature.
func TestMovingTheCutChangesNothing(t *testing.T) {
	setChecks(t, 10_000)
	rapid.Check(t, func(t *rapid.T) {
		const rows = 4
		v := drawView(t)
		in := drawBatch(t, rows, func(row int) int64 { return int64(row) })
		plain := newWay(t, at(t, v, func(int) bool { return true }), rows)
		plain.write(t, in, false)
		want := plain.read(t, rows)

		moved := newWay(t, at(t, v, func(int) bool { return rapid.Bool().Draw(t, "at read") }), rows)
		moved.write(t, in, false)
		got := moved.read(t, rows)
		for row := range rows {
			end := plain.ends[row]
			for i, f := range moved.plan.View.Features {
				if f.At == feature.PhaseWrite && want[row][i] == "ERROR" {
					end = "expression feature " + f.Name
					want[row] = slices.Repeat([]string{"NOT_FOUND"}, len(got[row]))
					break
				}
			}
			if !strings.HasPrefix(moved.ends[row], end) || (end == "") != (moved.ends[row] == "") {
				t.Fatalf("row %d of %s: end %q, want %q", row, describe(moved.plan), moved.ends[row], end)
			}
			if !slices.Equal(got[row], want[row]) {
				t.Fatalf("row %d of %s: answers %q, want %q", row, describe(moved.plan), got[row], want[row])
			}
		}
	})
}

// TestMovingTheCutChangesNoServedAnswer looks through the read API: values,
// statuses and defaults are the same wherever a feature is computed.
func TestMovingTheCutChangesNoServedAnswer(t *testing.T) {
	setChecks(t, 2_000)
	rapid.Check(t, func(t *rapid.T) {
		const rows = 4
		v := drawView(t)
		in := drawBatch(t, rows, func(row int) int64 { return int64(row) })
		defaults := make([]*feature.Column, len(v.Features))
		for i, f := range at(t, v, func(int) bool { return false }).View.Features {
			if rapid.Bool().Draw(t, "default") {
				defaults[i] = new(feature.Column)
				defaults[i].Reset(f.Type)
				exprtest.Values(t, defaults[i], 1)
			}
		}
		plain := newWay(t, at(t, v, func(int) bool { return true }), rows)
		moved := newWay(t, at(t, v, func(int) bool { return rapid.Bool().Draw(t, "at read") }), rows)
		plain.write(t, in, false)
		moved.write(t, in, false)
		want, got := plain.serve(t, rows, defaults), moved.serve(t, rows, defaults)
		for row := range rows {
			if plain.ends[row] == moved.ends[row] && !slices.Equal(got[row], want[row]) {
				t.Fatalf("row %d of %s: answers %q, want %q", row, describe(moved.plan), got[row], want[row])
			}
		}
	})
}

func describe(p *transforms.Plan) string {
	text := "where " + p.View.Where
	for _, f := range p.View.Features {
		text += fmt.Sprintf("; %s at %s = %s", f.Name, f.At, f.Expr)
	}
	return text
}

// TestBatchBoundariesChangeNoAnswer cuts the same rows at random, hands some
// batches in once more as the finished rows that came of them, and compares
// with all rows in one batch: ends, stored bytes and answers.
func TestBatchBoundariesChangeNoAnswer(t *testing.T) {
	setChecks(t, 10_000)
	rapid.Check(t, func(t *rapid.T) {
		const rows, keys = 6, 2
		v := drawView(t)
		in := drawBatch(t, rows, func(row int) int64 { return int64(row % keys) })
		p := at(t, v, func(int) bool { return rapid.Bool().Draw(t, "at read") })
		whole, cut := newWay(t, p, rows), newWay(t, p, rows)
		whole.write(t, in, false)
		var part feature.Batch
		for begin := 0; begin < rows; {
			end := rapid.IntRange(begin+1, rows).Draw(t, "end")
			slice(in, begin, end, &part)
			cut.write(t, &part, rapid.Bool().Draw(t, "finished"))
			begin = end
		}
		if !slices.Equal(whole.ends, cut.ends) {
			t.Fatalf("%s: ends %q, want %q", describe(p), cut.ends, whole.ends)
		}
		if got, want := cut.store.Rows(), whole.store.Rows(); !slices.EqualFunc(got, want, sameRow) {
			t.Fatalf("%s: stored %v, want %v", describe(p), got, want)
		}
		if got, want := cut.read(t, keys), whole.read(t, keys); !slices.EqualFunc(got, want, slices.Equal) {
			t.Fatalf("%s: answers %q, want %q", describe(p), got, want)
		}
	})
}

func sameRow(a, b sinks.Row) bool {
	return a.Key == b.Key && a.Stamp == b.Stamp && bytes.Equal(a.Value, b.Value)
}

// slice makes dst the rows of b from begin to end.
func slice(b *feature.Batch, begin, end int, dst *feature.Batch) {
	dst.Reset(b.Fields, b.Partition)
	for row := begin; row < end; row++ {
		o := b.Origins[row]
		o.Record = int32(row - begin)
		to := dst.AppendRow(o)
		for c := range dst.Columns {
			dst.Columns[c].CopyRow(to, &b.Columns[c], row)
		}
	}
}
