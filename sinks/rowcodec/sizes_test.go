package rowcodec_test

import (
	"testing"

	"pgregory.net/rapid"

	"millrace/sinks/rowcodec"
)

// A row of nulls has no values, so it is what Sizes says of every row.
func TestSizesAreThoseOfARowOfNulls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := storedSchemas().Draw(t, "schema")
		want, columns := rowcodec.Sizes(st)
		for _, c := range columns {
			want += c.Bytes
		}
		rows := newRows(st, 1)
		for i := range rows.Columns {
			rows.Columns[i].SetNull(0)
		}
		if got := len(rowcodec.AppendRow(nil, rows, 0)); got != want {
			t.Fatalf("a row of nulls has %d bytes, not %d", got, want)
		}
	})
}
