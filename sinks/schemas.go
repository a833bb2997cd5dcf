package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"

	"millrace/feature"
)

// maxSchemaProbes bounds the search for a free id. A collision of 32-bit
// hashes is rare, a chain of this many is a damaged table.
const maxSchemaProbes = 64

// Schemas gives stored schemas their ids and finds them again. It keeps what
// it has seen for ever: schemas are few and never change. It is safe for
// concurrent use; the schemas it returns are shared and must not be written to.
type Schemas struct {
	meta Meta

	mu   sync.RWMutex
	byID map[uint32]*feature.Stored
}

// NewSchemas returns the schemas kept in meta.
func NewSchemas(meta Meta) *Schemas {
	return &Schemas{meta: meta, byID: make(map[uint32]*feature.Stored)}
}

// Put records st, if it is new, and returns its id, which is never 0. Equal
// canonical forms get equal ids, whoever records them and however many at
// once. It blocks on the store.
func (s *Schemas) Put(ctx context.Context, st feature.Stored) (uint32, error) {
	text := st.Canonical()
	id := schemaHash(text)
	for range maxSchemaProbes {
		mine, err := s.claim(ctx, id, text)
		if err != nil {
			return 0, fmt.Errorf("record stored schema %d: %w", id, err)
		}
		if mine {
			_, err = s.keep(id, text)
			return id, err
		}
		id = nextSchemaID(id)
	}
	return 0, fmt.Errorf("record stored schema: no free id in %d after %d", maxSchemaProbes, schemaHash(text))
}

// claim makes id mean text unless it means something already, and reports
// whether id means text.
func (s *Schemas) claim(ctx context.Context, id uint32, text []byte) (bool, error) {
	for {
		old, err := s.meta.Get(ctx, MetaSchemas, schemaEntry(id))
		if err == nil {
			return bytes.Equal(old, text), nil
		}
		if !errors.Is(err, ErrNoEntry) {
			return false, err
		}
		swapped, err := s.meta.Swap(ctx, MetaSchemas, schemaEntry(id), nil, text)
		if err != nil || swapped {
			return swapped, err
		}
		// Somebody else took the id in between: look at what it means now.
		if err := ctx.Err(); err != nil {
			return false, err
		}
	}
}

// Schema returns the stored schema of that id. An id seen before is answered
// from memory; another one blocks on the store. An id that was never given
// wraps ErrNoEntry.
func (s *Schemas) Schema(ctx context.Context, id uint32) (*feature.Stored, error) {
	s.mu.RLock()
	st := s.byID[id]
	s.mu.RUnlock()
	if st != nil {
		return st, nil
	}
	text, err := s.meta.Get(ctx, MetaSchemas, schemaEntry(id))
	if err != nil {
		return nil, fmt.Errorf("load stored schema %d: %w", id, err)
	}
	return s.keep(id, text)
}

func (s *Schemas) keep(id uint32, text []byte) (*feature.Stored, error) {
	st, err := feature.ParseStored(text)
	if err != nil {
		return nil, fmt.Errorf("read stored schema %d: %w", id, err)
	}
	st.ID = id
	s.mu.Lock()
	defer s.mu.Unlock()
	if seen := s.byID[id]; seen != nil {
		return seen, nil
	}
	s.byID[id] = &st
	return &st, nil
}

func schemaEntry(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

// schemaHash is the id that text gets unless it is taken: FNV-1a, 0 avoided.
func schemaHash(text []byte) uint32 {
	h := fnv.New32a()
	_, _ = h.Write(text) // never fails
	return max(h.Sum32(), 1)
}

// nextSchemaID follows id, passing over 0.
func nextSchemaID(id uint32) uint32 { return max(id+1, 1) }
