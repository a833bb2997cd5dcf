package draft_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/cmd/millrace/internal/draft"
	"millrace/feature"
	"millrace/sources"
	"millrace/sources/jsonrec"
)

// jsonValue generates what stands in JSON records, secrets of people in it.
func jsonValue(depth int) *rapid.Generator[any] {
	scalars := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int64().AsAny(), rapid.Float64Range(-1e6, 1e6).AsAny(),
		rapid.Int64Range(1_700_000_000_000, 1_800_000_000_000).AsAny(),
		rapid.SampledFrom([]any{"secret-a", "secret-b", "2026-01-01T00:00:00Z", "12", "-1.5e3", "007", ""}),
	}
	if depth == 0 {
		return rapid.OneOf(scalars...)
	}
	return rapid.OneOf(append(scalars,
		rapid.SliceOfN(jsonValue(depth-1), 0, 3).AsAny(), jsonObject(depth-1).AsAny(), jsonObject(depth-1).AsAny())...)
}

var memberNames = []string{"id", "ts", "created_at", "price", "end", "a.b", "a_b", "a-b", "2", "on", "naïve", "line\nbreak", "\"q\"", "{x}", "#", "", "Id"}

func jsonObject(depth int) *rapid.Generator[map[string]any] {
	return rapid.MapOfN(rapid.SampledFrom(memberNames), jsonValue(depth), 0, 6)
}

// TestADraftReadsEveryRecordOfItsSample, passes the checks of definitions, and
// shows no value.
func TestADraftReadsEveryRecordOfItsSample(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var records []sources.Record
		for i, v := range rapid.SliceOfN(jsonObject(3), 1, 8).Draw(t, "records") {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, sources.Record{Value: text, Offset: int64(i), TimeMillis: 1_767_225_600_000})
		}
		s, err := draft.FromJSON("s", "topic", records)
		if err != nil {
			if !strings.Contains(err.Error(), "no members") {
				t.Fatal(err)
			}
			return
		}
		yaml := s.YAML()
		if strings.Contains(string(yaml), "secret") {
			t.Fatalf("a value is shown:\n%s", yaml)
		}
		src := load(t, yaml).Catalog.Source("s")
		fields := make([]feature.Field, len(src.Fields))
		for i := range fields {
			fields[i] = src.Fields[i].Field
		}
		d, err := jsonrec.New(src, fields)
		if err != nil {
			t.Fatal(err)
		}
		var b feature.Batch
		b.Reset(fields, 0)
		if err := d.Decode(t.Context(), &b, records); err != nil || len(b.Rejects) > 0 {
			t.Fatalf("%v, %v\n%s", err, b.Rejects, yaml)
		}
	})
}
