package pipeline

import (
	"context"
	"errors"
	"slices"
	"time"

	"millrace/sinks"
	"millrace/sources"
)

// The simulated letters stand in the world's memory store; what a process has
// not made durable of them, it loses with its rows.

// read makes durable what anybody has seen, and what s itself would see.
func (s *store) read(ctx context.Context) error {
	effect, err := s.enter(ctx, &s.w.storeDown, 10*time.Millisecond)
	if !effect || err != nil {
		return errors.Join(errDown, err)
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, other := range s.w.stores {
		if !other.m.dead {
			other.settle(true)
		}
	}
	return nil
}

// change notes a change of letters.
func (s *store) change(ctx context.Context, do func()) error {
	effect, err := s.enter(ctx, &s.w.storeDown, 10*time.Millisecond)
	if !effect {
		return err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.left = append(s.left, do)
	s.settle(!s.w.volatile)
	return err
}

// Put implements sinks.DeadLetter.
func (s *store) Put(ctx context.Context, letters []sinks.Letter) error {
	copies := slices.Clone(letters)
	for i := range copies {
		copies[i].RecordValue, copies[i].Headers = slices.Clone(copies[i].RecordValue), slices.Clone(copies[i].Headers)
	}
	return s.change(ctx, func() { _ = s.w.meta.Put(context.Background(), copies) })
}

// MarkLetters implements sinks.LetterKeeper.
func (s *store) MarkLetters(ctx context.Context, marks []sinks.LetterMark) error {
	marks = slices.Clone(marks)
	return s.change(ctx, func() { _ = s.w.meta.MarkLetters(context.Background(), marks) })
}

// KeepLetters implements sinks.Refusals.
func (s *store) KeepLetters(ctx context.Context, ids []sinks.LetterID, version int64) error {
	ids = slices.Clone(ids)
	return s.change(ctx, func() { _ = s.w.meta.KeepLetters(context.Background(), ids, version) })
}

// DropLetters implements sinks.LetterKeeper.
func (s *store) DropLetters(context.Context, []sinks.LetterID) error {
	return errors.New("nobody drops letters here")
}

// GetLetters implements sinks.LetterKeeper.
func (s *store) GetLetters(ctx context.Context, ids []sinks.LetterID, fn func(*sinks.Letter) bool) error {
	if err := s.read(ctx); err != nil {
		return err
	}
	return s.w.meta.GetLetters(ctx, ids, fn)
}

// EachLetter implements sinks.LetterReader.
func (s *store) EachLetter(ctx context.Context, f sinks.LetterFilter, fn func(*sinks.Letter) bool) error {
	if err := s.read(ctx); err != nil {
		return err
	}
	return s.w.meta.EachLetter(ctx, f, fn)
}

// RefusalDays implements sinks.Refusals.
func (s *store) RefusalDays(ctx context.Context, source string, partition int32) ([]int32, error) {
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	return s.w.meta.RefusalDays(ctx, source, partition)
}

// EachRefusal implements sinks.Refusals.
func (s *store) EachRefusal(ctx context.Context, source string, partition, day int32, position int64, fn func(*sinks.Refusal) bool) error {
	if s.w.broken == noLetters {
		return nil
	}
	if err := s.read(ctx); err != nil {
		return err
	}
	return s.w.meta.EachRefusal(ctx, source, partition, day, position, fn)
}

// simEpochs are real ones, unless adoptions are what is broken.
type simEpochs struct {
	*sinks.Epochs
	w *world
}

func (e simEpochs) Adopt(ctx context.Context, source string, partition int32, version, position int64) ([]sinks.Adoption, error) {
	if e.w.broken == noLetters {
		return []sinks.Adoption{{Version: version, Position: position, Kept: true}}, nil
	}
	return e.Epochs.Adopt(ctx, source, partition, version, position)
}

func (e simEpochs) Kept(ctx context.Context, source string, partition int32, version int64) ([]sinks.Adoption, error) {
	if e.w.broken == noLetters {
		return []sinks.Adoption{{Version: version, Kept: true}}, nil
	}
	return e.Epochs.Kept(ctx, source, partition, version)
}

// refused reports whether a letter was written, done or not; the caller holds mu.
func (w *world) refused(id sinks.LetterID) bool {
	found := false
	_ = w.meta.EachRefusal(context.Background(), id.Source, id.Partition, id.Day, id.Position, func(r *sinks.Refusal) bool {
		found = found || r.LetterID == id
		return r.Position == id.Position
	})
	return found
}

// simReplayer is a process that replays letters.
type simReplayer struct {
	m     *process
	ended chan struct{}
	err   error // good when ended is closed
	kill  context.CancelFunc
}

// ReplayStore is what a replay has of the simulated store.
type ReplayStore struct {
	*store
	slowMeta
}

// slowMeta is the world's metadata, as far away as the store.
type slowMeta struct{ s *store }

// Get implements sinks.Meta.
func (m slowMeta) Get(ctx context.Context, t sinks.MetaTable, id string) ([]byte, error) {
	if effect, err := m.s.enter(ctx, &m.s.w.storeDown, 5*time.Millisecond); !effect || err != nil {
		return nil, errDown
	}
	return m.s.w.meta.Get(ctx, t, id)
}

// List implements sinks.Meta.
func (m slowMeta) List(ctx context.Context, t sinks.MetaTable) ([]sinks.MetaEntry, error) {
	return m.s.w.meta.List(ctx, t)
}

// Swap implements sinks.Meta.
func (m slowMeta) Swap(ctx context.Context, t sinks.MetaTable, id string, old, value []byte) (bool, error) {
	effect, err := m.s.enter(ctx, &m.s.w.storeDown, 5*time.Millisecond)
	if !effect {
		return false, err
	}
	m.s.settleNow() // metadata is durable, and so is what was written before
	swapped, failed := m.s.w.meta.Swap(context.WithoutCancel(ctx), t, id, old, value)
	return swapped, errors.Join(failed, err)
}

// SimReplay is replay.Run, which this package cannot import: the tests of
// package pipeline_test set it.
var SimReplay func(ctx context.Context, s ReplayStore, catalog func(version int64) (int64, []Route), encoder func() sinks.Encoder, changes sinks.Changes) error

func (w *world) replay() *simReplayer {
	r := &simReplayer{m: &process{w: w}, ended: make(chan struct{})}
	s := &store{w: w, m: r.m}
	r.m.store = s
	w.mu.Lock()
	w.stores = append(w.stores, s)
	w.mu.Unlock()
	ctx, kill := context.WithCancel(context.Background())
	r.kill = kill
	go func() {
		defer close(r.ended)
		r.err = SimReplay(ctx, ReplayStore{s, slowMeta{s}}, func(version int64) (int64, []Route) {
			if version == 0 {
				w.mu.Lock()
				version = w.latest()
				w.mu.Unlock()
			}
			return version, []Route{w.route(version)}
		}, func() sinks.Encoder { return fakeEncoder{} }, simChanges{s})
	}()
	return r
}

// crash ends a replay at once: what it had not made durable is gone.
func (r *simReplayer) crash() {
	r.m.w.mu.Lock()
	r.m.dead = true
	r.m.store.rows, r.m.store.left, r.m.store.tiles = nil, nil, nil
	r.m.w.mu.Unlock()
	r.kill()
	<-r.ended
}

// topicOf returns the id of a partition's topic; topics are made again one
// partition at a time, which is all that lanes can tell.
func (w *world) topicOf(p sources.Partition) sources.TopicID {
	return sources.TopicID{byte(1 + len(w.past[p]))}
}
