package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// SetPartitions records how many partitions the topic has whose number was
// given last to this one. Adopted knows from it what it is to wait for.
func (e *Epochs) SetPartitions(ctx context.Context, source string, partition, of int32) error {
	return e.update(ctx, source, partition, func(x *epochEntry) bool {
		changed := x.Of != of
		x.Of = of
		return changed
	})
}

// Adopted returns, by source, the greatest catalog version that every partition
// of its topic was raised for: an aggregate of a later one is not yet counted
// everywhere. A source that no lane has read is not in it. It is one read of
// the store.
func (e *Epochs) Adopted(ctx context.Context) (map[string]int64, error) {
	entries, err := e.meta.List(ctx, MetaEpochs)
	if err != nil {
		return nil, fmt.Errorf("load which catalog versions were adopted: %w", err)
	}
	sources := make(map[string]map[int32]epochEntry)
	for _, entry := range entries {
		if err := addEpoch(sources, entry); err != nil {
			return nil, fmt.Errorf("read the epochs of %s: %w", entry.ID, err)
		}
	}
	adopted := make(map[string]int64, len(sources))
	for source, partitions := range sources {
		adopted[source] = adoptedBy(partitions)
	}
	return adopted, nil
}

func addEpoch(to map[string]map[int32]epochEntry, e MetaEntry) error {
	source, partition, ok := splitPartitionID(e.ID)
	if !ok {
		return errors.New("its id is not source/partition")
	}
	var x epochEntry
	if err := json.Unmarshal(e.Value, &x); err != nil {
		return err //nolint:wrapcheck // the caller says of what
	}
	if to[source] == nil {
		to[source] = make(map[int32]epochEntry)
	}
	to[source][partition] = x
	return nil
}

// adoptedBy is the version that all partitions of a topic have come to. The
// topic is that of partition 0, which every topic has: one that was made again
// with fewer partitions leaves entries of those that are no more.
func adoptedBy(partitions map[int32]epochEntry) int64 {
	topic := partitions[0].topic()
	if topic == "" {
		return 0
	}
	of := int32(0)
	for number, x := range partitions {
		if x.topic() == topic {
			of = max(of, x.Of, number+1)
		}
	}
	version := partitions[0].Catalog
	for number := range of {
		x := partitions[number]
		if x.topic() != topic {
			return 0
		}
		version = min(version, x.Catalog)
	}
	return version
}

// topic is the id of the last topic; "" without one.
func (x epochEntry) topic() string {
	if len(x.Topics) == 0 {
		return ""
	}
	return x.Topics[len(x.Topics)-1]
}
