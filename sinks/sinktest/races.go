package sinktest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"millrace/sinks"
)

func raceContracts() []contract {
	return []contract{
		{"ConcurrentWritersOfOneCell", concurrentWriters},
		{"ReadersNeverSeeACellGoBack", neverBack},
		{"AnyHistoryInAnyPiecesGivesTheModel", anyHistory},
	}
}

// concurrentWriters lets writers race for one cell with shuffled stamps, many
// of them equal; the greatest row must stay.
func concurrentWriters(t *testing.T, s Store) {
	const writers, each = 8, 60
	entity := fresh("entity")
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for _, i := range rand.Perm(each) {
				r := row(entity, "hot", "v@1", int64(i/3), fmt.Sprintf("%02d of %d", i, w))
				if err := s.Write(t.Context(), []sinks.Row{r}); err != nil {
					t.Errorf("Write: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	expect(t, "the hot cell", read(t, s, entity, "hot", "v@1"), fmt.Sprintf("%02d of %d", each-1, writers-1))
}

// neverBack reads a cell while it is written in a shuffled order.
func neverBack(t *testing.T, s Store) {
	const n = 300
	entity := fresh("entity")
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for _, i := range rand.Perm(n) {
			r := sinks.Row{Entity: entity, Key: "k", View: "v@1", Stamp: int64(i) - n/2, Value: binary.BigEndian.AppendUint32(nil, uint32(i))}
			if err := s.Write(t.Context(), []sinks.Row{r}); err != nil {
				t.Errorf("Write: %v", err)
				return
			}
		}
	})
	last := -1
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		got := read(t, s, entity, "k", "v@1")
		if got == nil {
			continue
		}
		now := int(binary.BigEndian.Uint32(got))
		if now < last {
			t.Errorf("the cell went from row %d back to row %d", last, now)
			running = false
		}
		last = now
	}
	wg.Wait()
	if last != n-1 {
		t.Errorf("the cell ends at row %d, want %d", last, n-1)
	}
}

type cell struct{ key, view string }

// anyHistory writes random histories, cut into random calls and partly
// repeated, and compares every cell with the plain rule.
func anyHistory(t *testing.T, s Store) {
	keys, views := []string{"a", "b", "ü|"}, []string{"v@1", "w@1"}
	rapid.Check(t, func(t *rapid.T) {
		entity := fresh("entity")
		model := make(map[cell]sinks.Row)
		for _, call := range rapid.SliceOfN(genCall(keys, views), 1, 8).Draw(t, "calls") {
			rows := make([]sinks.Row, 0, len(call))
			for at, r := range call {
				r.Entity = entity
				rows = append(rows, r)
				if old, ok := model[at]; !ok || r.Newer(&old) {
					model[at] = r
				}
			}
			for range rapid.IntRange(1, 2).Draw(t, "times") {
				write(t, s, rows...)
			}
		}
		got := readAll(t, s, entity, keys, views)
		for i, v := range got {
			at := cell{keys[i/len(views)], views[i%len(views)]}
			expect(t, fmt.Sprintf("cell %d", i), v, string(model[at].Value))
		}
	})
}

// genCall draws the rows of one Write: distinct cells, few stamps and few
// bytes, so that ties are common.
func genCall(keys, views []string) *rapid.Generator[map[cell]sinks.Row] {
	return rapid.Custom(func(t *rapid.T) map[cell]sinks.Row {
		call := make(map[cell]sinks.Row)
		for range rapid.IntRange(1, 6).Draw(t, "rows") {
			at := cell{rapid.SampledFrom(keys).Draw(t, "key"), rapid.SampledFrom(views).Draw(t, "view")}
			stamp := rapid.Int64Range(-2, 2).Draw(t, "stamp")
			value := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7f, 0x80, 0xff}), 1, 3).Draw(t, "value")
			call[at] = sinks.Row{Key: at.key, View: at.view, Stamp: stamp, Value: value}
		}
		return call
	})
}
