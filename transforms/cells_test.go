package transforms_test

import (
	"testing"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// TestCellsOfARead: partitions multiply the tiles of a read, unless the
// record's key, all of it and as it is, says whose an event is.
func TestCellsOfARead(t *testing.T) {
	keyed := func(names ...string) *feature.Source {
		src := *trips
		src.Fields = append([]feature.SourceField(nil), trips.Fields...)
		for i := range src.Fields {
			for _, n := range names {
				src.Fields[i].Key = src.Fields[i].Key || src.Fields[i].Name == n
			}
		}
		return &src
	}
	pushed := *trips
	pushed.Kind = feature.SourcePush
	for _, c := range []struct {
		name string
		src  *feature.Source
		key  string // expression of the view's one join key
		want int
	}{
		{"keyed by something else", trips, "driver_id", 61 * 40},
		{"the whole key", keyed("driver_id"), " driver_id ", 61},
		{"a part of the key", keyed("driver_id", "status"), "driver_id", 61 * 40},
		{"another field is the key", keyed("status"), "driver_id", 61 * 40},
		{"computed of the key", keyed("driver_id"), "driver_id % 100", 61 * 40},
		{"pushed", &pushed, "driver_id", 61},
	} {
		v := windowed(view(""), map[string]feature.Aggregate{"n": {Kind: "count", Window: hour, Hop: time.Minute}}, "n")
		v.Keys = []feature.JoinKeyExpr{{JoinKey: "driver_id", Expr: c.key}}
		p, problems := transforms.Compile(v, c.src, driver)
		if len(problems) > 0 {
			t.Fatalf("%s: %+v", c.name, problems)
		}
		if got := p.Cells(0, 40); got != c.want {
			t.Errorf("%s: %d cells, want %d", c.name, got, c.want)
		}
		most := transforms.Explain(p).Windows.Hops[0].Partitions
		if want := 32; c.want > 61 && most != want || c.want == 61 && most != 0 {
			t.Errorf("%s: explained with up to %d partitions", c.name, most)
		}
		if c.want > 61 && p.Cells(0, most) > transforms.MaxCells {
			t.Errorf("%s: %d partitions are too many", c.name, most)
		}
		if p.Cells(0, 0) != 0 {
			t.Errorf("%s: cells of a topic that is not there", c.name)
		}
	}
}
