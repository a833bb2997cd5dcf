package sinktest

import (
	"testing"
	"time"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
)

// equalHashes reads rows with their hashes: what was written twice has one, any
// other row another, whatever the store keeps beside it.
func equalHashes(t *testing.T, s Store) {
	entity := fresh("entity")
	st := &feature.Stored{Columns: []feature.StoredColumn{{Name: "n", Type: feature.Of(feature.KindInt64), Since: 1}}}
	schemas := sinks.NewSchemas(s)
	id, err := schemas.Put(t.Context(), *st)
	if err != nil {
		t.Fatal(err)
	}
	st.ID = id
	at := func(key string, n int64, expire time.Duration) sinks.Row {
		rows := feature.Rows{View: &feature.View{Revision: 1}, Stored: st, Origins: []feature.Origin{{Offset: 5, EventMicros: 1000}}}
		rows.Columns = make([]feature.Column, 1)
		rows.Columns[0].Reset(feature.Of(feature.KindInt64))
		rows.Columns[0].Resize(1)
		rows.Columns[0].SetInt(0, n)
		r := row(entity, key, "v@1", 1000, string(rowcodec.AppendRow(nil, &rows, 0)))
		r.Expire = expire
		return r
	}
	write(t, s, at("a", 1, 0), at("b", 1, time.Hour), at("c", 2, 0))
	q := &feature.Query{Entity: entity, Keys: []string{"a", "b", "c", "none"}, Views: []feature.ViewQuery{{View: "v@1", Columns: st.Columns, Hash: true}}}
	dst := make([]feature.Loaded, 1)
	hashes := func() [4][16]byte {
		if err := rowcodec.NewReader(s, schemas).Read(t.Context(), q, dst); err != nil {
			t.Fatal(err)
		}
		o := dst[0].Origins
		return [4][16]byte{o[0].Hash, o[1].Hash, o[2].Hash, o[3].Hash}
	}
	first := hashes()
	if first[0] != first[1] || first[0] == first[2] || first[0] == [16]byte{} || first[3] != [16]byte{} {
		t.Errorf("hashes %x", first)
	}
	write(t, s, at("a", 1, 0), at("c", 3, 0)) // a replay, and of equal stamps the greater bytes
	if again := hashes(); again[0] != first[0] || again[2] == first[2] {
		t.Errorf("hashes %x, and before %x", again, first)
	}
}
