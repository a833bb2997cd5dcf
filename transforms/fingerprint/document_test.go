package fingerprint_test

import (
	"encoding/hex"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"millrace/transforms/fingerprint"
)

// TestDocument compares the drawing of docs/format/prediction.md with the code.
func TestDocument(t *testing.T) {
	b := new(fingerprint.Builder)
	b.Reset(0x8877665544332211)
	row := fingerprint.Row{Kind: fingerprint.Present, EventMicros: 1_700_000_000_000_000}
	for i := range row.Hash {
		row.Hash[i] = byte(i)
	}
	b.View("trips", 2, 0x1111111111111111, row)
	b.View("quote", 0, 0x2222222222222222, fingerprint.Row{})
	b.View("profile", 1, 0x3333333333333333, fingerprint.Row{Kind: fingerprint.Absent})
	b.Tiles("trips", 900, []uint64{0x0f00000000000103, 0x0500000000000001, 0x0f00000000000103})
	want := b.Append(nil)
	drawn := drawing(t)
	if !slices.Equal(drawn, want) {
		t.Fatalf("docs/format/prediction.md draws another fingerprint than the code writes; stored predictions would all be stale\n page %x\n code %x", drawn, want)
	}
}

// drawing reads the lines "offset  bytes in hex  meaning" of the page.
func drawing(t *testing.T) []byte {
	t.Helper()
	page, err := os.ReadFile("../../docs/format/prediction.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```fingerprint\n")
	block, _, _ = strings.Cut(block, "```")
	var all []byte
	for line := range strings.Lines(block) {
		offset, rest, _ := strings.Cut(strings.TrimSpace(line), "  ")
		digits, _, _ := strings.Cut(strings.TrimSpace(rest), "  ")
		b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if at, err := strconv.Atoi(offset); err != nil || at != len(all) {
			t.Fatalf("line %q stands at %d", line, len(all))
		}
		all = append(all, b...)
	}
	return all
}
