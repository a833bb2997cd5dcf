package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"millrace/sinks"
)

// Get implements sinks.Meta.
func (s *Store) Get(ctx context.Context, t sinks.MetaTable, id string) ([]byte, error) {
	if err := s.enter(ctx, "get "+string(t)); err != nil {
		return nil, err
	}
	defer s.leave()
	value, err := s.entry(t, id)
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, fmt.Errorf("get %s %s: %w", t, id, sinks.ErrNoEntry)
	}
	return value, nil
}

// entry returns a copy of an entry's value, nil if there is none.
func (s *Store) entry(t sinks.MetaTable, id string) ([]byte, error) {
	value, closer, err := s.db.Get(metaKey(t, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get %s %s: %w", t, id, err)
	}
	found := append([]byte{}, value...)
	if err := closer.Close(); err != nil {
		return nil, fmt.Errorf("end read: %w", err)
	}
	return found, nil
}

// List implements sinks.Meta.
func (s *Store) List(ctx context.Context, t sinks.MetaTable) ([]sinks.MetaEntry, error) {
	if err := s.enter(ctx, "list "+string(t)); err != nil {
		return nil, err
	}
	defer s.leave()
	prefix := metaPrefix(t)
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", t, err)
	}
	var all []sinks.MetaEntry
	for ok := it.First(); ok; ok = it.Next() {
		all = append(all, sinks.MetaEntry{ID: string(it.Key()[len(prefix):]), Value: bytes.Clone(it.Value())})
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return nil, fmt.Errorf("list %s: %w", t, err)
	}
	return all, nil
}

// Swap implements sinks.Meta. It is durable when it returns.
func (s *Store) Swap(ctx context.Context, t sinks.MetaTable, id string, old, value []byte) (bool, error) {
	if err := s.enter(ctx, "swap "+string(t)); err != nil {
		return false, err
	}
	defer s.leave()
	s.swap.Lock()
	defer s.swap.Unlock()
	now, err := s.entry(t, id)
	if err != nil {
		return false, err
	}
	if (now == nil) != (old == nil) || !bytes.Equal(now, old) {
		return false, nil
	}
	if err := s.replace(metaKey(t, id), value); err != nil {
		return false, fmt.Errorf("swap %s %s: %w", t, id, err)
	}
	return true, nil
}

func (s *Store) replace(key, value []byte) error {
	if value == nil {
		return s.db.Delete(key, pebble.Sync)
	}
	return s.db.Set(key, value, pebble.Sync)
}
