package expr

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
)

// TestQuotientRoundsAsDuckDB compares averages of integers with a division in
// floats of 64 bits, as DuckDB makes it.
func TestQuotientRoundsAsDuckDB(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		elems := new(feature.Column)
		elems.Reset(feature.Of(feature.KindInt64))
		sum := new(big.Int)
		for _, v := range rapid.SliceOfN(rapid.Int64(), 1, 9).Draw(t, "values") {
			elems.SetInt(elems.AppendNull(), v)
			sum.Add(sum, big.NewInt(v))
		}
		n := elems.Len()
		exact := new(big.Rat).SetFrac(sum, big.NewInt(int64(n)))
		want, _ := new(big.Float).SetPrec(64).SetRat(exact).Float64()
		high, low, count := sumInts(elems, feature.Span{End: uint32(n)})
		if got := quotient(high, low, count); got != want {
			t.Fatalf("%v / %d is %v, not %v", sum, n, got, want)
		}
	})
}

// TestListsOfAnotherLayoutAreNull hands a column of lists of text to a program
// that was compiled for lists of numbers.
func TestListsOfAnotherLayoutAreNull(t *testing.T) {
	numbers := feature.ListOf(feature.Of(feature.KindInt64))
	column := Column(0, "l", numbers)
	e := apply(kernelListSumInts, feature.Of(feature.KindInt64), nil, column)
	wrong := new(feature.Column)
	wrong.Reset(feature.ListOf(feature.Of(feature.KindString)))
	row := wrong.AppendNull()
	wrong.Elems.SetString(wrong.Elems.AppendNull(), "x")
	wrong.SetList(row, 0)
	m := Compile([]*Expr{e}).NewMachine()
	m.Run(Input{Rows: 1, Columns: []*feature.Column{wrong}})
	if !m.Out(0).IsNull(0) || m.AnyFailed(0) {
		t.Fatalf("the sum of text is %v", m.Out(0).Ints)
	}
}
