package feature_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
)

// TestBitmapIsASliceOfBools drives a Bitmap and a []bool through the same
// steps; growing after shrinking must not bring old bits back.
func TestBitmapIsASliceOfBools(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b feature.Bitmap
		var model []bool
		t.Repeat(map[string]func(*rapid.T){
			"resize": func(t *rapid.T) {
				n := rapid.IntRange(0, 300).Draw(t, "bits")
				b = b.Resize(n)
				model = append(model[:min(n, len(model))], make([]bool, n-min(n, len(model)))...)
			},
			"set": func(t *rapid.T) {
				if len(model) > 0 {
					i := rapid.IntRange(0, len(model)-1).Draw(t, "bit")
					b.Set(i)
					model[i] = true
				}
			},
			"clear": func(t *rapid.T) {
				if len(model) > 0 {
					i := rapid.IntRange(0, len(model)-1).Draw(t, "bit")
					b.Clear(i)
					model[i] = false
				}
			},
			"fill": func(*rapid.T) {
				b.Fill(len(model))
				for i := range model {
					model[i] = true
				}
			},
			"": func(t *rapid.T) {
				set := 0
				for i, v := range model {
					if b.Get(i) != v {
						t.Fatalf("bit %d of %d is %v", i, len(model), b.Get(i))
					}
					if v {
						set++
					}
				}
				if b.Count() != set || len(b) != feature.Words(len(model)) {
					t.Fatalf("%d bits in %d words, want %d", b.Count(), len(b), set)
				}
			},
		})
	})
}

func TestBitmapGrowsWithZeros(t *testing.T) {
	b := feature.Bitmap{}.Resize(128)
	b.Fill(128)
	if b = b.Resize(64).Resize(640); b.Count() != 64 {
		t.Errorf("%d bits set after growing, want the 64 that were kept", b.Count())
	}
}

func TestColumnAddsNullsAndDropsRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c feature.Column
		for range rapid.IntRange(1, 3).Draw(t, "fills") {
			typ := types().Draw(t, "type")
			c.Reset(typ)
			if c.Len() != 0 || c.Type != typ {
				t.Fatalf("reset column has %d rows of %s", c.Len(), c.Type)
			}
			n := rapid.IntRange(0, 100).Draw(t, "rows")
			c.Resize(n)
			for i := range n {
				if !c.IsNull(i) {
					t.Fatalf("row %d of %s is not null", i, typ)
				}
				c.Valid.Set(i)
			}
			keep := rapid.IntRange(0, n).Draw(t, "keep")
			c.Truncate(keep)
			if c.AppendNull() != keep || !c.IsNull(keep) || c.Len() != keep+1 {
				t.Fatalf("the row behind %d kept ones is not a new null", keep)
			}
		}
	})
}

func ints(values ...int64) *feature.Column {
	c := new(feature.Column)
	c.Reset(feature.Of(feature.KindInt64))
	for _, v := range values {
		c.SetInt(c.AppendNull(), v)
	}
	return c
}

func TestListsKeepTheirElements(t *testing.T) {
	var c feature.Column
	c.Reset(feature.ListOf(feature.Of(feature.KindInt64)))
	for _, list := range [][]int64{{1, 2}, {}, {3}} {
		row, start := c.AppendNull(), c.Elems.Len()
		for _, v := range list {
			c.Elems.SetInt(c.Elems.AppendNull(), v)
		}
		c.SetList(row, start)
	}
	c.AppendNull()

	var copied feature.Column
	copied.Reset(c.Type)
	for i := range c.Len() {
		copied.AppendFrom(&c, c.Len()-1-i)
	}
	if !copied.IsNull(0) || copied.IsNull(1) {
		t.Fatal("nulls moved")
	}
	for row, want := range [][]int64{nil, {3}, {}, {1, 2}} {
		s := copied.Spans[row]
		if row > 0 && !slices.Equal(copied.Elems.Ints[s.Start:s.End], want) {
			t.Errorf("row %d holds %v, want %v", row, copied.Elems.Ints[s.Start:s.End], want)
		}
	}
}

func TestListMayBeCopiedWithinItsColumn(t *testing.T) {
	var c feature.Column
	c.Reset(feature.ListOf(feature.Of(feature.KindInt64)))
	row := c.AppendNull()
	c.Elems = ints(7, 8)
	c.SetList(row, 0)
	c.AppendFrom(&c, row)
	if s := c.Spans[1]; !slices.Equal(c.Elems.Ints[s.Start:s.End], []int64{7, 8}) {
		t.Errorf("copy holds %v", c.Elems.Ints[s.Start:s.End])
	}
}

func TestGatherKeepsTheListedRows(t *testing.T) {
	src := ints(10, 11, 12, 13)
	src.SetNull(2)
	for _, keep := range [][]int32{{}, {0, 2, 3}, {0, 1, 2, 3}} {
		c := ints(99)
		c.Gather(src, keep)
		if c.Len() != len(keep) {
			t.Fatalf("%d rows, want %d", c.Len(), len(keep))
		}
		for i, row := range keep {
			if c.IsNull(i) != src.IsNull(int(row)) || !c.IsNull(i) && c.Ints[i] != src.Ints[row] {
				t.Errorf("keep %v: row %d is wrong", keep, i)
			}
		}
	}
}

func TestBatchTakesAFailedRowOutAtOnce(t *testing.T) {
	var b feature.Batch
	b.Reset([]feature.Field{{Name: "a", Type: feature.Of(feature.KindInt64)}}, 3)
	b.Columns[0].SetInt(b.AppendRow(feature.Origin{Offset: 1}), 5)
	b.Columns[0].SetInt(b.AppendRow(feature.Origin{Offset: 2}), 6)
	b.RejectLast(feature.StageDecode, feature.ReasonWrongType, "field a")
	if b.Rows() != 1 || b.Columns[0].Len() != 1 || b.Rejects[0].Origin.Offset != 2 {
		t.Errorf("rows %d, rejects %+v", b.Rows(), b.Rejects)
	}
	if row := b.AppendRow(feature.Origin{Offset: 3}); !b.Columns[0].IsNull(row) {
		t.Error("the refused row's value shows in the next row")
	}
	b.Reset(b.Fields, 4)
	if b.Rows() != 0 || len(b.Rejects) != 0 || b.Columns[0].Len() != 0 || b.Partition != 4 {
		t.Errorf("reset batch: %+v", b)
	}
}

func TestLoadedIsReusedWithoutAllocating(t *testing.T) {
	q := &feature.ViewQuery{Columns: []feature.StoredColumn{
		{Name: "a", Type: feature.Of(feature.KindInt64)},
		{Name: "b", Type: feature.ListOf(feature.Of(feature.KindString))},
	}}
	var l feature.Loaded
	l.Reset(q, 500)
	l.Found.Set(3)
	l.Missing[1].Set(3)
	l.Origins[3].SchemaID = 1
	l.Columns[0].SetInt(3, 1)
	l.Reset(q, 400)
	if l.Found.Count() != 0 || l.Missing[1].Count() != 0 || !l.Columns[0].IsNull(3) || l.Origins[3].SchemaID != 0 {
		t.Error("the earlier answer shows")
	}
	if n := testing.AllocsPerRun(20, func() { l.Reset(q, 500) }); n > 0 && !raceEnabled {
		t.Errorf("Reset allocates %v times", n)
	}
}

func TestSpreadRepeatsRows(t *testing.T) {
	from := []int32{2, 2, -1, 0, 1, 1}
	src := ints(10, 11, 12)
	src.SetNull(1)
	c := ints(99)
	c.Spread(src, from)
	for i, row := range from {
		if null := row < 0 || src.IsNull(int(row)); c.IsNull(i+1) != null || !null && c.Ints[i+1] != src.Ints[row] {
			t.Errorf("row %d is wrong", i+1)
		}
	}
	if c.Len() != 7 || c.IsNull(0) || c.Ints[0] != 99 {
		t.Errorf("%d rows, the first is %d", c.Len(), c.Ints[0])
	}
}

func TestSpreadCopiesAListOnce(t *testing.T) {
	var src, c feature.Column
	src.Reset(feature.ListOf(feature.Of(feature.KindInt64)))
	c.Reset(src.Type)
	for row := range 2 {
		src.AppendNull()
		for v := range 3 {
			src.Elems.SetInt(src.Elems.AppendNull(), int64(10*row+v))
		}
		src.SetList(row, 3*row)
	}
	c.Spread(&src, []int32{1, 1, -1, 1, 0})
	for i, first := range []int64{10, 10, -1, 10, 0} {
		if first < 0 != c.IsNull(i) || first >= 0 && c.Elems.Ints[c.Spans[i].Start] != first {
			t.Errorf("row %d is wrong", i)
		}
	}
	if n := c.Elems.Len(); n != 9 {
		t.Errorf("%d elements were copied", n)
	}
}
