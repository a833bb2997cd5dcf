package sinks

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Epochs gives out the numbers of DESIGN's windows and dead letters: m for
// every topic id that a (source, partition) had, n for every change after which
// a former owner's late writes must lose: a new topic id, a recovery, and a
// catalog version with other aggregates. Each is given once for everyone who
// asks, by conditional updates of one entry per (source, partition).
//
// It also keeps recoveries: where a lane goes on whose log lost records. The
// lane finds the record by itself, so recovering works while the group is
// active, which an administrator's offset commit would not. And adoptions: from
// where on lanes run which catalog version.
type Epochs struct{ meta Meta }

// NewEpochs returns Epochs kept in meta. It is safe for concurrent use.
func NewEpochs(meta Meta) *Epochs { return &Epochs{meta: meta} }

// MaxEpoch is the greatest n. A tile's stamp is n · 2^40 + offset, and stores
// take it for the microsecond of the write: beyond 1,601 · 2^40 µs, which was
// in October 2025, it would lie in the future, where ScyllaDB refuses it and a
// deletion at the time of today would not reach it.
const MaxEpoch = 1600

// Epoch is what the lane of a partition writes its tiles under.
type Epoch struct {
	N int64 // for TileStamp
	// Catalog is the greatest version that it was raised for. A lane that runs
	// an older one must not write: its tiles lack aggregates that have begun,
	// and could win by their offset.
	Catalog int64
}

// Recovery says where a lane goes on.
type Recovery struct {
	Number int64  `json:"number"` // greater than every earlier one of the partition
	Topic  string `json:"topic"`  // id of the topic it speaks of, in hex
	Offset int64  `json:"offset"`
}

// epochEntry is the JSON of one (source, partition).
type epochEntry struct {
	N        int64     `json:"n"`
	Catalog  int64     `json:"catalog,omitempty"` // Epoch.Catalog
	Of       int32     `json:"of,omitempty"`      // partitions of the last topic
	Topics   []string  `json:"topics"`            // ids in hex; the index is m
	Recovery *Recovery `json:"recovery,omitempty"`

	Adopted []Adoption `json:"adopted,omitempty"` // by version
}

// partitionID is the id of an entry about a partition of something.
func partitionID(of string, partition int32) string {
	return of + "/" + strconv.Itoa(int(partition))
}

// splitPartitionID takes what partitionID made apart; false when it made no such
// id.
func splitPartitionID(id string) (of string, partition int32, ok bool) {
	cut := strings.LastIndexByte(id, '/')
	n, err := strconv.ParseInt(id[cut+1:], 10, 32)
	if cut < 0 || err != nil {
		return "", 0, false
	}
	return id[:cut], int32(n), true
}

// TopicNumber returns m of a topic id, given on first sight.
func (e *Epochs) TopicNumber(ctx context.Context, source string, topic [16]byte, partition int32) (int64, error) {
	id, m := hex.EncodeToString(topic[:]), 0
	err := e.update(ctx, source, partition, func(x *epochEntry) bool {
		for i, known := range x.Topics {
			if known == id {
				m = i
				return false
			}
		}
		m = len(x.Topics)
		x.Topics = append(x.Topics, id)
		x.N++
		return true
	})
	return int64(m), err
}

// Recover records that the lane of a partition goes on at offset, and returns
// the recovery's number.
func (e *Epochs) Recover(ctx context.Context, source string, partition int32, topic [16]byte, offset int64) (int64, error) {
	var number int64
	err := e.update(ctx, source, partition, func(x *epochEntry) bool {
		x.N++
		number = 1
		if x.Recovery != nil {
			number = x.Recovery.Number + 1
		}
		x.Recovery = &Recovery{Number: number, Topic: hex.EncodeToString(topic[:]), Offset: offset}
		return true
	})
	return number, err
}

// Recovery returns the latest recovery of a partition; the zero Recovery when
// there was none.
func (e *Epochs) Recovery(ctx context.Context, source string, partition int32) (Recovery, error) {
	x, _, err := e.load(ctx, source, partition)
	if err != nil || x.Recovery == nil {
		return Recovery{}, err
	}
	return *x.Recovery, nil
}

// Epoch returns the epoch of a partition; the zero Epoch before the first topic
// id is known.
func (e *Epochs) Epoch(ctx context.Context, source string, partition int32) (Epoch, error) {
	x, _, err := e.load(ctx, source, partition)
	return Epoch{N: x.N, Catalog: x.Catalog}, err
}

// Raise begins the partition's next epoch for a catalog version that changes
// the source's aggregates, so that what a former owner writes late under the
// old one loses. The lane that adopts the version calls it before it commits
// the version. It is raised once per version, whoever asks and however often,
// and never for a version below one that it was raised for: then Epoch.Catalog
// is greater than version, and the caller has to load that one.
func (e *Epochs) Raise(ctx context.Context, source string, partition int32, version int64) (Epoch, error) {
	var now Epoch
	err := e.update(ctx, source, partition, func(x *epochEntry) bool {
		raised := version > x.Catalog
		if raised {
			x.N, x.Catalog = x.N+1, version
		}
		now = Epoch{N: x.N, Catalog: x.Catalog}
		return raised
	})
	if err != nil {
		return Epoch{}, err
	}
	return now, nil
}

func (e *Epochs) load(ctx context.Context, source string, partition int32) (epochEntry, []byte, error) {
	var x epochEntry
	text, err := e.meta.Get(ctx, MetaEpochs, partitionID(source, partition))
	if errors.Is(err, ErrNoEntry) {
		return x, nil, nil
	}
	if err != nil {
		return x, nil, fmt.Errorf("load the epochs of source %s, partition %d: %w", source, partition, err)
	}
	if err := json.Unmarshal(text, &x); err != nil {
		return x, nil, fmt.Errorf("read the epochs of source %s, partition %d: %w", source, partition, err)
	}
	return x, text, nil
}

// update repeats change until its result is stored or it reports that nothing
// has to change.
func (e *Epochs) update(ctx context.Context, source string, partition int32, change func(*epochEntry) bool) error {
	for {
		x, old, err := e.load(ctx, source, partition)
		if err != nil {
			return err
		}
		if !change(&x) {
			return nil
		}
		if x.N > MaxEpoch {
			return fmt.Errorf("source %s, partition %d has begun %d epochs, which is all there are: give the source another name", source, partition, MaxEpoch)
		}
		text, err := json.Marshal(x)
		if err != nil {
			return fmt.Errorf("write the epochs of source %s, partition %d: %w", source, partition, err)
		}
		swapped, err := e.meta.Swap(ctx, MetaEpochs, partitionID(source, partition), old, bytes.Clone(text))
		if err != nil {
			return fmt.Errorf("store the epochs of source %s, partition %d: %w", source, partition, err)
		}
		if swapped {
			return nil
		}
	}
}
