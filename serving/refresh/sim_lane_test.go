package refresh_test

import (
	"context"
	"time"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
	"millrace/transforms"
	"millrace/transforms/window"
)

// event is a record of a source partition: n of a key, for one view.
type event struct {
	view   string
	key    int
	n      int64
	offset int64
	at     time.Time
}

// lane takes the events of a partition: what they make is stored, then told to
// the changelog, then they are committed. Its process crashes, and another one
// begins where the commit says.
type lane struct {
	world     *world
	number    int32
	events    []event // what follows is guarded by w.mu
	committed int
	now       conn // of the life that it has
	more      chan struct{}
}

func (w *world) newLane(number int32) *lane {
	l := &lane{world: w, number: number, more: make(chan struct{}, 1)}
	l.begin()
	return l
}

// write appends an event.
func (l *lane) write(view string, key int, n int64) {
	l.world.mu.Lock()
	defer l.world.mu.Unlock()
	at := time.Now().Add(-time.Duration(l.world.rng.IntN(3)) * 50 * time.Millisecond)
	l.events = append(l.events, event{view, key, n, int64(len(l.events)), at})
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// begin starts a life.
func (l *lane) begin() {
	l.world.mu.Lock()
	defer l.world.mu.Unlock()
	l.world.epochs++
	l.now = conn{w: l.world, life: newLife()}
	run := laneRun{lane: l, conn: l.now, epoch: l.world.epochs, at: l.committed, tiles: make(map[sinks.TileID]*window.Tile)}
	l.world.behind.Go(run.run)
}

// crash ends a life, and another one begins.
func (l *lane) crash() {
	l.world.mu.Lock()
	close(l.now.over)
	l.world.mu.Unlock()
	l.begin()
}

func (l *lane) end() {
	l.world.mu.Lock()
	defer l.world.mu.Unlock()
	close(l.now.over)
}

// laneRun is a life of a lane.
type laneRun struct {
	*lane
	conn

	epoch int64
	at    int
	tiles map[sinks.TileID]*window.Tile
}

func (r *laneRun) run() {
	for {
		batch := r.take()
		if len(batch) == 0 {
			select {
			case <-r.more:
				continue
			case <-r.over:
				return
			}
		}
		if r.store(batch) != nil {
			return
		}
		r.w.mu.Lock()
		if !r.ended() {
			r.committed = r.at
		}
		r.w.mu.Unlock()
	}
}

// take takes the next events.
func (r *laneRun) take() []event {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	n := min(1+r.w.rng.IntN(3), len(r.events)-r.at)
	r.at += n
	return r.events[r.at-n : r.at]
}

// store brings events to their end; an error is the end of the process.
func (r *laneRun) store(batch []event) error {
	var rows []sinks.Row
	var told []string
	dirty := make(map[sinks.TileID]*window.Tile)
	views := make(map[int]*feature.Rows)
	for i := range batch {
		e := &batch[i]
		plan := r.w.kind.versions[0].Plans[e.view]
		views[i] = r.apply(plan, e)
		key := string(feature.AppendKey(nil, views[i].Keys, 0))
		if plan.View.Entity == r.w.kind.entity {
			told = append(told, key)
		}
		if plan.Windows == nil {
			rows = newest(rows, views[i])
			continue
		}
		if err := r.count(plan, views[i], key, dirty); err != nil {
			return err
		}
	}
	tell := func() error { return r.untilDone(func() error { return r.tell(told) }) }
	if r.w.broken == publishFirst {
		if err := tell(); err != nil {
			return err
		}
	}
	var tiles []sinks.Tile
	next := batch[len(batch)-1].offset + 1
	for id, t := range dirty {
		tiles = append(tiles, sinks.Tile{TileID: id, Stamp: sinks.TileStamp(r.epoch, next), State: t.Snapshot(window.Fence{Topic: 1, Next: next}, nil)})
	}
	if err := r.untilDone(func() error { return r.Write(context.Background(), rows) }); err != nil {
		return err
	}
	if err := r.untilDone(func() error { return r.writeTiles(context.Background(), tiles) }); err != nil {
		return err
	}
	if r.w.broken == publishFirst {
		return nil
	}
	return tell()
}

// untilDone tries until it works, or the process is dead.
func (r *laneRun) untilDone(do func() error) error {
	for do() != nil {
		if err := r.sleep(context.Background(), 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// tell publishes changes of keys, which may be told and not acknowledged.
func (r *laneRun) tell(keys []string) error {
	if err := r.sleep(context.Background(), r.w.span(storeOp)); err != nil {
		return err
	}
	fails := r.w.fails(20)
	if !fails || r.w.oneIn(2) {
		for _, key := range keys {
			r.w.publish(key)
		}
	}
	if fails {
		return errDown
	}
	return r.sleep(context.Background(), r.w.span(storeOp))
}

// apply runs the write half of a view.
func (r *laneRun) apply(plan *transforms.Plan, e *event) *feature.Rows {
	writer, err := plan.NewWriter(plan.Fields, 0)
	batch, rows := new(feature.Batch), new(feature.Rows)
	if err != nil {
		panic(err)
	}
	batch.Reset(plan.Fields, r.number)
	batch.AppendRow(feature.Origin{Offset: e.offset, RecordMillis: e.at.UnixMilli() + 1, EventMicros: e.at.UnixMicro()})
	for i, f := range plan.Fields {
		n := e.n
		if f.Name != "n" {
			n = r.w.kind.keyOf(e.key, f.Name)
		}
		batch.Columns[i].SetInt(0, n)
	}
	writer.Apply(batch, 0, rows)
	return rows
}

// newest adds a row to those of other cells, unless one of its own is newer.
func newest(all []sinks.Row, rows *feature.Rows) []sinks.Row {
	buf := new(sinks.Buffer)
	rowcodec.NewEncoder().Encode(buf, rows)
	row := buf.Rows[0]
	for i := range all {
		if all[i].Key == row.Key && all[i].View == row.View && all[i].Entity == row.Entity {
			if row.Newer(&all[i]) {
				all[i] = row
			}
			return all
		}
	}
	return append(all, row)
}

// count counts a row in its tiles, which are loaded first.
func (r *laneRun) count(plan *transforms.Plan, rows *feature.Rows, key string, dirty map[sinks.TileID]*window.Tile) error {
	o := &rows.Origins[0]
	for hop := range plan.Windows.Hops {
		h := &plan.Windows.Hops[hop]
		id := sinks.TileID{
			Entity: plan.View.Entity, Key: key, View: plan.View.StoredName(), HopSeconds: int32(h.Span / time.Second),
			Start: window.TileStart(o.EventMicros, h.Span), Source: r.number,
		}
		tile := r.tiles[id]
		if tile == nil {
			if err := r.sleep(context.Background(), r.w.span(storeOp)); err != nil {
				return err
			}
			tile = h.Shape.NewTile(window.Fence{})
			r.w.mu.Lock()
			state := r.w.tiles[id].State
			r.w.mu.Unlock()
			if state != nil {
				if err := tile.Decode(state, window.Fence{}); err != nil {
					panic(err)
				}
			}
			r.tiles[id] = tile
		}
		if tile.Fence.Covers(1, o.Offset) {
			continue
		}
		var in window.Input
		plan.Windows.Input(hop, rows, &in)
		at := window.PositionOf(o, rows.Partition)
		tile.Update(&in, 0, &at)
		dirty[id] = tile
	}
	return nil
}
