package rowcodec_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
)

func TestWhatIsEncodedIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		buf := new(sinks.Buffer)
		rowcodec.NewEncoder().Encode(buf, rows)
		if len(buf.Rows) != rows.Len() || len(rows.Rejects) != 0 {
			t.Fatalf("%d rows became %d, rejects %+v", rows.Len(), len(buf.Rows), rows.Rejects)
		}
		got, err := read(schemas{rows.Stored.ID: rows.Stored}, values(buf), rows.Stored.Columns)
		if err != nil {
			t.Fatal(err)
		}
		for i, origin := range rows.Origins {
			o := got.Origins[i]
			want := feature.StoredOrigin{
				Sequence: feature.NewSequence(3, origin), EventMicros: origin.EventMicros,
				Partition: rows.Partition, SchemaID: rows.Stored.ID,
			}
			if !got.Found.Get(i) || o != want {
				t.Fatalf("row %d: found %v, origin %+v, want %+v", i, got.Found.Get(i), o, want)
			}
			for c := range rows.Columns {
				if !same(&got.Columns[c], i, &rows.Columns[c], i) || got.Missing[c].Get(i) {
					t.Fatalf("row %d, column %s (%s) came back different", i, rows.Stored.Columns[c].Name, rows.Columns[c].Type)
				}
			}
		}
	})
}

func TestFewColumnsReadLikeAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		buf := new(sinks.Buffer)
		rowcodec.NewEncoder().Encode(buf, rows)
		known := schemas{rows.Stored.ID: rows.Stored}
		all, err := read(known, values(buf), rows.Stored.Columns)
		if err != nil {
			t.Fatal(err)
		}
		order := rapid.Permutation(rows.Stored.Columns).Draw(t, "order")
		few := order[:rapid.IntRange(0, len(order)).Draw(t, "few")]
		part, err := read(known, values(buf), few)
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows.Origins {
			for c, column := range few {
				if !same(&part.Columns[c], i, &all.Columns[rows.Stored.Index(column)], i) {
					t.Fatalf("row %d: %s differs when it is read with %d others", i, column.Name, len(few)-1)
				}
			}
		}
	})
}

func TestOrderOfValuesIsOrderOfSequences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		draw := func() ([]byte, feature.Sequence) {
			v := *rows.View
			v.Revision = rapid.Uint16Max(2).Draw(t, "revision")
			rows.View = &v
			rows.Origins[0] = feature.Origin{
				RecordMillis: rapid.Int64Range(0, 1<<48-1).Draw(t, "record time"),
				Offset:       rapid.Int64Min(0).Draw(t, "offset"),
				Element:      int32(rapid.Uint16().Draw(t, "element")),
			}
			return rowcodec.AppendRow(nil, rows, 0), feature.NewSequence(v.Revision, rows.Origins[0])
		}
		a, seqA := draw()
		b, seqB := draw()
		if seqA != seqB && bytes.Compare(a, b) != seqA.Compare(seqB) {
			t.Fatalf("sequences compare %d, values %d", seqA.Compare(seqB), bytes.Compare(a, b))
		}
	})
}

func TestEncodedRowSaysWhereItGoes(t *testing.T) {
	st := &feature.Stored{ID: 9}
	rows := newRows(st, 2)
	rows.View.Expire = time.Hour
	buf := encodeAll(t, rows)
	got := buf.Rows[1]
	if got.Entity != "driver" || got.Key != "2" || got.View != "driver_trips@1" ||
		got.Stamp != rows.Origins[1].EventMicros || got.Expire != time.Hour {
		t.Errorf("row %+v", got)
	}
	if buf.Origins[1] != rows.Origins[1] {
		t.Errorf("origin %+v", buf.Origins[1])
	}
}

func TestOneViewMayChangeItsGeneration(t *testing.T) {
	enc, buf, rows := rowcodec.NewEncoder(), new(sinks.Buffer), newRows(&feature.Stored{ID: 9}, 1)
	enc.Encode(buf, rows)
	rows.View.Generation = 2
	enc.Encode(buf, rows)
	if buf.Rows[0].View != "driver_trips@1" || buf.Rows[1].View != "driver_trips@2" {
		t.Errorf("views %s and %s", buf.Rows[0].View, buf.Rows[1].View)
	}
}

func TestNaNHasOnePattern(t *testing.T) {
	st := &feature.Stored{ID: 9, Columns: []feature.StoredColumn{
		{Name: "a", Type: feature.Of(feature.KindFloat64)}, {Name: "b", Type: feature.Of(feature.KindFloat32)},
	}}
	rows := newRows(st, 2)
	for i, v := range []float64{math.NaN(), math.Float64frombits(0xfff8_0000_0000_0000)} {
		rows.Origins[i] = feature.Origin{}
		rows.Columns[0].SetFloat(i, v)
		rows.Columns[1].SetFloat(i, v)
	}
	if !bytes.Equal(rowcodec.AppendRow(nil, rows, 0), rowcodec.AppendRow(nil, rows, 1)) {
		t.Error("two NaN have different bytes; a replay on another processor would not be a replay")
	}
}

func TestRowsThatNoStoreMaySee(t *testing.T) {
	st := &feature.Stored{ID: 9, Columns: []feature.StoredColumn{
		{Name: "note", Type: feature.Of(feature.KindString)},
		{Name: "pair", Type: feature.Type{Kind: feature.KindInt64, Depth: 1, Length: 2}},
	}}
	for _, c := range []struct {
		name   string
		damage func(*feature.Rows)
		reason feature.Reason
	}{
		{"a row of more than 1 MiB", func(r *feature.Rows) { r.Columns[0].SetString(1, strings.Repeat("x", sinks.MaxRowBytes)) }, feature.ReasonRowTooLarge},
		{"a stamp too low", func(r *feature.Rows) { r.Origins[1].EventMicros = math.MinInt64 }, feature.ReasonTimeRange},
		{"a stamp too high", func(r *feature.Rows) { r.Origins[1].EventMicros = sinks.MaxStamp + 1 }, feature.ReasonTimeRange},
		{"an element too high", func(r *feature.Rows) { r.Origins[1].Element = feature.MaxElement + 1 }, feature.ReasonTooLarge},
		{"a list of the wrong length", func(r *feature.Rows) { r.Columns[1].SetList(1, 0) }, feature.ReasonLength},
		{"a long key", func(r *feature.Rows) { stringKey(r, strings.Repeat("k", feature.MaxKeyBytes+1)) }, feature.ReasonKeyTooLarge},
		{"a key that escapes make long", func(r *feature.Rows) { stringKey(r, strings.Repeat("|", feature.MaxKeyBytes/2+1)) }, feature.ReasonKeyTooLarge},
	} {
		rows, buf := newRows(st, 3), new(sinks.Buffer)
		c.damage(rows)
		rowcodec.NewEncoder().Encode(buf, rows)
		if len(buf.Rows) != 2 || len(buf.Origins) != 2 || len(rows.Rejects) != 1 {
			t.Errorf("%s: %d rows, %d rejects; its neighbours must pass", c.name, len(buf.Rows), len(rows.Rejects))
			continue
		}
		r := rows.Rejects[0]
		if r.Reason != c.reason || r.Stage != feature.StageEncode || r.Origin != rows.Origins[1] || r.Message == "" {
			t.Errorf("%s: reject %+v, want reason %s", c.name, r, c.reason)
		}
	}
}

func stringKey(r *feature.Rows, key string) {
	r.Keys[0].Reset(feature.Of(feature.KindString))
	r.Keys[0].Resize(3)
	for i, k := range []string{"1", key, "3"} {
		r.Keys[0].SetString(i, k)
	}
}

func TestLargestRowAndKeyPass(t *testing.T) {
	st := &feature.Stored{ID: 9, Columns: []feature.StoredColumn{{Name: "note", Type: feature.Of(feature.KindString)}}}
	rows := newRows(st, 3)
	empty := len(rowcodec.AppendRow(nil, withNote(rows, ""), 1))
	withNote(rows, strings.Repeat("x", sinks.MaxRowBytes-empty))
	stringKey(rows, strings.Repeat("k", feature.MaxKeyBytes))
	buf := encodeAll(t, rows)
	if len(buf.Rows[1].Value) != sinks.MaxRowBytes || len(buf.Rows[1].Key) != feature.MaxKeyBytes {
		t.Errorf("value of %d bytes under a key of %d", len(buf.Rows[1].Value), len(buf.Rows[1].Key))
	}
}

// TestSizeIsCountedExactly: the limit is checked before a byte is written, so
// the count must be right for values of every shape.
func TestSizeIsCountedExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		rows.Stored.Columns = append(rows.Stored.Columns, feature.StoredColumn{Name: "note", Type: feature.Of(feature.KindString)})
		note := new(feature.Column)
		note.Reset(feature.Of(feature.KindString))
		note.Resize(rows.Len())
		rows.Columns = append(rows.Columns, *note)
		last := &rows.Columns[len(rows.Columns)-1]
		last.SetString(0, "")
		room := sinks.MaxRowBytes - len(rowcodec.AppendRow(nil, rows, 0))
		for over := range 2 {
			last.SetString(0, maxNote[:room+over])
			buf := new(sinks.Buffer)
			rows.Rejects = nil
			rowcodec.NewEncoder().Encode(buf, rows)
			if len(rows.Rejects) != over {
				t.Fatalf("a row %d bytes over the limit: rejects %+v", over, rows.Rejects)
			}
		}
	})
}

var maxNote = strings.Repeat("x", sinks.MaxRowBytes)

func withNote(rows *feature.Rows, note string) *feature.Rows {
	rows.Columns[0].SetString(1, note)
	return rows
}

func TestNaNIsTheOneOfTheDocument(t *testing.T) {
	st := &feature.Stored{ID: 9, Columns: []feature.StoredColumn{
		{Name: "b", Type: feature.Of(feature.KindFloat32)}, {Name: "a", Type: feature.Of(feature.KindFloat64)},
	}}
	rows := newRows(st, 1)
	rows.Columns[0].SetFloat(0, math.NaN())
	rows.Columns[1].SetFloat(0, math.NaN())
	want := []byte{0, 0, 0xc0, 0x7f, 1, 0, 0, 0, 0, 0, 0xf8, 0x7f}
	if got := rowcodec.AppendRow(nil, rows, 0); !bytes.HasSuffix(got, want) {
		t.Errorf("NaN of both widths: % x", got[len(got)-len(want):])
	}
}

// TestDeletedRowIsAHeader holds deletes to docs/format/row.md, also where the
// row's lists would be refused, and reads one beside a row.
func TestDeletedRowIsAHeader(t *testing.T) {
	_, st := oneRow(t)
	rows := newRows(st, 2)
	rows.Origins[0].Deleted = true
	for i := range rows.Columns {
		if c := &rows.Columns[i]; c.Type.IsList() {
			c.SetList(0, c.Elems.Len()) // none, whatever the length declared
		}
	}
	b := encodeAll(t, rows)
	if len(b.Rows) != 2 || len(b.Rows[0].Value) != 36 || b.Rows[0].Value[19] != 1 || b.Rows[1].Value[19] != 0 {
		t.Fatalf("rows %x, rejects %+v", b.Rows, rows.Rejects)
	}
	got, err := read(schemas{st.ID: st}, [][]byte{b.Rows[0].Value, b.Rows[1].Value}, st.Columns)
	if err != nil {
		t.Fatal(err)
	}
	if got.Found.Get(0) || !got.Found.Get(1) || got.Origins[0].Flags != feature.RowDeleted || got.Origins[0].EventMicros != rows.Origins[0].EventMicros {
		t.Errorf("found %v and %v, origin %+v", got.Found.Get(0), got.Found.Get(1), got.Origins[0])
	}
}

// TestHashIsOfTheBytes: only where it is asked for, of rows that are there, and
// of the whole row, whichever columns are asked for.
func TestHashIsOfTheBytes(t *testing.T) {
	_, st := oneRow(t)
	rows := newRows(st, 3)
	rows.Origins[2].Deleted = true
	b := encodeAll(t, rows)
	other := bytes.Clone(b.Rows[1].Value)
	other[17]++ // of the sequence, which no column shows
	stored := [][]byte{b.Rows[0].Value, nil, b.Rows[2].Value, b.Rows[0].Value, b.Rows[1].Value, other}
	q := query(len(stored), st.Columns[:1])
	r, dst := rowcodec.NewReader(cells{stored}, schemas{st.ID: st}), make([]feature.Loaded, 1)
	for _, asked := range []bool{true, false, true} {
		q.Views[0].Hash = asked
		if err := r.Read(t.Context(), q, dst); err != nil {
			t.Fatal(err)
		}
		for i, value := range stored {
			var want [16]byte
			if asked && dst[0].Found.Get(i) {
				want = xxh3.Hash128(value).Bytes()
			}
			if got := dst[0].Origins[i].Hash; got != want || (want != [16]byte{}) != (asked && i != 1 && i != 2) {
				t.Errorf("asked %t: row %d has hash %x, want %x", asked, i, got, want)
			}
		}
		if o := dst[0].Origins; asked && (o[0].Hash != o[3].Hash || o[0].Hash == o[4].Hash || o[4].Hash == o[5].Hash) {
			t.Errorf("hashes %x %x %x %x", o[0].Hash, o[3].Hash, o[4].Hash, o[5].Hash)
		}
	}
	const known = "99aa06d3014798d86001c324468d497f" // XXH3's own test vector: of no bytes, seed 0
	if got := fmt.Sprintf("%x", xxh3.Hash128(nil).Bytes()); got != known {
		t.Errorf("the hash of nothing is %s, not %s: every stored prediction would be stale", got, known)
	}
}
