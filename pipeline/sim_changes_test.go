package pipeline

import (
	"context"
	"testing"
	"time"

	"millrace/sinks"
)

// changeLog knows, by a count of what happened, when a key was last written by
// a lane or a replay so that readers saw something else, and when that was last told.
type changeLog struct {
	now         int64
	wrote, told map[string]int64 // by key
}

func newChangeLog() changeLog {
	return changeLog{wrote: make(map[string]int64), told: make(map[string]int64)}
}

func (c *changeLog) note(of map[string]int64, key string) {
	c.now++
	of[string([]byte(key))] = c.now
}

// noteRow notes a row that is newer than what anybody sees, acknowledged
// or durable; the caller holds mu.
func (s *store) noteRow(r *sinks.Row) {
	old, found := s.w.cells[r.Key]
	newest := !found || r.Newer(&old)
	for _, other := range s.w.stores {
		for i := range other.rows {
			newest = newest && (other.rows[i].Key != r.Key || r.Newer(&other.rows[i]))
		}
	}
	if newest {
		s.w.changes.note(s.w.changes.wrote, r.Key)
	}
}

// noteTile is noteRow for a tile.
func (s *store) noteTile(t *sinks.Tile) {
	old, found := s.w.tiles[t.TileID]
	newest := !found || t.Newer(&old)
	for _, other := range s.w.stores {
		for i := range other.tiles {
			newest = newest && (other.tiles[i].TileID != t.TileID || t.Newer(&other.tiles[i]))
		}
	}
	if newest {
		s.w.changes.note(s.w.changes.wrote, t.Key)
	}
}

// untold is the sabotage of a batch that is finished before its changes are
// acknowledged.
const untold = "finish before publish"

// simChanges is a process's connection to the changelog, which fails and is down
// as the brokers are.
type simChanges struct{ *store }

// Publish implements sinks.Changes.
func (s simChanges) Publish(ctx context.Context, changes []sinks.Change) error {
	var keys []string
	for _, c := range changes {
		keys = append(keys, string([]byte(c.Key)))
	}
	if s.w.broken == untold {
		go func() {
			sleep(context.Background(), s.w.delay(2*time.Second)) // as a changelog may be in trouble for
			for ok := false; !ok; {
				effect, err := s.enter(context.Background(), &s.w.brokerDown, 30*time.Millisecond)
				s.tell(effect, keys)
				ok = err == nil || s.isDead()
			}
		}()
		return nil
	}
	upTo := 30 * time.Millisecond
	if s.w.chance(5) { // long enough for a crash or a commit to come in between
		upTo = time.Second
	}
	effect, err := s.enter(ctx, &s.w.brokerDown, upTo)
	s.tell(effect, keys)
	return err
}

func (s simChanges) tell(effect bool, keys []string) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, key := range keys {
		if effect {
			s.w.changes.note(s.w.changes.told, key)
		}
	}
}

func (s simChanges) isDead() bool {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.m.dead
}

// compareChanges holds, at rest, that whoever reads the changelog hears of every
// key behind its last write. The caller holds mu.
func (w *world) compareChanges() {
	for key, wrote := range w.changes.wrote {
		if told := w.changes.told[key]; told < wrote {
			w.faultf("key %s was written at %d and told at %d", key, wrote, told)
		}
	}
}

// TestChangesThatAreNotAwaitedAreMissed: with a batch finished before its
// changes are acknowledged, simulations go wrong.
func TestChangesThatAreNotAwaitedAreMissed(t *testing.T) { goesWrong(t, untold) }
