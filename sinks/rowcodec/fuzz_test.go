package rowcodec_test

import (
	"bytes"
	"errors"
	"testing"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
)

// fuzzSchema reads a stored schema from bytes: two per column, kind and depth.
func fuzzSchema(text []byte) *feature.Stored {
	st := &feature.Stored{ID: 9}
	for i := 0; i+1 < len(text) && i < 40; i += 2 {
		typ := feature.Type{Kind: feature.KindBool + feature.Kind(text[i]%9), Depth: text[i+1] % 5}
		if typ.IsList() && text[i+1] >= 128 {
			typ.Length = uint32(text[i+1] % 3)
		}
		st.Columns = append(st.Columns, feature.StoredColumn{Name: "c", Type: typ, Since: uint16(i)})
	}
	return st
}

// FuzzDecode: whatever the bytes, the reader answers an error of the known
// kinds, or values which, encoded again, read the same.
func FuzzDecode(f *testing.F) {
	value, st := oneRow(f)
	var shape []byte
	for _, c := range st.Columns {
		shape = append(shape, byte(c.Type.Kind-feature.KindBool), c.Type.Depth)
	}
	f.Add(shape, value)
	f.Add([]byte{5, 3, 0, 4, 8, 1}, value)
	f.Add([]byte{}, value[:36])
	f.Fuzz(func(t *testing.T, shape, value []byte) {
		st := fuzzSchema(shape)
		if len(value) >= 28 {
			copy(value[24:28], []byte{9, 0, 0, 0})
		}
		got, err := read(schemas{9: st}, [][]byte{value}, st.Columns)
		if err != nil {
			if !errors.Is(err, rowcodec.ErrCorrupt) && !errors.Is(err, rowcodec.ErrFormat) && !errors.Is(err, sinks.ErrNoEntry) {
				t.Fatalf("an error of no known kind: %v", err)
			}
			return
		}
		if got.Found.Get(0) {
			checkAgain(t, st, got)
		}
	})
}

func checkAgain(t *testing.T, st *feature.Stored, got *feature.Loaded) {
	t.Helper()
	rows := newRows(st, 1)
	rows.Columns = got.Columns
	first := rowcodec.AppendRow(nil, rows, 0)
	again, err := read(schemas{9: st}, [][]byte{first}, st.Columns)
	if err != nil {
		t.Fatalf("what was read cannot be written and read: %v", err)
	}
	rows.Columns = again.Columns
	if !bytes.Equal(rowcodec.AppendRow(nil, rows, 0), first) {
		t.Fatal("what was read changes when it is written and read")
	}
}
