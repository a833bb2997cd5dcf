package sinks

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Epochs gives out the numbers of DESIGN's windows and dead letters: m for
// every topic id that a (source, partition) had, n for every change after which
// a former owner's late writes must lose. Each is given once for everyone who
// asks, by conditional updates of one entry per (source, partition).
//
// It also keeps recoveries: where a lane goes on whose log lost records. The
// lane finds the record by itself, so recovering works while the group is
// active, which an administrator's offset commit would not.
type Epochs struct{ meta Meta }

// NewEpochs returns Epochs kept in meta. It is safe for concurrent use.
func NewEpochs(meta Meta) *Epochs { return &Epochs{meta: meta} }

// Recovery says where a lane goes on.
type Recovery struct {
	Number int64  `json:"number"` // greater than every earlier one of the partition
	Topic  string `json:"topic"`  // id of the topic it speaks of, in hex
	Offset int64  `json:"offset"`
}

// epochEntry is the JSON of one (source, partition).
type epochEntry struct {
	N        int64     `json:"n"`
	Topics   []string  `json:"topics"` // ids in hex; the index is m
	Recovery *Recovery `json:"recovery,omitempty"`
}

func epochID(source string, partition int32) string {
	return source + "/" + strconv.Itoa(int(partition))
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

func (e *Epochs) load(ctx context.Context, source string, partition int32) (epochEntry, []byte, error) {
	var x epochEntry
	text, err := e.meta.Get(ctx, MetaEpochs, epochID(source, partition))
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
		text, err := json.Marshal(x)
		if err != nil {
			return fmt.Errorf("write the epochs of source %s, partition %d: %w", source, partition, err)
		}
		swapped, err := e.meta.Swap(ctx, MetaEpochs, epochID(source, partition), old, bytes.Clone(text))
		if err != nil {
			return fmt.Errorf("store the epochs of source %s, partition %d: %w", source, partition, err)
		}
		if swapped {
			return nil
		}
	}
}
