package pipeline

import (
	"fmt"
	"testing"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sources"
	"millrace/transforms/window"
)

// withWindows makes the rig's view the simulated one, which counts its rows.
func withWindows(s *Settings) {
	store, _ := s.Sink.(interface {
		Tiles
		sinks.Meta
	})
	s.Routes[0].Views = []RouteView{simView()}
	s.Tiles, s.Sinces = store, sinks.NewSinces(store)
}

// counted returns what the window without end has counted of a key, in the
// tiles of all partitions together.
func (r *rig) counted(key string) int64 {
	r.t.Helper()
	hop := 0
	for simWindows.Hops[hop].Span != 0 {
		hop++
	}
	ids := []sinks.TileID{{Entity: "e", Key: key, View: "v@1", Source: 0}, {Entity: "e", Key: key, View: "v@1", Source: sinks.ReplaySource}}
	for i := range ids {
		ids[i].Start = window.TileStart(0, simWindows.Hops[hop].Span)
	}
	var set sinks.TileSet
	if err := r.store.ReadTiles(r.t.Context(), ids, &set); err != nil {
		r.t.Fatal(err)
	}
	n := int64(0)
	for i, state := range set.States {
		if state == nil {
			continue
		}
		tile := decodeTile(&sinks.Tile{TileID: ids[i], State: state})
		for a, spec := range simWindows.Hops[hop].Shape.Aggregates {
			if spec.Spec.Kind == window.KindCount {
				var c feature.Column
				c.Reset(feature.Of(feature.KindInt64))
				c.AppendNull()
				tile.Finalize(a, &c, 0)
				n += c.Ints[0]
			}
		}
	}
	return n
}

// TestARecordDeliveredAgainCountsOnce: a fence covers what earlier batches
// counted, so within one batch nothing but the lane's own look at offsets
// stands between a source that repeats itself and a window that counts twice.
func TestARecordDeliveredAgainCountsOnce(t *testing.T) {
	recs := func(offsets ...int64) sources.Fetch {
		var all []sources.Record
		for _, o := range offsets {
			all = append(all, record(o, 'a', 1000+o))
		}
		return fetch(p0, all...)
	}
	for name, c := range map[string]struct {
		fetches []sources.Fetch
		apart   bool // each is stored before the next one comes
		want    int64
		passed  string
	}{
		"the same fetch twice":           {[]sources.Fetch{recs(0, 1, 2), recs(0, 1, 2)}, false, 3, "[3]"},
		"the same fetch again, later":    {[]sources.Fetch{recs(0, 1, 2), recs(0, 1, 2)}, true, 3, "[3]"},
		"fetches that overlap":           {[]sources.Fetch{recs(0, 2, 3), recs(2, 3, 5, 6), recs(6, 8)}, false, 6, "[2]"},
		"records twice within one fetch": {[]sources.Fetch{recs(0, 1, 1, 0, 2)}, false, 3, "[2]"},
		"nothing twice":                  {[]sources.Fetch{recs(0, 4), recs(9, 11)}, false, 4, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			var passed []int
			run(t, func(s *Settings) {
				withWindows(s)
				s.Events.Repeated = func(_ sources.Partition, n int) { passed = append(passed, n) }
			}, func(r *rig) {
				r.assign(fresh(p0))
				if c.apart {
					settle()
				}
				for _, f := range c.fetches {
					r.src.h.Deliver(f)
					if c.apart {
						settle()
					}
				}
				settle()
				if n := r.counted("a"); n != c.want || fmt.Sprint(passed) != c.passed {
					t.Errorf("%d are counted, want %d; passed over %v, want %s", n, c.want, passed, c.passed)
				}
				last := c.fetches[len(c.fetches)-1].Records
				if m, _ := r.src.last(p0); len(last) > 0 && m.Offset == 0 {
					t.Errorf("committed %d", m.Offset)
				}
			})
		})
	}
}
