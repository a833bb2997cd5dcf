package rowcodec_test

import (
	"fmt"
	"testing"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
)

// wide returns n rows of 10 columns: four floats, three integers, two strings
// and an embedding of 16.
func wide(n int) *feature.Rows {
	st := &feature.Stored{ID: 9}
	for i := range 9 {
		kind := []feature.Kind{feature.KindFloat64, feature.KindInt64, feature.KindString}[i%3]
		st.Columns = append(st.Columns, feature.StoredColumn{Name: fmt.Sprint("c", i), Type: feature.Of(kind)})
	}
	st.Columns = append(st.Columns, feature.StoredColumn{Name: "embedding", Type: feature.Type{Kind: feature.KindFloat32, Depth: 1, Length: 16}})
	rows := newRows(st, n)
	for i := range n {
		for c := range rows.Columns {
			setBenchValue(&rows.Columns[c], i)
		}
	}
	return rows
}

func setBenchValue(c *feature.Column, i int) {
	switch c.Type.Layout() {
	case feature.LayoutInt:
		c.SetInt(i, int64(i))
	case feature.LayoutFloat:
		c.SetFloat(i, float64(i)/3)
	case feature.LayoutString:
		c.SetString(i, "completed")
	case feature.LayoutList:
		start := c.Elems.Len()
		for e := range c.Type.Length {
			c.Elems.SetFloat(c.Elems.AppendNull(), float64(e))
		}
		c.SetList(i, start)
	case feature.LayoutNone, feature.LayoutBool:
	}
}

const benchRows = 200

func BenchmarkEncode(b *testing.B) {
	rows, buf, enc := wide(benchRows), new(sinks.Buffer), rowcodec.NewEncoder()
	b.ReportAllocs()
	for b.Loop() {
		buf.Reset()
		enc.Encode(buf, rows)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRows), "ns/row")
}

func BenchmarkRead(b *testing.B) {
	rows := wide(benchRows)
	known := schemas{9: rows.Stored}
	stored := values(encodeAll(b, rows))
	for _, columns := range []int{1, 10} {
		b.Run(fmt.Sprint("columns=", columns), func(b *testing.B) {
			r, q, dst := rowcodec.NewReader(cells{stored}, known), query(benchRows, rows.Stored.Columns[:columns]), make([]feature.Loaded, 1)
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Read(b.Context(), q, dst); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRows), "ns/row")
		})
	}
}

// The budgets are per call over many rows, so one allocation per row would be
// two hundred of them.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	rows, buf, enc := wide(benchRows), new(sinks.Buffer), rowcodec.NewEncoder()
	encode := func() { buf.Reset(); enc.Encode(buf, rows) }
	encode()
	encode()
	if n := testing.AllocsPerRun(20, encode); n > 1 {
		t.Errorf("encoding %d rows allocates %v times", benchRows, n)
	}
	r, dst := rowcodec.NewReader(cells{values(buf)}, schemas{9: rows.Stored}), make([]feature.Loaded, 1)
	q := query(benchRows, rows.Stored.Columns)
	decode := func() {
		if err := r.Read(t.Context(), q, dst); err != nil {
			t.Fatal(err)
		}
	}
	decode()
	decode()
	// The pool may lose a call to the collector, and the race detector makes
	// it do so on purpose.
	if n := testing.AllocsPerRun(20, decode); n > 8 {
		t.Errorf("reading %d rows allocates %v times", benchRows, n)
	}
}
