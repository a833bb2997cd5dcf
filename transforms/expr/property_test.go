package expr_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/transforms/expr"
	"millrace/transforms/expr/exprtest"
)

// scopeFields are the columns that generated expressions name.
var scopeFields = exprtest.Fields()

func drawText(t *rapid.T, sort byte, depth int) string {
	return exprtest.Grammar{}.Draw(t, sort, depth)
}

type fieldScope []feature.Field

func (s fieldScope) Resolve(name string) (*expr.Expr, bool) {
	for i, f := range s {
		if f.Name == name {
			return expr.Column(i, name, f.Type), true
		}
	}
	return nil, false
}

func (s fieldScope) Names() []string {
	var names []string
	for _, f := range s {
		names = append(names, f.Name)
	}
	return names
}

func drawExpr(t *rapid.T) *expr.Expr {
	kind := rapid.SampledFrom([]byte("nsptlj")).Draw(t, "kind")
	for {
		e, err := checked(drawText(t, kind, 4), fieldScope(scopeFields))
		if err == nil {
			return e
		}
		kind = rapid.SampledFrom([]byte("nsptlj")).Draw(t, "kind") // round(x, y) with a wide y and such
	}
}

func drawInput(t *rapid.T, rows int) expr.Input {
	in := expr.Input{Rows: rows}
	for _, f := range scopeFields {
		c := new(feature.Column)
		c.Reset(f.Type)
		exprtest.Values(t, c, rows)
		in.Columns = append(in.Columns, c)
	}
	for range rows {
		in.EventMicros = append(in.EventMicros, rapid.Int64().Draw(t, "event"))
		in.NowMicros = append(in.NowMicros, rapid.Int64().Draw(t, "now"))
	}
	return in
}

// rowOf is the input that holds one row of in.
func rowOf(in expr.Input, row int) expr.Input {
	one := expr.Input{Rows: 1, EventMicros: in.EventMicros[row : row+1], NowMicros: in.NowMicros[row : row+1]}
	for _, c := range in.Columns {
		single := new(feature.Column)
		single.Reset(c.Type)
		single.AppendFrom(c, row)
		one.Columns = append(one.Columns, single)
	}
	return one
}

func TestBatchEqualsItsRowsOneByOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		program := expr.Compile([]*expr.Expr{drawExpr(t)})
		in := drawInput(t, rapid.SampledFrom([]int{1, 3, 63, 64, 65, 130}).Draw(t, "rows"))
		batch, single := program.NewMachine(), program.NewMachine()
		batch.Run(in)
		for row := range in.Rows {
			single.Run(rowOf(in, row))
			if got, want := show(batch, 0, row), show(single, 0, 0); got != want {
				t.Fatalf("row %d: %s in the batch, %s alone", row, got, want)
			}
		}
	})
}

func TestSharingPartsChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []*expr.Expr
		for range rapid.IntRange(2, 5).Draw(t, "count") {
			e := drawExpr(t)
			all = append(all, e, e)
		}
		in := drawInput(t, 5)
		together := expr.Compile(all).NewMachine()
		together.Run(in)
		for i, e := range all {
			alone := expr.Compile([]*expr.Expr{e}).NewMachine()
			alone.Run(in)
			for row := range in.Rows {
				got, _, _ := strings.Cut(show(together, i, row), " in ") // a shared part names one place of several
				want, _, _ := strings.Cut(show(alone, 0, row), " in ")
				if strings.HasPrefix(want, "failed") {
					got, want = got[:6], want[:6]
				}
				if got != want {
					t.Fatalf("output %d row %d: %s together, %s alone", i, row, got, want)
				}
			}
		}
	})
}

func TestReusedMachineForgetsTheLastBatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		program := expr.Compile([]*expr.Expr{drawExpr(t)})
		used, fresh := program.NewMachine(), program.NewMachine()
		used.Run(drawInput(t, rapid.IntRange(0, 130).Draw(t, "before")))
		in := drawInput(t, rapid.IntRange(1, 130).Draw(t, "rows"))
		used.Run(in)
		fresh.Run(in)
		for row := range in.Rows {
			if got, want := show(used, 0, row), show(fresh, 0, row); got != want {
				t.Fatalf("row %d: %s after another batch, %s at first", row, got, want)
			}
		}
		checkColumn(t, used.Out(0), in.Rows)
	})
}

// checkColumn holds outputs to what feature.Column promises.
func checkColumn(t *rapid.T, c *feature.Column, rows int) {
	if c.Len() != rows || len(c.Valid) != feature.Words(rows) {
		t.Fatalf("output has %d rows, validity of %d words; want %d rows", c.Len(), len(c.Valid), rows)
	}
	if n := rows & 63; n != 0 && c.Valid[len(c.Valid)-1]>>n != 0 {
		t.Fatal("bits beyond the rows are set")
	}
	if c.Type.Kind == feature.KindInt32 && !c.Type.IsList() {
		for row, v := range c.Ints {
			if !c.IsNull(row) && v != int64(int32(v)) {
				t.Fatalf("row %d: %d is no int32", row, v)
			}
		}
	}
}

func TestPrintedTextParsesToTheSameTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawText(t, rapid.SampledFrom([]byte("nsptlj")).Draw(t, "kind"), 4)
		n, err := expr.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := expr.Parse(n.String())
		if err != nil || again.String() != n.String() {
			t.Fatalf("%s\nprinted %s\nparsed  %v, %v", text, n, again, err)
		}
		if !slices.Equal(expr.Names(n), expr.Names(again)) {
			t.Fatalf("names of %s: %v, then %v", text, expr.Names(n), expr.Names(again))
		}
	})
}
