package feature_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
)

func TestCanonicalFormIsFrozen(t *testing.T) {
	s := feature.Stored{ID: 7, Columns: []feature.StoredColumn{
		{Name: "fare", Type: feature.Of(feature.KindFloat64), Since: 1},
		{Name: "embedding", Type: feature.Type{Kind: feature.KindFloat32, Depth: 1, Length: 3}, Since: 2, Hidden: true},
	}}
	const want = `{"columns":[{"name":"fare","type":"float64","since":1},` +
		`{"name":"embedding","type":"list<float32>","length":3,"since":2,"hidden":true}]}`
	if got := string(s.Canonical()); got != want {
		t.Errorf("canonical form changed; ids in every store follow from it\n got %s\nwant %s", got, want)
	}
	if got := string((&feature.Stored{}).Canonical()); got != `{"columns":[]}` {
		t.Errorf("schema without columns: %s", got)
	}
}

func TestParseStoredReadsWhatCanonicalWrote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := feature.Stored{Columns: rapid.SliceOf(storedColumns()).Draw(t, "columns")}
		got, err := feature.ParseStored(s.Canonical())
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Canonical()) != string(s.Canonical()) || len(got.Columns) != len(s.Columns) {
			t.Fatalf("got %+v, want %+v", got, s)
		}
		for i := range s.Columns {
			if got.Columns[i] != s.Columns[i] {
				t.Fatalf("column %d: got %+v, want %+v", i, got.Columns[i], s.Columns[i])
			}
		}
	})
}

func storedColumns() *rapid.Generator[feature.StoredColumn] {
	return rapid.Custom(func(t *rapid.T) feature.StoredColumn {
		typ := types().Draw(t, "type")
		if typ.IsList() {
			typ.Length = rapid.Uint32().Draw(t, "length")
		}
		return feature.StoredColumn{
			Name: rapid.StringMatching(`[a-z_][a-z0-9_]{0,8}`).Draw(t, "name"), Type: typ,
			Since: rapid.Uint16().Draw(t, "since"), Hidden: rapid.Bool().Draw(t, "hidden"),
		}
	})
}

func types() *rapid.Generator[feature.Type] {
	return rapid.Custom(func(t *rapid.T) feature.Type {
		return feature.Type{
			Kind:  rapid.SampledFrom([]feature.Kind{1, 2, 3, 4, 5, 6, 7, 8, 9}).Draw(t, "kind"),
			Depth: rapid.Uint8Range(0, 4).Draw(t, "depth"),
		}
	})
}

func TestParseStoredRefuses(t *testing.T) {
	for _, text := range []string{
		``, `{}`, `null`, `[]`,
		`{"columns":null}`,
		`{"columns":[]} `,
		`{"columns":[{"name":"a","type":"float128","since":1}]}`,
		`{"columns":[{"name":"a","type":"int64","length":2,"since":1}]}`,
		`{"columns":[{"name":"a","type":"int64","since":1,"codec":"zip"}]}`,
		`{"columns":[{"since":1,"name":"a","type":"int64"}]}`,
		`{"columns":[{"name":"a","type":"int64","since":65536}]}`,
	} {
		if _, err := feature.ParseStored([]byte(text)); !errors.Is(err, feature.ErrStoredSchema) {
			t.Errorf("ParseStored(%s) = %v, want ErrStoredSchema", text, err)
		}
	}
}
