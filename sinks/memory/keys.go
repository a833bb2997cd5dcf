package memory

import (
	"context"
	"slices"

	"millrace/sinks"
)

// keyCursor is the layout of cursors: the last key given.
const keyCursor = "memory1"

// keyPage is how many keys a page has at most.
const keyPage = 1000

// EachKey implements sinks.KeyScanner.
func (s *Store) EachKey(ctx context.Context, entity string, from sinks.KeyCursor, fn func(*sinks.KeyPage) error) error {
	place, begun, err := from.Place(keyCursor)
	if err != nil {
		return err //nolint:wrapcheck // says already what
	}
	keys := s.keys(entity)
	at := 0
	if begun {
		var found bool
		if at, found = slices.BinarySearch(keys, string(place)); found {
			at++
		}
	}
	for at < len(keys) {
		if err := s.enter(ctx, "EachKey"); err != nil {
			return err
		}
		to := min(at+keyPage, len(keys))
		err := fn(&sinks.KeyPage{
			Keys: slices.Clone(keys[at:to]), Next: sinks.NewKeyCursor(keyCursor, []byte(keys[to-1])),
			Progress: float64(to) / float64(len(keys)),
		})
		if err != nil {
			return err
		}
		at = to
	}
	return s.enter(ctx, "EachKey")
}

// keys returns the keys of entity, ascending.
func (s *Store) keys(entity string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for at := range s.mu.cells {
		if at.entity == entity {
			keys = append(keys, at.key)
		}
	}
	for at := range s.mu.tiles {
		if at.entity == entity {
			keys = append(keys, at.key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
