package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"millrace/sinks"
)

// state is the one entry that a source has in sinks.MetaReplays. It changes by
// conditional updates only.
//
// A chunk is recorded and its numbers are given in one such update, one chunk
// at a time: two entries, or all chunks of a run at once, would leave moments
// in which a late writer adds letters that another chunk has too.
type state struct {
	Next     int64  `json:"next"`            // the number that is given next
	Epoch    int64  `json:"epoch"`           // how often a replay began; whoever began before the latest is out
	Tiles    int64  `json:"tiles,omitempty"` // the epoch of sinks.TileStamp
	RunFirst int64  `json:"run_first,omitempty"`
	Chunk    *chunk `json:"chunk,omitempty"` // what is being applied
}

// chunk is letters in the order in which they are applied; letter i has the
// number First+i.
type chunk struct {
	First   int64            `json:"first"`
	Catalog int64            `json:"catalog"`
	Letters []sinks.LetterID `json:"letters"`
}

// begin loads the state and bars everybody who began before.
func (r *run) begin(ctx context.Context) error {
	for {
		text, err := r.s.Store.Get(ctx, sinks.MetaReplays, r.source)
		if err != nil && !errors.Is(err, sinks.ErrNoEntry) {
			return err //nolint:wrapcheck // says what failed; Run adds where
		}
		s := state{Next: 1}
		if err == nil {
			if err := json.Unmarshal(text, &s); err != nil {
				return fmt.Errorf("read the state of its replays: %w", err)
			}
		}
		r.text = text
		s.Epoch++
		if s.Chunk != nil {
			// Whoever left it may still write tiles. Where there is no chunk nobody
			// does, and epochs are few: beyond them stamps would lie in the future.
			s.Tiles++
		}
		err = r.swap(ctx, s)
		if !errors.Is(err, ErrTakenOver) {
			return err
		}
	}
}

// record gives a chunk its numbers and makes it the one to be applied.
func (r *run) record(ctx context.Context, c *chunk, runFirst int64) error {
	next := r.state
	next.Next += int64(len(c.Letters))
	next.RunFirst, next.Chunk = runFirst, c
	return r.swap(ctx, next)
}

// still fails when another replay has begun. Letters whose windows counted them
// are marked only after it: what was acknowledged before another one began is
// what that one loads; what was written later loses against its tiles, and a
// letter marked then would be counted by nobody.
func (r *run) still(ctx context.Context) error {
	text, err := r.s.Store.Get(ctx, sinks.MetaReplays, r.source)
	if err != nil && !errors.Is(err, sinks.ErrNoEntry) {
		return err //nolint:wrapcheck // says what failed; Run adds where
	}
	if !bytes.Equal(text, r.text) {
		return ErrTakenOver
	}
	return nil
}

func (r *run) swap(ctx context.Context, next state) error {
	text, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("write the state of its replays: %w", err)
	}
	swapped, err := r.s.Store.Swap(ctx, sinks.MetaReplays, r.source, r.text, text)
	if err != nil {
		return err //nolint:wrapcheck // says what failed; Run adds where
	}
	if !swapped {
		return ErrTakenOver
	}
	r.state, r.text = next, text
	return nil
}

func cloneID(id *sinks.LetterID) sinks.LetterID {
	c := *id
	c.Source, c.View = strings.Clone(id.Source), strings.Clone(id.View)
	return c
}

// cloneLetter copies what a letter points to.
func cloneLetter(l *sinks.Letter) *sinks.Letter {
	c := *l
	c.LetterID = cloneID(&l.LetterID)
	c.Topic = strings.Clone(l.Topic)
	c.RecordKey, c.RecordValue = bytes.Clone(l.RecordKey), bytes.Clone(l.RecordValue)
	c.Headers = slices.Clone(l.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = bytes.Clone(c.Headers[i].Value)
	}
	return &c
}
