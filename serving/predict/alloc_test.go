package predict

import (
	"fmt"
	"strings"
	"testing"

	"millrace/feature"
)

// TestAllocationsDoNotGrowWithRows: numbers cost none, whichever way they go.
func TestAllocationsDoNotGrowWithRows(t *testing.T) {
	for _, isBinary := range []bool{false, true} {
		few, many := allocations(t, 8, isBinary), allocations(t, 512, isBinary)
		t.Logf("binary %v: %v allocations for 8 rows, %v for 512", isBinary, few, many)
		if many > few+6 { // columns that grow
			t.Errorf("binary %v: %v allocations for 8 rows, %v for 512", isBinary, few, many)
		}
	}
}

// allocations is how many it takes to write a request of rows × 6 numbers and
// to read its answer.
func allocations(t *testing.T, rows int, isBinary bool) float64 {
	t.Helper()
	m := &Model{Name: "m", Endpoint: "http://m", Outputs: []Port{{Name: "score", Type: feature.Of(feature.KindFloat64)}}}
	var inputs []*feature.Column
	for i := range 6 {
		m.Inputs = append(m.Inputs, Port{Name: fmt.Sprint("x", i), Type: feature.Of(feature.KindFloat64)})
		c := new(feature.Column)
		c.Reset(m.Inputs[i].Type)
		c.Resize(rows)
		for row := range rows {
			c.SetFloat(row, 0.3719*float64(row+i))
		}
		inputs = append(inputs, c)
	}
	if _, err := m.prepare(); err != nil {
		t.Fatal(err)
	}
	data := `"data":[` + strings.TrimSuffix(strings.Repeat("0.92558797423564123,", rows), ",") + `]`
	a := answer{header: fmt.Appendf(nil, `{"model_name":"m","outputs":[{"name":"score","shape":[%d,1],"datatype":"FP64",%s}]}`, rows, data)}
	var e encoder
	var d decoder
	return testing.AllocsPerRun(20, func() {
		e.reset(m, &wire{binary: isBinary})
		for row := range rows {
			if err := unsendable(m, inputs, row, isBinary); err != nil {
				t.Fatal(err)
			}
			e.append(inputs, row)
		}
		e.body()
		if _, _, fault := d.decode(m, rows, a); fault != nil {
			t.Fatal(fault.err)
		}
	})
}
