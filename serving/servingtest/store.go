// Package servingtest has a store of rows and windows for tests of the read API and
// its transports.
//
// Invariant: it keeps its word to the letter of serving.Store and serving.Tiles, and remembers
// what it was asked.
package servingtest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"millrace/feature"
)

// Store is a serving.Store and serving.Tiles in memory. It is safe for concurrent use.
type Store struct {
	mu    sync.Mutex
	rows  map[cell]row
	reads []feature.Query
	windows
	fault func(ctx context.Context) error

	writeFault func(ctx context.Context) error
}

type cell struct{ view, key string }

type row struct {
	origin  feature.StoredOrigin
	columns map[string]json.RawMessage
	values  map[string]*feature.Column // instead of columns, of rows that WriteRows stored
}

// NewStore returns an empty store.
func NewStore() *Store { return &Store{rows: make(map[cell]row)} }

// Put stores the row of a view, by its stored name, and an entity key. columns
// is a JSON object by stored column; a column it lacks was never stored.
func (s *Store) Put(view, key string, event time.Time, columns string) error {
	r := row{origin: feature.StoredOrigin{EventMicros: event.UnixMicro()}}
	if err := json.Unmarshal([]byte(columns), &r.columns); err != nil {
		return fmt.Errorf("store a row of %s: %w", view, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[cell{view, key}] = r
	return nil
}

// Delete marks the row of a view and key as deleted at event.
func (s *Store) Delete(view, key string, event time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[cell{view, key}] = row{origin: feature.StoredOrigin{EventMicros: event.UnixMicro(), Flags: feature.RowDeleted}}
}

// From says which record the row of a view and key came from.
func (s *Store) From(view, key string, partition int32, seq feature.Sequence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rows[cell{view, key}]
	r.origin.Partition, r.origin.Sequence = partition, seq
	s.rows[cell{view, key}] = r
}

// Fail makes every Read begin with fault and return its error; nil ends that.
func (s *Store) Fail(fault func(ctx context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// Reads returns copies of the queries so far, and forgets them.
func (s *Store) Reads() []feature.Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.reads
	s.reads = nil
	return all
}

// Read implements serving.Store.
func (s *Store) Read(ctx context.Context, q *feature.Query, dst []feature.Loaded) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads = append(s.reads, clone(q))
	if err := s.failed(ctx); err != nil {
		return err
	}
	for i := range q.Views {
		dst[i].Reset(&q.Views[i], len(q.Keys))
		for at, key := range q.Keys {
			if err := s.load(&q.Views[i], key, &dst[i], at); err != nil {
				return fmt.Errorf("read view %s: %w", q.Views[i].View, err)
			}
		}
	}
	return nil
}

// failed is what the fault says. The caller holds mu.
func (s *Store) failed(ctx context.Context) error {
	fault := s.fault
	if fault == nil {
		return nil
	}
	s.mu.Unlock() // a fault may wait
	defer s.mu.Lock()
	return fault(ctx)
}

// clone copies what the caller will reuse.
func clone(q *feature.Query) feature.Query {
	c := feature.Query{Entity: q.Entity, Views: append([]feature.ViewQuery(nil), q.Views...)}
	for _, k := range q.Keys {
		c.Keys = append(c.Keys, string(append([]byte(nil), k...)))
	}
	return c
}

// hash is another for any other row. It is not the one of production, which is
// of bytes that this store does not have.
func (r *row) hash() (hash [16]byte) {
	var text strings.Builder
	fmt.Fprintf(&text, "%x %d %d", r.origin.Sequence, r.origin.EventMicros, r.origin.Partition)
	for _, name := range slices.Sorted(maps.Keys(r.columns)) {
		fmt.Fprintf(&text, " %s=%q", name, r.columns[name])
	}
	sum := sha256.Sum256([]byte(text.String()))
	copy(hash[:], sum[:])
	return hash
}

func (s *Store) load(v *feature.ViewQuery, key string, dst *feature.Loaded, at int) error {
	r, ok := s.rows[cell{v.View, key}]
	if !ok {
		return nil
	}
	dst.Origins[at] = r.origin
	if r.origin.Flags&feature.RowDeleted != 0 {
		return nil
	}
	dst.Found.Set(at)
	if v.Hash {
		dst.Origins[at].Hash = r.hash()
	}
	for i, c := range v.Columns {
		if value := r.values[c.Name]; value != nil {
			dst.Columns[i].CopyRow(at, value, 0)
			continue
		}
		text, ok := r.columns[c.Name]
		if !ok {
			dst.Missing[i].Set(at)
			continue
		}
		if err := set(&dst.Columns[i], at, text); err != nil {
			return fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	return nil
}
