package sinks

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Openings remembers of which partitions copies were begun for a rekeyed view:
// a consumer group may lose its offsets, and what was copied must then not be
// copied, and counted, again. Entries are only added to.
type Openings struct{ meta Meta }

// NewOpenings returns Openings kept in meta. It is safe for concurrent use.
func NewOpenings(meta Meta) *Openings { return &Openings{meta: meta} }

// openingEntry is the JSON of one (view, partition). It lies among the epochs,
// under an id that no source has.
type openingEntry struct {
	Topics []string `json:"topics"` // ids in hex
}

func openingID(view string, partition int32) string {
	return partitionID("rekey/"+view, partition)
}

// Opened reports whether a partition of the topic was begun for a stored view,
// and whether one of an earlier topic was.
func (o *Openings) Opened(ctx context.Context, view string, partition int32, topic [16]byte) (this, earlier bool, err error) {
	entry, _, err := o.load(ctx, view, partition)
	if err != nil {
		return false, false, err
	}
	id := hex.EncodeToString(topic[:])
	for _, known := range entry.Topics {
		this, earlier = this || known == id, earlier || known != id
	}
	return this, earlier, nil
}

// Open records that a partition of the topic is begun for a stored view.
func (o *Openings) Open(ctx context.Context, view string, partition int32, topic [16]byte) error {
	id := hex.EncodeToString(topic[:])
	for {
		entry, old, err := o.load(ctx, view, partition)
		if err != nil || slices.Contains(entry.Topics, id) {
			return err
		}
		entry.Topics = append(entry.Topics, id)
		text, err := json.Marshal(entry)
		if err != nil {
			return fmt.Errorf("write what was begun of %s, partition %d: %w", view, partition, err)
		}
		swapped, err := o.meta.Swap(ctx, MetaEpochs, openingID(view, partition), old, text)
		if err != nil {
			return fmt.Errorf("store what was begun of %s, partition %d: %w", view, partition, err)
		}
		if swapped {
			return nil
		}
	}
}

func (o *Openings) load(ctx context.Context, view string, partition int32) (openingEntry, []byte, error) {
	var entry openingEntry
	text, err := o.meta.Get(ctx, MetaEpochs, openingID(view, partition))
	if errors.Is(err, ErrNoEntry) {
		return entry, nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &entry)
	}
	if err != nil {
		return entry, nil, fmt.Errorf("load what was begun of %s, partition %d: %w", view, partition, err)
	}
	return entry, text, nil
}
