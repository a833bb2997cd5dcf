package rowcodec_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
)

// cells answers every read with the same values, row by row.
type cells struct{ values [][]byte }

func (c cells) ReadCells(_ context.Context, _ string, keys, views []string, dst *sinks.CellSet) error {
	dst.Reset(len(keys), len(views))
	copy(dst.Values, c.values)
	return nil
}

// schemas is a fixed set of stored schemas.
type schemas map[uint32]*feature.Stored

func (s schemas) Schema(_ context.Context, id uint32) (*feature.Stored, error) {
	if st := s[id]; st != nil {
		return st, nil
	}
	return nil, fmt.Errorf("load stored schema %d: %w", id, sinks.ErrNoEntry)
}

func view() *feature.View {
	return &feature.View{Name: "driver_trips", Entity: "driver", Generation: 1, Revision: 3}
}

func joinKeys() []feature.Field {
	return []feature.Field{{Name: "driver_id", Type: feature.Of(feature.KindInt64)}}
}

// newRows returns n rows of nulls stored as st, keyed 1, 2, 3 ….
func newRows(st *feature.Stored, n int) *feature.Rows {
	rows := new(feature.Rows)
	rows.Reset(view(), st, joinKeys(), 5)
	for i := range n {
		rows.Origins = append(rows.Origins, feature.Origin{
			Offset: int64(100 + i), RecordMillis: 1_700_000_000_000, EventMicros: 1_700_000_000_000_000 + int64(i),
		})
	}
	rows.Keys[0].Resize(n)
	for i := range n {
		rows.Keys[0].SetInt(i, int64(i+1))
	}
	for i := range rows.Columns {
		rows.Columns[i].Resize(n)
	}
	return rows
}

// query asks for n keys and the columns of one view.
func query(n int, columns []feature.StoredColumn) *feature.Query {
	q := &feature.Query{Entity: "driver", Views: []feature.ViewQuery{{View: "driver_trips@1", Columns: columns}}}
	for i := range n {
		q.Keys = append(q.Keys, fmt.Sprint(i+1))
	}
	return q
}

// read decodes values, one per key, as rows of the given schemas.
func read(known schemas, values [][]byte, columns []feature.StoredColumn) (*feature.Loaded, error) {
	dst := make([]feature.Loaded, 1)
	err := rowcodec.NewReader(cells{values}, known).Read(context.Background(), query(len(values), columns), dst)
	return &dst[0], err
}

func encodeAll(t testing.TB, rows *feature.Rows) *sinks.Buffer {
	t.Helper()
	buf := new(sinks.Buffer)
	rowcodec.NewEncoder().Encode(buf, rows)
	if len(rows.Rejects) > 0 {
		t.Fatalf("rows were refused: %+v", rows.Rejects)
	}
	return buf
}

func storedSchemas() *rapid.Generator[*feature.Stored] {
	return rapid.Custom(func(t *rapid.T) *feature.Stored {
		st := &feature.Stored{ID: rapid.Uint32Min(1).Draw(t, "schema id")}
		for i := range rapid.IntRange(0, 20).Draw(t, "columns") {
			typ := feature.Type{
				Kind:  feature.Kind(rapid.IntRange(int(feature.KindBool), int(feature.KindJSON)).Draw(t, "kind")),
				Depth: uint8(max(0, rapid.IntRange(-3, 3).Draw(t, "depth"))),
			}
			if typ.IsList() {
				typ.Length = uint32(max(0, rapid.IntRange(-3, 2).Draw(t, "length")))
			}
			st.Columns = append(st.Columns, feature.StoredColumn{Name: fmt.Sprint("c", i), Type: typ, Since: 1})
		}
		return st
	})
}

// fill gives row i of c a drawn value, null one time in four.
func fill(t *rapid.T, c *feature.Column, i int) {
	if rapid.IntRange(0, 3).Draw(t, "null") == 0 {
		return
	}
	switch c.Type.Layout() {
	case feature.LayoutBool:
		c.SetBool(i, rapid.Bool().Draw(t, "bool"))
	case feature.LayoutInt:
		if c.Type.Kind == feature.KindInt32 {
			c.SetInt(i, int64(rapid.Int32().Draw(t, "int32")))
		} else {
			c.SetInt(i, rapid.Int64().Draw(t, "int64"))
		}
	case feature.LayoutFloat:
		c.SetFloat(i, drawFloat(t, c.Type.Kind))
	case feature.LayoutString:
		c.SetString(i, rapid.SampledFrom([]string{"", "a", "\x00", "naïve", "a longer string | \\"}).Draw(t, "string"))
	case feature.LayoutList:
		n := int(c.Type.Length)
		if n == 0 {
			n = rapid.IntRange(0, 9).Draw(t, "count")
		}
		start := c.Elems.Len()
		elems := new(feature.Column)
		elems.Reset(c.Type.Elem())
		elems.Resize(n)
		for e := range n {
			fill(t, elems, e)
			c.Elems.AppendFrom(elems, e)
		}
		c.SetList(i, start)
	case feature.LayoutNone:
	}
}

func drawFloat(t *rapid.T, kind feature.Kind) float64 {
	v := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{
		math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), math.SmallestNonzeroFloat64,
	})).Draw(t, "float")
	if kind == feature.KindFloat32 {
		return float64(float32(v))
	}
	return v
}

func drawRows(t *rapid.T) *feature.Rows {
	st := storedSchemas().Draw(t, "schema")
	rows := newRows(st, rapid.IntRange(1, 4).Draw(t, "rows"))
	rows.Partition = rapid.Int32().Draw(t, "partition")
	for c := range rows.Columns {
		for i := range rows.Origins {
			fill(t, &rows.Columns[c], i)
		}
	}
	return rows
}

// same reports whether row i of a and row j of b hold the same value, bit by
// bit except that all NaN are one.
func same(a *feature.Column, i int, b *feature.Column, j int) bool {
	if a.Type != b.Type || a.IsNull(i) != b.IsNull(j) {
		return false
	}
	if a.IsNull(i) {
		return true
	}
	switch a.Type.Layout() {
	case feature.LayoutBool:
		return a.Bools[i] == b.Bools[j]
	case feature.LayoutInt:
		return a.Ints[i] == b.Ints[j]
	case feature.LayoutFloat:
		x, y := a.Floats[i], b.Floats[j]
		return math.Float64bits(x) == math.Float64bits(y) || math.IsNaN(x) && math.IsNaN(y)
	case feature.LayoutString:
		return a.Strings[i] == b.Strings[j]
	case feature.LayoutList:
		return sameLists(a.Elems, a.Spans[i], b.Elems, b.Spans[j])
	case feature.LayoutNone:
	}
	return false
}

func sameLists(a *feature.Column, s feature.Span, b *feature.Column, z feature.Span) bool {
	if s.End-s.Start != z.End-z.Start {
		return false
	}
	for k := range s.End - s.Start {
		if !same(a, int(s.Start+k), b, int(z.Start+k)) {
			return false
		}
	}
	return true
}

func values(buf *sinks.Buffer) [][]byte {
	out := make([][]byte, len(buf.Rows))
	for i := range buf.Rows {
		out[i] = slices.Clone(buf.Rows[i].Value)
	}
	return out
}
