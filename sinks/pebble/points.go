package pebble

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"millrace/sinks"
)

// points reads single values of a table as they were at one moment, by one
// iterator: it keeps the files and blocks that a Get opens anew each time, and
// finds a key that follows the last one without a search from the top.
type points struct {
	it  *pebble.Iterator
	now time.Time
}

func (s *Store) points(ctx context.Context, table byte) (*points, error) {
	it, err := s.over(ctx, table)
	if err != nil {
		return nil, err
	}
	return &points{it: it, now: s.set.Now()}, nil
}

// over returns an iterator over a table as it is now.
func (s *Store) over(ctx context.Context, table byte) (*pebble.Iterator, error) {
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: []byte{table}, UpperBound: []byte{table + 1}})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", sinks.ErrUnavailable, err)
	}
	return it, nil
}

// read returns the row or state at key, valid until the next call; nil when
// there is none or it is expired.
func (p *points) read(key []byte) ([]byte, error) {
	// The whole key is its prefix: the filters of the files are asked for it,
	// and nothing behind it is found.
	if !p.it.SeekPrefixGE(key) {
		return nil, p.fault(p.it.Error())
	}
	cell, err := p.it.ValueAndErr()
	if err != nil {
		return nil, p.fault(err)
	}
	return liveRow(cell, p.now), nil
}

func (p *points) fault(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", sinks.ErrUnavailable, err)
}

// close ends a read that came to err, and returns that or its own error: an
// iterator that failed says so again when it is closed.
func (p *points) close(err error) error {
	if cerr := p.it.Close(); err == nil && cerr != nil {
		return fmt.Errorf("end read: %w", cerr)
	}
	return err
}
