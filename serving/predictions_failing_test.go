package serving_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"millrace/internal/synctest"
	"millrace/transforms"
)

// Windows that cannot be merged are a change of inputs: of the tiles that were
// not looked at nobody knows.
func TestPredictionsOfWindowsThatFailAreNotFresh(t *testing.T) {
	for name, spoil := range map[string]func(w *world){
		"a damaged tile": func(w *world) {
			w.store.PutTile("trip@1", "1", 15*time.Minute, w.now.Truncate(15*time.Minute), 0, []byte("no tile"))
		},
		"too many tiles": func(w *world) {
			var tile []byte
			w.store.EachTile(func(_, _ string, _ int32, _ int64, _ int32, state []byte) { tile = state })
			for i := range int32(transforms.MaxCells) {
				w.store.PutTile("trip@1", "1", 15*time.Minute, w.now.Truncate(15*time.Minute), i+1, tile)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "")
				p := load(t, strings.Replace(predicted, "MORE", "", 1)).Plans["trip"]
				w.put(1, 3)
				count(t, w.store, p, 0, 0, `{"driver_id": 1, "n": 3}`)
				w.expect("22 PRESENT prediction_computed:missing", "fraud:score")
				synctest.Wait()
				w.expect("22 PRESENT prediction_fresh:on_read", "fraud:score")
				w.now = w.now.Add(11 * time.Minute) // a stale one is not served any more
				spoil(w)
				w.expect("null ERROR prediction_failed:input", "fraud:score")
				synctest.Wait()
				if w.ends["kept written"] != 1 {
					t.Errorf("ends %v", w.ends)
				}
			})
		})
	}
}

// What an input was before it failed may look like what it is: null.
func TestPredictionsOfValuesThatFailAreNotFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "    fingerprint: values", `"trip:last", "trip:shown", "trip:count_1h", "double:last4"`, `"trip:fault"`)
		w.expect("0 PRESENT prediction_computed:missing", "fraud:score")
		synctest.Wait()
		w.now = w.now.Add(11 * time.Minute)
		w.put(1, 13)
		w.expect("null ERROR prediction_failed:input", "fraud:score")
	})
}

// A row that cannot be read fails the refresh of its own key, and of none beside it.
func TestRefreshOfARowThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		keys := []string{"1", "2", "3", "4", "5"}
		for _, bad := range []string{"2", "5"} {
			if err := w.store.Put("trip@1", bad, w.now, `{"last": "x", "n": "x"}`); err != nil {
				t.Fatal(err)
			}
		}
		ends, err := w.svc.Refresh(t.Context(), "fraud", keys, transforms.ByWrite, nil)
		if got := shownEnds(ends); err != nil || got != "[stored failed stored stored failed]" {
			t.Errorf("ends %s, %v", got, err)
		}
		if w.ends["refreshed stored"] != 3 || w.ends["refreshed failed"] != 2 || w.ends["kept written"] != 3 || w.ends["failed"] != 2 {
			t.Errorf("told %v", w.ends)
		}
		w.store.Fail(func(context.Context) error { return errors.New("the store is away") })
		w.store.Reads()
		if ends, err = w.svc.Refresh(t.Context(), "fraud", keys, transforms.ByWrite, nil); err == nil || len(w.store.Reads()) != 1 {
			t.Errorf("of a store that is away: %s, %v", shownEnds(ends), err)
		}
	})
}

// A prediction that lacks an output which the newer definitions no longer have is
// none for a process with older ones, and stays all the same.
func TestOlderDefinitionsStoreNothingOverOtherOutputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		newer := w.service("", 2, "{name: why, type: string}", "{name: because, type: string}")
		defer newer.Close()
		w.put(1, 3)
		if got := w.askOf(newer, "fraud:score"); got != "21 PRESENT prediction_computed:missing" {
			t.Error(got)
		}
		synctest.Wait()
		w.expect("21 PRESENT prediction_computed:missing", "fraud:score")
		for _, by := range []string{transforms.ByWrite, transforms.ByAll} {
			if ends, err := w.svc.Refresh(t.Context(), "fraud", []string{"1"}, by, nil); err != nil || shownEnds(ends) != "[newer]" {
				t.Errorf("refreshed %s: %v, %v", by, ends, err)
			}
		}
		synctest.Wait()
		if got := w.askOf(newer, "fraud:score"); got != "21 PRESENT prediction_fresh:on_read" {
			t.Error(got)
		}
	})
}

// A model may take as long as its definition says behind a lookup, too.
func TestSlowModelsRefreshBehindLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "    timeout: 1m")
		w.put(1, 3)
		w.expect("21 PRESENT prediction_computed:missing", "fraud:score")
		synctest.Wait()
		w.put(1, 4)
		w.model.wait = func(ctx context.Context) {
			select {
			case <-time.After(50 * time.Second):
			case <-ctx.Done():
			}
		}
		w.expect("21 PRESENT prediction_stale:row", "fraud:score")
		time.Sleep(time.Minute)
		synctest.Wait()
		w.expect("28 PRESENT prediction_fresh:on_read", "fraud:score")
	})
}
