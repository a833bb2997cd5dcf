package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"millrace/feature"
)

// Sinces keeps from when on aggregates are complete: an aggregate that a live
// view got later has not counted what came before. A window is complete when
// it begins at or after the since of every source partition; a partition
// without one counts from its first record, once its lane has adopted the
// aggregate (Epochs.Adopted).
//
// Entries only rise. A lane that dies between recording and committing leaves
// the next one to begin further on, never earlier, and an aggregate that was
// taken away and comes back begins anew.
type Sinces struct{ meta Meta }

// NewSinces returns Sinces kept in meta. It is safe for concurrent use.
func NewSinces(meta Meta) *Sinces { return &Sinces{meta: meta} }

// Since says from when on an aggregate is complete.
type Since = feature.Since

// sinceEntry is the JSON of one (view, partition): microseconds by the hash in
// hex, because people's tools round numbers of 64 bits.
type sinceEntry map[string]int64

// Raise records that aggregates of a view count a partition completely from
// micros on, unless a later time is recorded. The lane calls it before its
// first batch with them.
func (s *Sinces) Raise(ctx context.Context, view string, partition int32, micros int64, aggregates ...uint64) error {
	id := partitionID(view, partition)
	for {
		entry, old, err := s.load(ctx, id)
		if err != nil {
			return fmt.Errorf("load since when %s counts: %w", id, err)
		}
		if !entry.raise(micros, aggregates) {
			return nil
		}
		text, err := json.Marshal(entry)
		if err != nil {
			return fmt.Errorf("write since when %s counts: %w", id, err)
		}
		swapped, err := s.meta.Swap(ctx, MetaSince, id, old, text)
		if err != nil {
			return fmt.Errorf("store since when %s counts: %w", id, err)
		}
		if swapped {
			return nil
		}
	}
}

// raise reports whether anything has changed.
func (e sinceEntry) raise(micros int64, aggregates []uint64) bool {
	changed := false
	for _, a := range aggregates {
		name := fmt.Sprintf("%016x", a)
		if now, there := e[name]; !there || micros > now {
			e[name], changed = micros, true
		}
	}
	return changed
}

func (s *Sinces) load(ctx context.Context, id string) (sinceEntry, []byte, error) {
	text, err := s.meta.Get(ctx, MetaSince, id)
	if errors.Is(err, ErrNoEntry) {
		return make(sinceEntry), nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	entry, err := parseSince(text)
	return entry, text, err
}

func parseSince(text []byte) (sinceEntry, error) {
	var entry sinceEntry
	if err := json.Unmarshal(text, &entry); err != nil {
		return nil, err
	}
	if entry == nil {
		return nil, errors.New("it is null")
	}
	return entry, nil
}

// All returns everything that is recorded, in no certain order. It is one read
// of the store.
func (s *Sinces) All(ctx context.Context) ([]Since, error) {
	entries, err := s.meta.List(ctx, MetaSince)
	if err != nil {
		return nil, fmt.Errorf("load since when aggregates count: %w", err)
	}
	var all []Since
	for _, e := range entries {
		if all, err = appendSinces(all, e); err != nil {
			return nil, fmt.Errorf("read since when %s counts: %w", e.ID, err)
		}
	}
	return all, nil
}

func appendSinces(all []Since, e MetaEntry) ([]Since, error) {
	view, partition, ok := splitPartitionID(e.ID)
	if !ok {
		return nil, errors.New("its id is not view/partition")
	}
	entry, err := parseSince(e.Value)
	if err != nil {
		return nil, err
	}
	for name, micros := range entry {
		hash, err := strconv.ParseUint(name, 16, 64)
		if err != nil {
			return nil, fmt.Errorf("hash of an aggregate: %w", err)
		}
		all = append(all, Since{View: view, Partition: partition, Aggregate: hash, Micros: micros})
	}
	return all, nil
}
