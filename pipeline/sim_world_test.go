package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sources"
)

// world is what several pipelines share in a simulation: a log, a group with
// its offsets, a store. It checks the invariants where they would be broken:
// at the commit, at the write, at the end.
type world struct {
	mu       sync.Mutex
	rng      *rand.Rand
	logs     map[sources.Partition][]sources.Record
	commits  map[sources.Partition]sources.Mark
	verified map[sources.Partition]int64 // below it every end was found
	owner    map[sources.Partition]*process
	cells    map[string]sinks.Row // durable
	tiles    map[sinks.TileID]sinks.Tile
	broken   string                                   // one of the sabotages of sim_tiles_test.go, or ""
	kinds    []change                                 // of the catalog versions behind the first one
	past     map[sources.Partition][][]sources.Record // logs of topics that were made again
	stores   []*store
	changes  changeLog
	faults   []string
	meta     *memory.Store

	storeDown, brokerDown, decoderDown bool
	volatile                           bool // rows survive a crash only after Sync
	together                           bool // rows and tiles are written in one call
}

func newWorld(seed uint64, volatile bool) *world {
	return &world{
		rng:  rand.New(rand.NewPCG(seed, 1)),
		logs: make(map[sources.Partition][]sources.Record), commits: make(map[sources.Partition]sources.Mark),
		verified: make(map[sources.Partition]int64), owner: make(map[sources.Partition]*process),
		cells: make(map[string]sinks.Row), tiles: make(map[sinks.TileID]sinks.Tile), past: make(map[sources.Partition][][]sources.Record),
		changes: newChangeLog(), meta: new(memory.Store), volatile: volatile, together: seed%2 == 1,
	}
}

// faultf notes a broken invariant; the caller holds mu.
func (w *world) faultf(format string, args ...any) {
	if len(w.faults) < 5 {
		w.faults = append(w.faults, fmt.Sprintf(format, args...))
	}
}

func (w *world) reportf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faultf(format, args...)
}

// simKeys are few, so that records meet; see record for the odd ones.
const simKeys = "abcde!?~"

var finishedHeader = []sources.Header{{Key: sources.HeaderTransformOnWrite, Value: []byte("false")}}

// publish appends n records with gaps in their offsets, equal and unordered
// times.
func (w *world) publish(p sources.Partition, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := w.end(p)
	for range n {
		next += w.rng.Int64N(3)
		rec := record(next, simKeys[w.rng.IntN(len(simKeys))], 1000+w.rng.Int64N(20))
		if w.rng.IntN(3) == 0 { // a finished row, which fares as a raw record does
			rec.Headers = finishedHeader
		}
		w.logs[p] = append(w.logs[p], rec)
		next++
	}
}

// end returns the offset after the last record; the caller holds mu.
func (w *world) end(p sources.Partition) int64 {
	if log := w.logs[p]; len(log) > 0 {
		return log[len(log)-1].Offset + 1
	}
	return 0
}

// rowOf says, from the definition of order alone, what row a record becomes.
func rowOf(p sources.Partition, r sources.Record) sinks.Row {
	v := binary.BigEndian.AppendUint16(nil, 1) // revision
	v = append(v, binary.BigEndian.AppendUint64(nil, uint64(r.TimeMillis))[2:]...)
	v = binary.BigEndian.AppendUint64(v, uint64(r.Offset))
	v = binary.BigEndian.AppendUint16(v, 0) // element
	v = binary.BigEndian.AppendUint32(v, uint32(p.Number))
	return sinks.Row{Key: string(r.Value), Stamp: r.TimeMillis * 1000, Value: v}
}

// ended reports whether a record's row has its end durably; the caller holds mu.
func (w *world) ended(p sources.Partition, topic int, r sources.Record) bool {
	switch key := r.Value[0]; {
	case key == '?' || w.refused(letterOf(p, topic, r)):
		return true
	case key == '!' && !w.reads(w.latest(), '!') || key == '~' && !w.reads(w.latest(), '~'):
		return false
	}
	row := rowOf(p, r)
	cell, found := w.cells[row.Key]
	return found && !row.Newer(&cell)
}

// letterOf names the letter of a record that is refused.
func letterOf(p sources.Partition, topic int, r sources.Record) sinks.LetterID {
	id := sinks.LetterID{Source: "trips", Partition: p.Number, Day: sinks.DayOf(r.TimeMillis), Position: sinks.Position(int64(topic), r.Offset), View: "v"}
	if r.Value[0] == '!' && len(r.Headers) == 0 { // not a finished row, which is for that view
		id.View, id.Element = "", feature.WholeRecord
	}
	return id
}

// accept takes a commit; invariant 1 is checked here. The caller holds mu.
func (w *world) accept(m sources.Mark) {
	for _, r := range w.logs[m.Partition] {
		if r.Offset >= m.Offset {
			break
		}
		if r.Offset >= w.verified[m.Partition] && !w.ended(m.Partition, len(w.past[m.Partition]), r) {
			w.faultf("committed %d of partition %d, but the record at %d has no end", m.Offset, m.Number, r.Offset)
		}
	}
	w.verified[m.Partition] = max(w.verified[m.Partition], m.Offset)
	w.commits[m.Partition] = m
}

// settled reports whether everything published was committed; the caller holds
// mu.
func (w *world) settled() bool {
	for p := range w.logs {
		if !w.settledAt(p) {
			return false
		}
	}
	return true
}

// settledAt reports whether everything of a partition was committed; the caller
// holds mu.
func (w *world) settledAt(p sources.Partition) bool {
	m, known := parseMetadata(w.commits[p].Metadata)
	return known && m.Topic == w.topicOf(p).Hex() && w.commits[p].Offset == w.end(p)
}

// each calls fn for every record that there ever was; the caller holds mu.
func (w *world) each(fn func(p sources.Partition, topic int, r sources.Record)) {
	for p, log := range w.logs {
		for topic, log := range append(slices.Clone(w.past[p]), log) {
			for _, r := range log {
				fn(p, topic, r)
			}
		}
	}
}

// compare checks the store against the greatest (event time, sequence) of
// every key, and that every refused record has its letter: invariant 3.
func (w *world) compare() {
	w.mu.Lock()
	defer w.mu.Unlock()
	want, left := make(map[string]sinks.Row), make(map[sinks.LetterID]bool)
	for _, l := range w.meta.Letters() {
		left[l.LetterID] = true
	}
	letters := 0
	w.each(func(p sources.Partition, topic int, r sources.Record) {
		if !w.ended(p, topic, r) {
			w.faultf("partition %d offset %d has no end", p.Number, r.Offset)
		}
		switch key := r.Value[0]; {
		case key == '?':
		case !w.reads(w.latest(), key):
			if letters++; !left[letterOf(p, topic, r)] {
				w.faultf("partition %d offset %d has no letter", p.Number, r.Offset)
			}
		default:
			row := rowOf(p, r)
			if old, ok := want[row.Key]; !ok || row.Newer(&old) {
				want[row.Key] = row
			}
		}
	})
	for key, row := range want {
		if got := w.cells[key]; got.Stamp != row.Stamp || !bytes.Equal(got.Value, row.Value) {
			w.faultf("key %s holds %d %x, want %d %x", key, got.Stamp, got.Value, row.Stamp, row.Value)
		}
	}
	if len(w.cells) != len(want) || len(left) < letters { // overtaken letters are left, too
		w.faultf("%d cells and %d letters, want %d and %d", len(w.cells), len(left), len(want), letters)
	}
	w.compareTiles()
	w.compareChanges()
}

// chance is true once in n times; delay is up to max.
func (w *world) chance(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n) == 0
}

func (w *world) delay(upTo time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rng.Int64N(int64(upTo)))
}

// store is a process's connection to the shared store: slow, failing, and
// writing what the caller gave up already.
type store struct {
	w     *world
	m     *process
	rows  []sinks.Row // acknowledged, not yet durable; guarded by w.mu
	left  []func()    // changes of letters
	tiles []sinks.Tile
}

var errCrashed = errors.New("this process is dead")

// enter delays, fails, and reports whether the operation takes effect.
func (s *store) enter(ctx context.Context, down *bool, upTo time.Duration) (effect bool, err error) {
	late := !sleep(ctx, s.w.delay(upTo))
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	switch {
	case s.m.dead:
		return false, errCrashed
	case late:
		return s.w.rng.IntN(2) == 0, ctx.Err()
	case *down:
		return s.w.rng.IntN(2) == 0, errDown
	case s.w.rng.IntN(20) == 0:
		return s.w.rng.IntN(2) == 0, errDown
	}
	return true, nil
}

// Write implements sinks.Sink.
func (s *store) Write(ctx context.Context, rows []sinks.Row) error {
	effect, err := s.enter(ctx, &s.w.storeDown, 30*time.Millisecond)
	if !effect {
		return err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	distinct := make(map[string]bool)
	for _, r := range rows {
		if distinct[r.Key] {
			s.w.faultf("one write names key %s twice", r.Key)
		}
		distinct[r.Key] = true
		s.noteRow(&r)
		s.rows = append(s.rows, sinks.Row{Key: string([]byte(r.Key)), Stamp: r.Stamp, Value: bytes.Clone(r.Value)})
	}
	s.settle(!s.w.volatile)
	return err
}

// Sync implements sinks.Sink.
func (s *store) Sync(ctx context.Context) error {
	upTo := 5 * time.Millisecond
	if s.w.chance(4) { // long enough for a revoke to come in between
		upTo = 400 * time.Millisecond
	}
	effect, err := s.enter(ctx, &s.w.storeDown, upTo)
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.settle(effect)
	return err
}

func (s *store) settleNow() {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.settle(true)
}

// settle makes durable what was acknowledged; the caller holds mu.
func (s *store) settle(durable bool) {
	if !durable {
		return
	}
	for _, r := range s.rows {
		if old, found := s.w.cells[r.Key]; !found || r.Newer(&old) {
			s.w.cells[r.Key] = r
		}
	}
	for _, do := range s.left {
		do()
	}
	s.settleTiles()
	s.rows, s.left = nil, nil
}
