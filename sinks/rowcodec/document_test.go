package rowcodec_test

import (
	"encoding/hex"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/sinks/rowcodec"
)

// documentedRow is the row that docs/format/row.md draws.
func documentedRow() *feature.Rows {
	st := &feature.Stored{ID: 0x1f2e3d4c, Columns: []feature.StoredColumn{
		{Name: "trips", Type: feature.Of(feature.KindInt64), Since: 1},
		{Name: "surge", Type: feature.Of(feature.KindBool), Since: 1},
		{Name: "tier", Type: feature.Of(feature.KindString), Since: 1},
		{Name: "rating", Type: feature.Of(feature.KindFloat32), Since: 2},
		{Name: "tags", Type: feature.ListOf(feature.Of(feature.KindString)), Since: 3},
		{Name: "fares", Type: feature.ListOf(feature.Of(feature.KindInt32)), Since: 3},
	}}
	rows := newRows(st, 1)
	rows.Origins[0] = feature.Origin{
		Offset: 258, RecordMillis: 1_700_000_000_123, EventMicros: 1_700_000_000_000_000, Element: 2,
	}
	rows.Columns[0].SetInt(0, 42)
	rows.Columns[1].SetBool(0, true)
	rows.Columns[2].SetString(0, "gold")
	tags := rows.Columns[4].Elems
	tags.SetString(tags.AppendNull(), "ab")
	tags.AppendNull()
	tags.SetString(tags.AppendNull(), "c")
	rows.Columns[4].SetList(0, 0)
	fares := rows.Columns[5].Elems
	fares.SetInt(fares.AppendNull(), -1)
	rows.Columns[5].SetList(0, 0)
	return rows
}

// TestRowDocument compares the drawing with the code, in both directions: it
// is what AppendRow writes, and the reader reads it as the row it shows.
func TestRowDocument(t *testing.T) {
	rows := documentedRow()
	drawn := drawing(t)
	if want := rowcodec.AppendRow(nil, rows, 0); !slices.Equal(drawn, want) {
		t.Fatalf("docs/format/row.md draws another row than the code writes; stored rows would not be read\n page %x\n code %x", drawn, want)
	}
	got, err := read(schemas{rows.Stored.ID: rows.Stored}, [][]byte{drawn}, rows.Stored.Columns)
	if err != nil {
		t.Fatal(err)
	}
	for c := range rows.Columns {
		if !same(&got.Columns[c], 0, &rows.Columns[c], 0) {
			t.Errorf("column %s reads differently", rows.Stored.Columns[c].Name)
		}
	}
}

// drawing reads the lines "offset  bytes in hex  meaning" of the page. Two
// spaces or more end the bytes.
func drawing(t *testing.T) []byte {
	t.Helper()
	page, err := os.ReadFile("../../docs/format/row.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```row\n")
	block, _, _ = strings.Cut(block, "```")
	var all []byte
	for line := range strings.Lines(block) {
		offset, rest, _ := strings.Cut(strings.TrimSpace(line), "  ")
		digits, _, _ := strings.Cut(strings.TrimSpace(rest), "  ")
		bytes, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if at, err := strconv.Atoi(offset); err != nil || at != len(all) {
			t.Fatalf("line %q: its offset is %d", line, len(all))
		}
		all = append(all, bytes...)
	}
	return all
}
