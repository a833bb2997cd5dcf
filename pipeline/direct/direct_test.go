package direct

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sources"
)

const rowOfAll = `{"driver_id":7,"fare":3,"code":"12","items":[{"sku":"a","qty":1},{"sku":"b","qty":2}]}`

// endCase is what becomes of one row.
type endCase struct {
	views  []string
	view   string
	rec    sources.Record
	end    End
	cells  []string
	faults []string // view/element: reason, and text of the message
	counts []ViewEnds
}

func endCases() map[string]endCase {
	rowLevel := []string{"fares", "codes", "sold"}
	return map[string]endCase{
		"every view stores it": {
			views: rowLevel, rec: raw(rowOfAll), end: Stored, cells: []string{"7 codes@1", "7 fares@1", "a sold@1", "b sold@1"},
			counts: []ViewEnds{{"fares", 1, 0, 0}, {"codes", 1, 0, 0}, {"sold", 2, 0, 0}},
		},
		"for one view": {
			views: rowLevel, view: "codes", rec: raw(rowOfAll), end: Stored, cells: []string{"7 codes@1"},
			counts: []ViewEnds{{"codes", 1, 0, 0}},
		},
		"for the one that unnests": {
			views: rowLevel, view: "sold", rec: raw(rowOfAll), end: Stored, cells: []string{"a sold@1", "b sold@1"},
			counts: []ViewEnds{{"sold", 2, 0, 0}},
		},
		"where takes it out of one view": {
			views: rowLevel, rec: raw(`{"driver_id":7,"fare":-1,"code":"1"}`), end: Stored, cells: []string{"7 codes@1"},
			counts: []ViewEnds{{"fares", 0, 1, 0}, {"codes", 1, 0, 0}, {"sold", 0, 0, 0}},
		},
		"filtered": {
			views: rowLevel, view: "fares", rec: raw(`{"driver_id":7,"fare":-1}`), end: Filtered,
			counts: []ViewEnds{{"fares", 0, 1, 0}},
		},
		"one view refuses it": {
			views: rowLevel, rec: raw(`{"driver_id":7,"fare":1,"code":"x"}`), end: Stored, cells: []string{"7 fares@1"},
			faults: []string{"codes/0: expression number"},
			counts: []ViewEnds{{"fares", 1, 0, 0}, {"codes", 0, 0, 1}, {"sold", 0, 0, 0}},
		},
		"the only view refuses it": {
			views: rowLevel, view: "codes", rec: raw(`{"driver_id":7,"code":"x"}`), end: Rejected,
			faults: []string{"codes/0: expression number"}, counts: []ViewEnds{{"codes", 0, 0, 1}},
		},
		"an element is refused": {
			views: rowLevel, view: "sold", rec: raw(`{"items":[{"sku":"a","qty":1},{"sku":null,"qty":1},{"sku":"c","qty":"x"}]}`), end: Stored, cells: []string{"a sold@1"},
			faults: []string{"/2: wrong_type qty", "sold/1: null_key sku"}, counts: []ViewEnds{{"sold", 1, 0, 2}},
		},
		"nobody can read it": {
			views: rowLevel, rec: raw(`{"driver_id":`), end: Rejected, faults: []string{"/0: malformed "},
			counts: []ViewEnds{{"fares", 0, 0, 1}, {"codes", 0, 0, 1}, {"sold", 0, 0, 1}},
		},
		"a delete is no row": {
			views: rowLevel, view: "fares", rec: sources.Record{}, end: Rejected,
			faults: []string{"fares/0: no_key driver_id"}, counts: []ViewEnds{{"fares", 0, 0, 1}},
		},
		"finished": {
			views: rowLevel, view: "fares", rec: finished("fares", `{"driver_id":7,"amount":-5}`), end: Stored, cells: []string{"7 fares@1"},
			counts: []ViewEnds{{"fares", 1, 0, 0}},
		},
		"finished, of every view's route": {
			views: rowLevel, rec: finished("fares", `{"driver_id":7,"amount":-5}`), end: Stored, cells: []string{"7 fares@1"},
			counts: []ViewEnds{{"fares", 1, 0, 0}, {"codes", 0, 0, 0}, {"sold", 0, 0, 0}},
		},
		"finished without a column": {
			views: rowLevel, view: "fares", rec: finished("fares", `{"driver_id":7}`), end: Rejected,
			faults: []string{"fares/0: missing_column amount"}, counts: []ViewEnds{{"fares", 0, 0, 1}},
		},
		"finished for no view": {
			views: rowLevel, rec: finished("nope", `{"driver_id":7}`), end: Rejected,
			faults: []string{"/0: unknown_view "}, counts: []ViewEnds{{"fares", 0, 0, 1}, {"codes", 0, 0, 1}, {"sold", 0, 0, 1}},
		},
		"finished for windows alone": {
			views: []string{"counts"}, rec: finished("counts", `{"driver_id":7}`), end: Rejected,
			faults: []string{"counts/0: windows_only "}, counts: []ViewEnds{{"counts", 0, 0, 1}},
		},
		"too far ahead": {
			views: rowLevel, view: "fares", rec: raw(fmt.Sprintf(`{"driver_id":7,"fare":1,"at":%d}`, base+3_600_000)), end: Rejected,
			faults: []string{"fares/0: event_time_future "}, counts: []ViewEnds{{"fares", 0, 0, 1}},
		},
	}
}

func TestEndsOfRows(t *testing.T) {
	for name, c := range endCases() {
		t.Run(name, func(t *testing.T) {
			store := new(memory.Store)
			b, err := applier(t, store, c.views...).Apply(context.Background(), "trips", c.view, []sources.Record{c.rec})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if len(store.Rows()) > 0 {
				t.Error("something was stored before Store")
			}
			if err := b.Store(context.Background()); err != nil {
				t.Fatal(err)
			}
			if b.Ends[0] != c.end {
				t.Errorf("end %d, want %d", b.Ends[0], c.end)
			}
			if got := cellNames(store); !slices.Equal(got, c.cells) {
				t.Errorf("stored %q, want %q", got, c.cells)
			}
			if !slices.Equal(b.Views, c.counts) {
				t.Errorf("views %v, want %v", b.Views, c.counts)
			}
			checkFaults(t, b.Faults, c.faults)
			if hasKey := b.Keys[0] != ""; hasKey != (c.end == Stored) {
				t.Errorf("key %q of end %d", b.Keys[0], c.end)
			}
		})
	}
}

func checkFaults(t *testing.T, got []Fault, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("faults %v, want %q", got, want)
	}
	for i, f := range got {
		head, says, _ := strings.Cut(want[i], " ")
		rest, says2, _ := strings.Cut(says, " ")
		if fmt.Sprintf("%s/%d:", f.View, f.Element) != head || string(f.Reason) != rest || !strings.Contains(f.Message, says2) {
			t.Errorf("fault %+v, want %q", f, want[i])
		}
	}
}

// cellNames lists what is stored.
func cellNames(store *memory.Store) []string {
	var names []string
	for _, r := range store.Rows() {
		names = append(names, r.Key+" "+r.View)
	}
	slices.Sort(names)
	return names
}

// TestOneWritePerCell: the newest row of a key is stored; of equal times the
// later one in the request.
func TestOneWritePerCell(t *testing.T) {
	store := new(memory.Store)
	a := applier(t, store, "fares")
	recs := []sources.Record{
		raw(fmt.Sprintf(`{"driver_id":7,"fare":1,"at":%d}`, base+1)),
		raw(fmt.Sprintf(`{"driver_id":7,"fare":2,"at":%d}`, base+2)),
		raw(fmt.Sprintf(`{"driver_id":7,"fare":3,"at":%d}`, base+2)),
		raw(fmt.Sprintf(`{"driver_id":7,"fare":4,"at":%d}`, base)),
	}
	b, err := a.Apply(context.Background(), "trips", "", recs)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Store(context.Background()); err != nil {
		t.Fatal(err)
	}
	if b.Views[0].Stored != 4 {
		t.Errorf("%d stored; superseded rows are stored, too", b.Views[0].Stored)
	}
	rows := store.Rows()
	if len(rows) != 1 || feature.Sequence(rows[0].Value[:feature.SequenceBytes]).Offset() != recs[2].Offset {
		t.Errorf("stored %d rows, not the third alone", len(rows))
	}
}

func TestNumbersNeverGoBack(t *testing.T) {
	a := applier(t, new(memory.Store), "fares")
	last := int64(base) * 1_000_000 // of a former process
	for range 3 {
		recs := []sources.Record{raw(`{"driver_id":1}`), raw(`{"driver_id":2}`)}
		b, err := a.Apply(context.Background(), "trips", "", recs)
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		for _, r := range recs {
			if r.Offset <= last || r.TimeMillis != base {
				t.Fatalf("number %d at %d after %d", r.Offset, r.TimeMillis, last)
			}
			last = r.Offset
		}
	}
}

func TestUnknownTargets(t *testing.T) {
	a := applier(t, new(memory.Store), "fares")
	for _, at := range []target{{"nope", ""}, {"trips", "nope"}} {
		if _, err := a.Apply(context.Background(), at.source, at.view, nil); err == nil {
			t.Errorf("%v is taken in", at)
		}
	}
}

func TestStoreSaysWhatFailed(t *testing.T) {
	for _, op := range []string{"Write", "Sync"} {
		store := new(memory.Store)
		store.Fail(func(at string) error {
			if at == op {
				return sinks.ErrUnavailable
			}
			return nil
		})
		b, err := applier(t, store, "fares").Apply(context.Background(), "trips", "", []sources.Record{raw(`{"driver_id":1,"fare":1}`)})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Store(context.Background()); !errors.Is(err, sinks.ErrUnavailable) {
			t.Errorf("%s fails: %v", op, err)
		}
		b.Close()
	}
}

// TestTheSameAsALane stores random rows directly and through a lane: cells and
// ends are the same, but for the number and the partition that a row tells.
func TestTheSameAsALane(t *testing.T) {
	views := []string{"fares", "codes", "sold"}
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var recs []sources.Record
		for i := range rng.IntN(60) + 1 {
			r := randomRow(rng)
			r.Offset, r.TimeMillis = int64(i), base
			recs = append(recs, r)
		}
		lane := throughLane(t, slices.Clone(recs), views...)
		direct := new(memory.Store)
		a := applier(t, direct, views...)
		faults := 0
		for len(recs) > 0 { // in requests of any size, one memory after the other
			n := 1 + rng.IntN(len(recs))
			b, err := a.Apply(context.Background(), "trips", "", recs[:n])
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Store(context.Background()); err != nil {
				t.Fatal(err)
			}
			faults += len(b.Faults)
			b.Close()
			recs = recs[n:]
		}
		if want := len(lane.Letters()); faults != want {
			t.Errorf("seed %d: %d faults, the lane has %d letters", seed, faults, want)
		}
		want, got := lane.Rows(), direct.Rows()
		if len(want) != len(got) {
			t.Fatalf("seed %d: %d cells, the lane has %d", seed, len(got), len(want))
		}
		for i := range want {
			if text(&want[i]) != text(&got[i]) {
				t.Errorf("seed %d: cell %s, the lane's %s", seed, text(&got[i]), text(&want[i]))
			}
		}
	}
}

// text is a cell without the number and the partition.
func text(r *sinks.Row) string {
	v := slices.Clone(r.Value)
	clear(v[8:16])  // offset
	clear(v[20:24]) // partition
	return fmt.Sprintf("%s %s %s %d %x", r.Entity, r.Key, r.View, r.Stamp, v)
}

func randomRow(rng *rand.Rand) sources.Record {
	at := fmt.Sprint(base - 5 + rng.Int64N(10))
	key := fmt.Sprint(rng.IntN(6))
	switch rng.IntN(12) {
	case 0:
		return raw(`{"driver_id":`)
	case 1:
		return finished("fares", `{"driver_id":`+key+`,"amount":1.5}`)
	case 2:
		return finished("codes", `{"driver_id":`+key+`,"numbr":1}`)
	case 3:
		return finished("nope", `{"driver_id":`+key+`}`)
	}
	code := []string{`"12"`, `"x"`, `null`}[rng.IntN(3)]
	fare := []string{"-1", "2.5", "null", `"x"`}[rng.IntN(4)]
	items := []string{`[]`, `null`, `[{"sku":"a","qty":1},{"sku":"b","qty":2}]`, `[{"sku":"a","qty":3},{"sku":null}]`, `[{"sku":"c","qty":"x"}]`}[rng.IntN(5)]
	return raw(`{"driver_id":` + key + `,"fare":` + fare + `,"code":` + code + `,"items":` + items + `,"at":` + at + `}`)
}
