package window

import (
	"encoding/binary"
	"fmt"
	"math"

	"millrace/feature"
)

// bytesMerger is an aggregate that adds what another one's append wrote without
// building that one. mergeBytes says whether a writer wrote b; after false the
// aggregate is good for nothing. Answers are those of decode and merge.
type bytesMerger interface{ mergeBytes(b []byte) bool }

// Spare is the memory that merging bytes needs for what cannot be merged
// directly. It belongs to one goroutine.
type Spare struct {
	states  []aggregate // parallel to the Shape's; nil where they merge bytes
	missing feature.Bitmap
	body    reader
	ids     seen
}

// NewSpare returns what MergeBytes of s's tiles needs.
func (s *Shape) NewSpare() *Spare {
	x := &Spare{states: make([]aggregate, len(s.Aggregates))}
	for i := range x.states {
		if a := newAggregate(&s.Aggregates[i].Spec); !mergesBytes(a) {
			x.states[i] = a
		}
	}
	x.missing = x.missing.Resize(len(x.states))
	return x
}

func mergesBytes(a aggregate) bool {
	_, ok := a.(bytesMerger)
	return ok
}

// MergeBytes is Decode and Merge of what it gives, without building what need
// not be built: a read merges thousands of tiles. After an error t is good for
// nothing before Reset.
func (t *Tile) MergeBytes(b []byte, spare *Spare) error {
	r := reader{b: b}
	head, err := r.head()
	if err != nil {
		return err
	}
	if t.shape.EventIDs { // as Decode: ids are not merged, but they are looked at
		spare.ids.reset()
		if !spare.ids.decode(head.ids) {
			return errDamaged
		}
	}
	spare.missing.Fill(len(t.states))
	for k := range head.states {
		hash, body, ok := r.state()
		if !ok {
			return errDamaged
		}
		i := t.shape.find(hash, k)
		if i < 0 {
			continue
		}
		if !spare.missing.Get(i) {
			return errDamaged // twice
		}
		spare.missing.Clear(i)
		if err := t.state(i).mergeBytes(body, spare, i); err != nil {
			return err
		}
	}
	if r.left() > 0 {
		return errDamaged
	}
	for i := range t.states {
		if spare.missing.Get(i) {
			t.lack(i)
		}
	}
	return nil
}

// state reads the next state's hash and bytes; Since is passed over.
func (r *reader) state() (hash uint64, body []byte, ok bool) {
	head := r.take(stateHeaderBytes)
	if head == nil {
		return 0, nil, false
	}
	body = r.take(int(binary.LittleEndian.Uint32(head[stateHeaderBytes-4:])))
	return binary.LittleEndian.Uint64(head), body, !r.bad
}

// mergeBytes adds the bytes of state i, by way of spare's where it must.
func (s State) mergeBytes(b []byte, spare *Spare, i int) error {
	direct, ok := s.agg.(bytesMerger)
	switch {
	case !ok:
		via := State{spec: s.spec, agg: spare.states[i]}
		err := via.decode(&spare.body, b)
		spare.body = reader{} // b is not kept
		if err == nil {
			s.Merge(via)
		}
		return err
	case len(b) == 0 || b[0] != stateFormat:
		return s.formatError()
	case !direct.mergeBytes(b[1:]):
		return s.damagedError()
	}
	return nil
}

func (s State) formatError() error {
	return fmt.Errorf("%w: %s has a format that this version does not read", ErrFormat, s.spec.Kind)
}

func (s State) damagedError() error {
	return fmt.Errorf("%w: the bytes of %s are damaged", ErrFormat, s.spec.Kind)
}

func (a *count) mergeBytes(b []byte) bool {
	if len(b) != 8 {
		return false
	}
	a.n += binary.LittleEndian.Uint64(b)
	return true
}

func (a *intSum) mergeBytes(b []byte) bool {
	if len(b) != 24 {
		return false
	}
	a.n += binary.LittleEndian.Uint64(b)
	a.add(int64(binary.LittleEndian.Uint64(b[16:])), binary.LittleEndian.Uint64(b[8:]))
	return true
}

func (a *floatSum) mergeBytes(b []byte) bool {
	if len(b) != 25 || b[24] > sawAll {
		return false
	}
	a.mergeSum(&floatSum{n: binary.LittleEndian.Uint64(b), sum: doubleAt(b[8:]), saw: b[24]})
	return true
}

func (a *variance) mergeBytes(b []byte) bool {
	if len(b) != 41 || b[40] > sawAll {
		return false
	}
	a.mergeVariance(&variance{n: binary.LittleEndian.Uint64(b), mean: doubleAt(b[8:]), m2: doubleAt(b[24:]), saw: b[40]})
	return true
}

// doubleAt reads what double.append wrote.
func doubleAt(b []byte) double {
	_ = b[15]
	return double{math.Float64frombits(binary.LittleEndian.Uint64(b)), math.Float64frombits(binary.LittleEndian.Uint64(b[8:]))}
}

func (a *extreme) mergeBytes(b []byte) bool {
	r := reader{b: b}
	if !r.some() {
		return !r.bad && r.left() == 0
	}
	if null := r.u8(); null != 0 {
		return false
	}
	if a.of.Layout() != feature.LayoutString {
		if v := (value{bits: r.fixed(a.of)}); !r.bad && a.better(v) {
			a.some, a.best = true, v
		}
		return !r.bad && r.left() == 0
	}
	text := r.take(r.count(1, MaxValueBytes))
	if r.bad || r.left() > 0 {
		return false
	}
	if !a.some || a.sign < 0 && string(text) < a.best.text || a.sign > 0 && string(text) > a.best.text {
		a.some, a.best = true, value{text: string(text)}
	}
	return true
}

func (a *edge) mergeBytes(b []byte) bool {
	r := reader{b: b}
	if !r.some() {
		return !r.bad && r.left() == 0
	}
	at := r.position()
	if !a.better(&at) {
		r.pass(a.of)
	} else if v := r.value(a.of); !r.bad {
		a.some, a.at, a.v = true, at, v
	}
	return !r.bad && r.left() == 0
}
