package window

import (
	"encoding/binary"
	"errors"
	"fmt"

	"millrace/feature"
)

// Fence says up to where a tile has counted its partition: the topic's number
// m, and the next offset that is not in it.
type Fence struct {
	Topic uint32
	Next  int64
}

// Covers reports whether the record at offset of topic number m is in the tile
// already, and must be skipped.
func (f Fence) Covers(m uint32, offset int64) bool { return m == f.Topic && offset < f.Next }

// Less reports whether f has counted less than g; of two topics the one with the
// greater number is the later one.
func (f Fence) Less(g Fence) bool {
	if f.Topic != g.Topic {
		return f.Topic < g.Topic
	}
	return f.Next < g.Next
}

// Aggregate is one aggregate of a view.
type Aggregate struct {
	Spec Spec
	Hash uint64 // Spec.Hash
}

// Shape is what the tiles of one view and hop hold: the aggregates, each once.
type Shape struct {
	Aggregates []Aggregate
	EventIDs   bool // the source has event_id; readers leave it false
}

// NewShape checks the aggregates.
func NewShape(aggregates []Aggregate, eventIDs bool) (*Shape, error) {
	if len(aggregates) > maxStates {
		return nil, fmt.Errorf("a view has at most %d aggregates per hop, not %d: split it", maxStates, len(aggregates))
	}
	for i := range aggregates {
		if _, err := aggregates[i].Spec.Result(); err != nil {
			return nil, err
		}
		for j := range i {
			if aggregates[i].Hash == aggregates[j].Hash {
				return nil, fmt.Errorf("aggregates %d and %d have one hash: share their state", j, i)
			}
		}
	}
	return &Shape{Aggregates: aggregates, EventIDs: eventIDs}, nil
}

// Limits of a tile.
const (
	MaxTileSize = 1 << 20 // what a definition may need by MaxTileBytes
	MaxEventIDs = 4096    // ids kept per tile; then the oldest go
	maxStates   = 4096
)

const (
	tileFormat       = 1
	fenceAt          = 4 // format, flags, number of states
	tileHeaderBytes  = 20
	stateHeaderBytes = 8 + 4 + 8 + 4
	hasEventIDs      = 1
)

// MaxTileBytes bounds the bytes of a tile with one state per spec.
func MaxTileBytes(specs []Spec, eventIDs bool) int {
	n := tileHeaderBytes
	if eventIDs {
		n += 8 * MaxEventIDs
	}
	for i := range specs {
		n += stateHeaderBytes + specs[i].maxStateBytes()
	}
	return n
}

// Tile is the states of a Shape's aggregates over one span of hop, with the
// fence up to where they counted. It is not safe for concurrent use. A lane
// holds very many, so that what few have is apart.
type Tile struct {
	Fence  Fence
	shape  *Shape
	states []aggregate    // parallel to the Shape's
	from   Fence          // where all states count from, unless since says otherwise
	since  []Fence        // nil: all from the same
	lacks  feature.Bitmap // nil: none
	seen   *seen          // nil: no ids
}

// NewTile returns an empty tile whose states count from since on.
func (s *Shape) NewTile(since Fence) *Tile {
	t := &Tile{Fence: since, from: since, shape: s, states: make([]aggregate, len(s.Aggregates))}
	for i := range t.states {
		t.states[i] = newAggregate(&s.Aggregates[i].Spec)
	}
	return t
}

// Reset empties t, keeping storage; its states count from since on.
func (t *Tile) Reset(since Fence) {
	t.Fence, t.from, t.since = since, since, nil
	for i := range t.states {
		t.states[i].reset()
	}
	clear(t.lacks)
	if t.seen != nil {
		t.seen.reset()
	}
}

func (t *Tile) state(i int) State { return State{spec: &t.shape.Aggregates[i].Spec, agg: t.states[i]} }

// Input is the columns that rows of a batch are counted from, parallel to the
// Shape's aggregates.
type Input struct {
	Of    []*feature.Column // nil: count of rows
	Where []feature.Bitmap  // rows that the filter keeps; nil keeps all
}

// Check refuses a row with a value that no tile may keep; ask it before any
// tile is updated.
func (s *Shape) Check(in *Input, row int) error {
	for i := range s.Aggregates {
		if in.Of[i] == nil || in.Where[i] != nil && !in.Where[i].Get(row) {
			continue
		}
		if err := s.Aggregates[i].Spec.Check(in.Of[i], row); err != nil {
			return err
		}
	}
	return nil
}

// Count notes the event with this id (EventID) and reports whether it is new.
// Sources without event_id do not ask.
func (t *Tile) Count(id uint64) bool { return t.ids().add(id) }

// Forgotten is how many ids gave way to newer ones since Reset or Decode.
func (t *Tile) Forgotten() int {
	if t.seen == nil {
		return 0
	}
	return t.seen.forgotten
}

func (t *Tile) ids() *seen {
	if t.seen == nil {
		t.seen = new(seen)
	}
	return t.seen
}

// Update counts one row in every state. It allocates nothing for aggregates
// of fixed size.
func (t *Tile) Update(in *Input, row int, at *Position) {
	for i := range t.states {
		if w := in.Where[i]; w == nil || w.Get(row) {
			t.states[i].update(in.Of[i], row, at)
		}
	}
}

// Merge adds what from counted, a tile of the same Shape. The fence and the
// ids stay those of t: what was merged is to be read, not stored.
func (t *Tile) Merge(from *Tile) {
	for i := range t.states {
		t.states[i].merge(from.states[i])
		if from.Lacks(i) {
			t.lack(i)
		}
	}
}

// Finalize writes aggregate i into a row of dst.
func (t *Tile) Finalize(i int, dst *feature.Column, row int) Outcome {
	return t.state(i).Finalize(dst, row)
}

// FinalizeAs is Finalize for another spec that shares the state, since q, and k
// as far as Spec.Hash leaves it out, matter only here.
func (t *Tile) FinalizeAs(i int, s *Spec, dst *feature.Column, row int) Outcome {
	return State{spec: s, agg: t.states[i]}.Finalize(dst, row)
}

// Lacks reports whether the bytes that were decoded, here or in a tile merged
// into t, had no state of aggregate i: it is newer than they are.
func (t *Tile) Lacks(i int) bool { return len(t.lacks) > 0 && t.lacks.Get(i) }

func (t *Tile) lack(i int) {
	if len(t.lacks) == 0 {
		t.lacks = t.lacks.Resize(len(t.states))
	}
	t.lacks.Set(i)
}

// Since returns the fence from which aggregate i counts in this tile.
func (t *Tile) Since(i int) Fence {
	if t.since == nil {
		return t.from
	}
	return t.since[i]
}

// count has state i count from since on.
func (t *Tile) count(i int, since Fence) {
	if t.since == nil {
		if since == t.from {
			return
		}
		t.since = make([]Fence, len(t.states))
		for k := range t.since {
			t.since[k] = t.from
		}
	}
	t.since[i] = since
}

const tileStructBytes = 144

// MemoryBytes is about how much memory t holds.
func (t *Tile) MemoryBytes() int {
	n := tileStructBytes + 16*(len(t.states)+len(t.since)) + 8*len(t.lacks)
	if t.seen != nil {
		n += t.seen.memory()
	}
	for i := range t.states {
		n += t.states[i].memory()
	}
	return n
}

// Snapshot moves the fence and writes the tile's bytes in one step: bytes that
// are written later than their fence hold rows the fence does not cover, and
// those are counted twice after a crash.
func (t *Tile) Snapshot(fence Fence, b []byte) []byte {
	t.Fence = fence
	flags := byte(0)
	if t.shape.EventIDs {
		flags = hasEventIDs
	}
	b = append(b, tileFormat, flags)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(t.states)))
	b = fence.append(b)
	ids := 0
	if t.shape.EventIDs && t.seen != nil {
		ids = len(t.seen.ids)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(ids))
	if ids > 0 {
		b = t.seen.append(b)
	}
	for i := range t.states {
		b = binary.LittleEndian.AppendUint64(b, t.shape.Aggregates[i].Hash)
		b = t.Since(i).append(b)
		at := len(b)
		b = t.state(i).AppendState(append(b, 0, 0, 0, 0))
		binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	}
	return b
}

func (f Fence) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, f.Topic)
	return binary.LittleEndian.AppendUint64(b, uint64(f.Next))
}

func (r *reader) fence() Fence { return Fence{Topic: r.u32(), Next: int64(r.u64())} }

// Decode replaces t by what Snapshot wrote. States that t's Shape does not know
// are passed over; those that the bytes lack are empty, count from since on,
// and Lacks says so. b is not kept. After an error t is empty.
func (t *Tile) Decode(b []byte, since Fence) error {
	t.Reset(since)
	err := t.decode(b, since)
	if err != nil {
		t.Reset(since)
	}
	return err
}

func (t *Tile) decode(b []byte, from Fence) error {
	r := reader{b: b}
	head, err := r.head()
	if err != nil {
		return err
	}
	t.Fence = head.fence
	if t.shape.EventIDs && len(head.ids) > 0 && !t.ids().decode(head.ids) {
		return errDamaged
	}
	var missing feature.Bitmap
	missing = missing.Resize(len(t.states))
	missing.Fill(len(t.states))
	body := new(reader)
	for k := range head.states {
		hash, since := r.u64(), r.fence()
		bytes := r.take(int(r.u32()))
		if r.bad {
			return errDamaged
		}
		i := t.shape.find(hash, k)
		if i < 0 {
			continue
		}
		if !missing.Get(i) {
			return errDamaged // twice
		}
		missing.Clear(i)
		if err := t.state(i).decode(body, bytes); err != nil {
			return err
		}
		if t.since == nil && missing.Count() == len(t.states)-1 {
			t.from = since // those that are stored have mostly one
		}
		t.count(i, since)
	}
	if r.left() > 0 {
		return errDamaged
	}
	t.miss(missing, from)
	return nil
}

// miss notes which states the bytes did not have; they count from now on.
func (t *Tile) miss(missing feature.Bitmap, from Fence) {
	if missing.Count() == 0 {
		return
	}
	t.lacks = missing
	for i := range t.states {
		if missing.Get(i) {
			t.count(i, from)
		}
	}
}

// tileHead is what a tile's bytes begin with.
type tileHead struct {
	fence  Fence
	ids    []byte
	states int
}

func (r *reader) head() (tileHead, error) {
	var h tileHead
	format, flags := r.u8(), r.u8()
	h.states = int(r.u16())
	if !r.bad && format != tileFormat {
		return h, fmt.Errorf("%w: format %d is not one that this version reads (%d)", ErrFormat, format, tileFormat)
	}
	h.fence = r.fence()
	ids := r.u32()
	if flags > hasEventIDs || ids > MaxEventIDs || ids > 0 && flags == 0 {
		r.take(-1)
	}
	h.ids = r.take(8 * int(ids))
	if r.bad {
		return h, errDamaged
	}
	return h, nil
}

var errDamaged = fmt.Errorf("%w: its bytes are damaged", ErrFormat)

// IsFormat reports whether err says that bytes are not a tile's.
func IsFormat(err error) bool { return errors.Is(err, ErrFormat) }

// find returns the aggregate with a hash, or -1. Writers keep the order of the
// shape, so that the k-th is looked at first.
func (s *Shape) find(hash uint64, k int) int {
	if k < len(s.Aggregates) && s.Aggregates[k].Hash == hash {
		return k
	}
	for i := range s.Aggregates {
		if s.Aggregates[i].Hash == hash {
			return i
		}
	}
	return -1
}
