package memory

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/sinks"
)

// Put implements sinks.DeadLetter.
func (s *Store) Put(ctx context.Context, letters []sinks.Letter) error {
	if err := s.enter(ctx, "Put"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.letters == nil {
		s.mu.letters = make(map[sinks.LetterID]sinks.Letter)
	}
	for i := range letters {
		l := cloneLetter(&letters[i])
		s.mu.letters[l.LetterID] = l
	}
	return nil
}

// cloneLetter copies everything that l points to.
func cloneLetter(l *sinks.Letter) sinks.Letter {
	c := *l
	c.Source, c.View, c.Topic = strings.Clone(l.Source), strings.Clone(l.View), strings.Clone(l.Topic)
	c.Stage, c.Reason = feature.Stage(strings.Clone(string(l.Stage))), feature.Reason(strings.Clone(string(l.Reason)))
	c.Message = strings.Clone(l.Message)
	c.RecordKey, c.RecordValue = bytes.Clone(l.RecordKey), bytes.Clone(l.RecordValue)
	c.Headers = slices.Clone(l.Headers)
	for i := range c.Headers {
		h := &c.Headers[i]
		h.Key, h.Value = strings.Clone(h.Key), bytes.Clone(h.Value)
	}
	return c
}

// EachLetter implements sinks.LetterReader.
func (s *Store) EachLetter(ctx context.Context, f sinks.LetterFilter, fn func(*sinks.Letter) bool) error {
	if err := s.enter(ctx, "EachLetter"); err != nil {
		return err
	}
	n := 0
	for _, l := range s.Letters() {
		if !f.Match(&l) {
			continue
		}
		if n++; !fn(&l) || n == f.Limit {
			return nil
		}
	}
	return nil
}

// LettersAt implements sinks.LetterFinder.
func (s *Store) LettersAt(ctx context.Context, r sinks.LetterRange, fn func(*sinks.Letter) bool) error {
	if err := s.enter(ctx, "LettersAt"); err != nil {
		return err
	}
	for _, l := range s.Letters() {
		if r.Holds(&l.LetterID) && !fn(&l) {
			return nil
		}
	}
	return nil
}

// Letters returns all letters that are not done, ordered by LetterID.
func (s *Store) Letters() []sinks.Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]sinks.Letter, 0, len(s.mu.letters))
	for id := range s.mu.letters {
		if l, ok := s.letter(id); ok {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b sinks.Letter) int { return a.Compare(&b.LetterID) })
	return all
}

// letter returns a letter with its mark; false when there is none, or it is
// done. The caller holds mu.
func (s *Store) letter(id sinks.LetterID) (sinks.Letter, bool) {
	l, ok := s.mu.letters[id]
	m := s.mu.marks[id]
	l.Attempts, l.ReplayNumber = m.Attempts, m.ReplayNumber
	return l, ok && !m.Done
}

// GetLetters implements sinks.LetterKeeper.
func (s *Store) GetLetters(ctx context.Context, ids []sinks.LetterID, fn func(*sinks.Letter) bool) error {
	if err := s.enter(ctx, "GetLetters"); err != nil {
		return err
	}
	for _, id := range ids {
		s.mu.Lock()
		l, ok := s.letter(id)
		s.mu.Unlock()
		if ok && !fn(&l) {
			return nil
		}
	}
	return nil
}

// MarkLetters implements sinks.LetterKeeper.
func (s *Store) MarkLetters(ctx context.Context, marks []sinks.LetterMark) error {
	if err := s.enter(ctx, "MarkLetters"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.marks == nil {
		s.mu.marks = make(map[sinks.LetterID]sinks.LetterMark)
	}
	for _, m := range marks {
		m.LetterID = cloneID(m.LetterID)
		s.mu.marks[m.LetterID] = m
		l, ok := s.mu.letters[m.LetterID]
		switch {
		case !ok:
		case m.Done:
			delete(s.mu.letters, m.LetterID)
		default:
			l.Stage, l.Reason, l.Message = m.Stage, m.Reason, strings.Clone(m.Message)
			s.mu.letters[m.LetterID] = l
		}
	}
	return nil
}

func cloneID(id sinks.LetterID) sinks.LetterID {
	id.Source, id.View = strings.Clone(id.Source), strings.Clone(id.View)
	return id
}

// DropLetters implements sinks.LetterKeeper.
func (s *Store) DropLetters(ctx context.Context, ids []sinks.LetterID) error {
	if err := s.enter(ctx, "DropLetters"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(s.mu.letters, id)
		delete(s.mu.marks, id)
	}
	return nil
}
