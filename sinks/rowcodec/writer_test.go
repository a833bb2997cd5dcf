package rowcodec

import (
	"strings"
	"testing"

	"millrace/feature"
	"millrace/sinks/memory"
)

// TestCheckIsWhatWriteRowsRefuses: a check says the same and stores nothing.
func TestCheckIsWhatWriteRowsRefuses(t *testing.T) {
	rows := func() *feature.Rows {
		r := new(feature.Rows)
		r.Reset(&feature.View{Name: "m", Entity: "e", Generation: 1},
			&feature.Stored{ID: 1, Columns: []feature.StoredColumn{{Name: "x", Type: feature.Of(feature.KindString)}}},
			[]feature.Field{{Name: "k", Type: feature.Of(feature.KindString)}}, 0)
		for i, v := range []struct{ key, value string }{
			{"good", "x"}, {strings.Repeat("k", feature.MaxKeyBytes+1), "x"}, {"large", strings.Repeat("x", 2<<20)}, {"late", "x"},
		} {
			o := feature.Origin{Record: int32(i)}
			if v.key == "late" {
				o.EventMicros = -1 << 63
			}
			r.Origins = append(r.Origins, o)
			r.Keys[0].Resize(i + 1)
			r.Keys[0].SetString(i, v.key)
			r.Columns[0].Resize(i + 1)
			r.Columns[0].SetString(i, v.value)
		}
		return r
	}
	var store memory.Store
	w := NewWriter(&store)
	checked, written := rows(), rows()
	if w.Check(checked); len(store.Rows()) > 0 {
		t.Errorf("a check stored %d rows", len(store.Rows()))
	}
	if err := w.WriteRows(t.Context(), written); err != nil || len(store.Rows()) != 1 {
		t.Fatalf("stored %d rows, %v", len(store.Rows()), err)
	}
	want := []feature.Reason{feature.ReasonKeyTooLarge, feature.ReasonRowTooLarge, feature.ReasonTimeRange}
	for what, got := range map[string][]feature.Reject{"check": checked.Rejects, "write": written.Rejects} {
		if len(got) != len(want) {
			t.Fatalf("%s refused %+v", what, got)
		}
		for i, r := range got {
			if r.Reason != want[i] || r.Origin.Record != int32(i+1) {
				t.Errorf("%s refused %+v, want %s of row %d", what, r, want[i], i+1)
			}
		}
	}
}
