package replay

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sources"
)

// noDecoder is a format that takes nothing.
type noDecoder struct{}

func (noDecoder) Decode(_ context.Context, dst *feature.Batch, recs []sources.Record) error {
	for i := range recs {
		dst.AppendRow(feature.Origin{Offset: recs[i].Offset, Record: int32(i)})
		dst.RejectLast(feature.StageDecode, feature.ReasonMalformed, "it takes nothing")
	}
	return nil
}

// TestPushedLettersAreTakenInAsTheyWerePushed: what their headers say still
// holds, whatever the source's format.
func TestPushedLettersAreTakenInAsTheyWerePushed(t *testing.T) {
	store := new(memory.Store)
	c := catalog(t, 1, fixed)
	r := &c.Routes[0]
	r.Pushed, r.Shapes[0].NewFields = true, r.Shapes[0].NewDecoder
	r.Shapes[0].NewDecoder = func() sources.Decoder { return noDecoder{} }
	for i, headers := range [][]sinks.LetterHeader{
		nil, // of the format
		{{Key: sources.HeaderFormat, Value: []byte("fields")}},
		{{Key: sources.HeaderFormat, Value: []byte("fields")}, {Key: sources.HeaderView, Value: []byte("fares")}},
		{{Key: sources.HeaderFormat, Value: []byte("fields")}, {Key: sources.HeaderTo, Value: []byte("offline")}},
		{{Key: sources.HeaderFormat, Value: []byte("csv")}},
	} {
		l := sinks.Letter{
			LetterID: sinks.LetterID{Source: "trips", Position: int64(i)}, Topic: "trips", Offset: int64(i), RecordMillis: base, CatalogVersion: 1,
			RecordValue: fmt.Appendf(nil, `{"driver_id": %d, "fare": 1.5, "code": "7", "at": %d}`, i, int64(base)), Headers: headers,
		}
		if err := store.Put(t.Context(), []sinks.Letter{l}); err != nil {
			t.Fatal(err)
		}
	}
	got := replay(t, settings(store, c), sinks.LetterFilter{})
	if got.Stored != 2 || got.Filtered != 1 || got.RefusedAgain != 2 || got.Reasons[feature.ReasonBadFlag] != 1 || got.Reasons[feature.ReasonMalformed] != 1 {
		t.Errorf("result %+v", got)
	}
	var rows []string
	for _, row := range store.Rows() {
		rows = append(rows, row.View+" "+row.Key)
	}
	slices.Sort(rows)
	if want := []string{"codes@1 1", "fares@1 1", "fares@1 2"}; !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
}
