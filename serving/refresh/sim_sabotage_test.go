package refresh_test

import (
	"context"
	"testing"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
)

// The sabotages: one part of what makes invariant 12 hold is taken away.
const (
	noVerification = "who has written does not look again"
	noFingerprint  = "predictions are judged by version and age"
	noStampRule    = "a stamp is the time, whatever was stored before"
	publishFirst   = "changes are told before they are stored"
	commitEarly    = "what was taken is committed"
)

// TestSabotagesOfPredictionsAreSeen: with one part of what makes invariant 12
// hold taken away, simulations go wrong.
func TestSabotagesOfPredictionsAreSeen(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{noVerification, noFingerprint, noStampRule, publishFirst, commitEarly} {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			const enough, most = 1, 2000
			wrong, seeds, said := 0, uint64(0), ""
			for ; seeds < most && wrong < enough; seeds++ {
				if faults := simulate(t, seeds, broken); len(faults) > 0 {
					wrong, said = wrong+1, faults[0]
				}
			}
			t.Logf("%d of %d simulations went wrong: %s", wrong, seeds, said)
			if wrong < enough {
				t.Error("too little was seen")
			}
		})
	}
}

// liar is a store that shows a process which looks again after a write what it
// expects to see: its own prediction, beside the inputs that were read last. It
// is the sabotage of a process that does not look again. w.mu guards its maps.
type liar struct {
	conn

	rows, windows map[string]bool // keys that are to be lied about
	cells         map[cell][]byte // as they were read or written
	tiles         map[tilesOf][]sinks.TileState
}

type tilesOf struct {
	key   string
	place int
}

func newLiar(c conn) *liar {
	return &liar{
		conn: c, rows: make(map[string]bool), windows: make(map[string]bool),
		cells: make(map[cell][]byte), tiles: make(map[tilesOf][]sinks.TileState),
	}
}

// wrote notes predictions of the process.
func (l *liar) wrote(rows *feature.Rows) {
	buf := new(sinks.Buffer)
	rowcodec.NewEncoder().Encode(buf, rows)
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	for _, r := range buf.Rows {
		l.rows[r.Key], l.windows[r.Key] = true, true
		l.cells[cell{r.Entity, r.Key, r.View}] = r.Value
	}
}

// ReadCells implements sinks.Cells.
func (l *liar) ReadCells(ctx context.Context, entity string, keys, views []string, dst *sinks.CellSet) error {
	if err := l.conn.ReadCells(ctx, entity, keys, views, dst); err != nil {
		return err
	}
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	for i, key := range keys {
		lie := l.lies(ctx, l.rows, key)
		for j, view := range views {
			at, value := cell{entity, string([]byte(key)), view}, &dst.Values[i*len(views)+j]
			if lie {
				*value = l.cells[at]
			} else {
				l.cells[at] = *value
			}
		}
	}
	return nil
}

// lies reports whether a read of a key is the one behind a write.
func (l *liar) lies(ctx context.Context, of map[string]bool, key string) bool {
	if ctx.Value(reading{}) != nil || !of[key] {
		return false
	}
	delete(of, key)
	return true
}

// ReadWindows implements sinks.TileReader.
func (l *liar) ReadWindows(ctx context.Context, entity string, keys []string, ranges []sinks.TileRange, dst *sinks.WindowSet) error {
	var seen sinks.WindowSet
	if err := l.conn.ReadWindows(ctx, entity, keys, ranges, &seen); err != nil {
		return err
	}
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	dst.Reset(len(keys), len(ranges))
	for i, key := range keys {
		lie := l.lies(ctx, l.windows, key)
		for j := range ranges {
			at := tilesOf{string([]byte(key)), j}
			if !lie {
				l.tiles[at] = append([]sinks.TileState(nil), seen.Of(i, j)...)
			}
			for _, t := range l.tiles[at] {
				dst.Add(i, j, t.Start, t.Source, t.State)
			}
		}
	}
	return nil
}
