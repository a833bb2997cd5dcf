package refresh_test

import (
	"time"

	"millrace/serving"
	"millrace/transforms"
)

// finish heals everything, lets it come to rest, and looks.
func (s *simulation) finish() {
	s.mu.Lock()
	s.healed = true
	s.mu.Unlock()
	s.restart()
	if !s.drained() {
		return
	}
	time.Sleep(15 * time.Second) // what goes on behind lookups
	s.audit()
	s.mu.Lock()
	kept, answers := s.kept, s.model.answers
	s.mu.Unlock()
	const rest = time.Minute
	for range rest / time.Second {
		s.read()
		s.read()
		time.Sleep(time.Second)
	}
	most := 3 * simKeys // of what nobody has read since it became stale
	if s.kind.maxAge > 0 {
		most += 3 * simKeys * int((rest+2*skewMost)/s.kind.maxAge)
	}
	s.mu.Lock()
	if kept, answers = s.kept-kept, s.model.answers-answers; kept > most || answers > most {
		s.faultf("at rest %d predictions were stored, and the model was asked %d times", kept, answers)
	}
	s.mu.Unlock()
	s.audit()
}

// drained waits until every event and every change has had its end.
func (s *simulation) drained() bool {
	done := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, l := range s.lanes {
			if l.committed < len(l.events) {
				return false
			}
		}
		for p, log := range s.changes.log {
			if s.changes.committed[p] < int64(len(log)) {
				return false
			}
		}
		return true
	}
	for range 6000 {
		s.restart()
		if done() {
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faultf("not everything is done: %v of %d and %d changes", s.changes.committed, len(s.changes.log[0]), len(s.changes.log[1]))
	for p, r := range s.changes.owner {
		s.faultf("owner of %d: ended %t, marks %v, %d wait, next %v", p, r.ended(), r.worker.Marks(nil), r.worker.Pending(), r.next)
	}
	return false
}

// audit holds that predictions that are to be refreshed are those of their inputs.
func (s *simulation) audit() {
	auditor := s.startOver(conn{w: s.world, life: newLife(), audits: true}, s.newest(), 0)
	defer auditor.crash()
	for key := range simKeys {
		if s.own[key].After(s.applied) && !s.other[key].After(s.own[key].Add(-5*time.Second)) {
			s.auditKey(auditor, key)
		}
	}
}

func (s *simulation) auditKey(auditor *process, key int) {
	s.mu.Lock()
	stamp := s.cells[cell{s.kind.entity, s.kind.textOf(key), "m@1"}].Stamp
	if s.excused(s.wrote[written{s.kind.textOf(key), stamp}]) {
		s.mu.Unlock()
		return
	}
	auditor.skew.Store(int64(time.Until(time.UnixMicro(stamp)))) // no prediction is old
	s.mu.Unlock()
	resp := new(serving.Response)
	defer resp.Release()
	fault := auditor.ask([]int{key}, resp, "m:echo")
	if fault != nil && auditor.ask([]int{key}, resp) == nil && refusedInputs(auditor.wanted(resp, 0)) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if fault != nil {
		s.faultf("at rest key %d has no fresh prediction: %v", key, fault)
		s.tellOf(s.kind.textOf(key))
		return
	}
	switch v, got, want := auditor.prediction(resp, 0); {
	case refusedInputs(want):
		if v.Origin == serving.OriginFresh {
			s.faultf("at rest key %d has prediction %q, which the model refuses to make", key, got)
		}
	case v.Origin != serving.OriginFresh || got != want:
		s.faultf("at rest key %d has prediction %q as %s:%s for %q", key, got, v.Origin, v.Detail, want)
		s.tellOf(s.kind.textOf(key))
	}
}

// excused reports whether a stored prediction may be of others than the present
// inputs at rest, which docs/predictions.md names: a read stored it whose process
// has ended, perhaps before it looked again, or has older definitions than those
// that the key was refreshed by. The caller holds mu.
func (s *simulation) excused(w wrote) bool {
	return w.as == transforms.ByRead && (w.by.ended() || w.by.version < s.changes.version)
}

// tellOf adds the last of what happened to a key to the faults. The caller holds
// mu.
func (s *simulation) tellOf(key string) {
	all := s.trace[key]
	s.faults = append(s.faults, all[max(0, len(all)-20):]...)
}
