// Package memory is the reference store: everything in maps, nothing durable,
// for tests and as the plain statement of what every store must do.
//
// Invariant: a cell holds the greatest (Stamp, Value) ever written to it.
package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"millrace/sinks"
)

// Store implements every contract of package sinks. The zero Store is ready
// and safe for concurrent use.
type Store struct {
	mu struct {
		sync.Mutex
		cells   map[cellKey]sinks.Row
		tiles   map[tilesKey]map[tileKey]sinks.Tile
		letters map[sinks.LetterID]sinks.Letter
		marks   map[sinks.LetterID]sinks.LetterMark
		meta    map[sinks.MetaTable]map[string][]byte
		fault   func(op string) error
	}
}

type cellKey struct{ entity, key, view string }

// Fail makes every call ask fault first: its error is the call's. nil ends it.
// op is the method's name.
func (s *Store) Fail(fault func(op string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.fault = fault
}

// enter asks the fault, without the lock so that a fault may block.
func (s *Store) enter(ctx context.Context, op string) error {
	s.mu.Lock()
	fault := s.mu.fault
	s.mu.Unlock()
	if fault != nil {
		if err := fault(op); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// Write implements sinks.Sink.
func (s *Store) Write(ctx context.Context, rows []sinks.Row) error {
	if err := s.enter(ctx, "Write"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.cells == nil {
		s.mu.cells = make(map[cellKey]sinks.Row)
	}
	for i := range rows {
		r := &rows[i]
		at := cellKey{strings.Clone(r.Entity), strings.Clone(r.Key), strings.Clone(r.View)}
		if old, ok := s.mu.cells[at]; ok && !r.Newer(&old) {
			continue
		}
		s.mu.cells[at] = sinks.Row{
			Entity: at.entity, Key: at.key, View: at.view,
			Stamp: r.Stamp, Value: bytes.Clone(r.Value), Expire: r.Expire,
		}
	}
	return nil
}

// Sync implements sinks.Sink.
func (s *Store) Sync(ctx context.Context) error { return s.enter(ctx, "Sync") }

// Rows returns all cells, ordered by entity, key and view.
func (s *Store) Rows() []sinks.Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]sinks.Row, 0, len(s.mu.cells))
	for _, r := range s.mu.cells {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b sinks.Row) int {
		return cmp.Or(cmp.Compare(a.Entity, b.Entity), cmp.Compare(a.Key, b.Key), cmp.Compare(a.View, b.View))
	})
	return all
}

// ReadCells implements sinks.Cells.
func (s *Store) ReadCells(ctx context.Context, entity string, keys, views []string, dst *sinks.CellSet) error {
	if err := s.enter(ctx, "ReadCells"); err != nil {
		return err
	}
	dst.Reset(len(keys), len(views))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range keys {
		for j, v := range views {
			if r, ok := s.mu.cells[cellKey{entity, k, v}]; ok {
				dst.Values[i*len(views)+j] = r.Value
			}
		}
	}
	return nil
}

// Get implements sinks.Meta.
func (s *Store) Get(ctx context.Context, t sinks.MetaTable, id string) ([]byte, error) {
	if err := s.enter(ctx, "Get"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.mu.meta[t][id]
	if !ok {
		return nil, fmt.Errorf("%s %s: %w", t, id, sinks.ErrNoEntry)
	}
	return bytes.Clone(v), nil
}

// List implements sinks.Meta.
func (s *Store) List(ctx context.Context, t sinks.MetaTable) ([]sinks.MetaEntry, error) {
	if err := s.enter(ctx, "List"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]sinks.MetaEntry, 0, len(s.mu.meta[t]))
	for id, v := range s.mu.meta[t] {
		all = append(all, sinks.MetaEntry{ID: id, Value: bytes.Clone(v)})
	}
	slices.SortFunc(all, func(a, b sinks.MetaEntry) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// Swap implements sinks.Meta.
func (s *Store) Swap(ctx context.Context, t sinks.MetaTable, id string, old, value []byte) (bool, error) {
	if err := s.enter(ctx, "Swap"); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, ok := s.mu.meta[t][id]
	if ok != (old != nil) || !bytes.Equal(now, old) {
		return false, nil
	}
	if s.mu.meta == nil {
		s.mu.meta = make(map[sinks.MetaTable]map[string][]byte)
	}
	if s.mu.meta[t] == nil {
		s.mu.meta[t] = make(map[string][]byte)
	}
	if value == nil {
		delete(s.mu.meta[t], id)
	} else {
		s.mu.meta[t][id] = append([]byte{}, value...)
	}
	return true, nil
}

// Ping reports the fault that is switched on.
func (s *Store) Ping(ctx context.Context) error { return s.enter(ctx, "Ping") }

// Close does nothing; what the store held stays readable.
func (s *Store) Close() error { return nil }
