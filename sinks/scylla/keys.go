package scylla

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"millrace/sinks"
)

// The partitions of a table between two tokens. Neither database takes a
// restriction of entity beside one of tokens, so others' keys come too.
const (
	selectRowKeys  = "SELECT DISTINCT entity, key, token(entity, key) FROM latest WHERE token(entity, key) > ? AND token(entity, key) <= ? LIMIT ?"
	selectTileKeys = "SELECT DISTINCT entity, key, token(entity, key) FROM tiles WHERE token(entity, key) > ? AND token(entity, key) <= ? LIMIT ?"
)

// keyCursor is the layout of cursors: the token behind which to go on, eight
// bytes big-endian.
const keyCursor = "scylla1"

// scanSizes are how a table is scanned.
type scanSizes struct {
	// slices is in how many parts, a power of two, the ring of tokens is asked
	// for: a request over all of it would have one node ask every other while
	// nothing is found.
	slices uint64
	page   int // partitions that a request asks for
}

var defaultScan = scanSizes{slices: 256, page: 1000}

// EachKey implements sinks.KeyScanner, in the order of tokens. It reads the
// names of all partitions, those of other entities too; rows with the
// consistency of rows, tiles with that of tiles. Progress is the share of the
// ring that lies behind.
func (s *Store) EachKey(ctx context.Context, entity string, from sinks.KeyCursor, fn func(*sinks.KeyPage) error) error {
	at, err := tokenOf(from)
	if err != nil {
		return err
	}
	for at < math.MaxInt64 {
		var page *sinks.KeyPage
		var next int64
		err := s.repeat(ctx, func() (err error) {
			page, next, err = s.keysBetween(ctx, entity, at, sliceEnd(at, s.scan.slices))
			return err
		})
		if err != nil {
			return fmt.Errorf("scan keys: %w", err)
		}
		if err := fn(page); err != nil {
			return err
		}
		at = next
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("scan keys: %w", err)
	}
	return nil
}

// tokenOf returns the token behind which a scan begins. No partition has the
// lowest one.
func tokenOf(from sinks.KeyCursor) (int64, error) {
	place, begun, err := from.Place(keyCursor)
	if err != nil {
		return 0, err //nolint:wrapcheck // says already what
	}
	if !begun {
		return math.MinInt64, nil
	}
	if len(place) != 8 {
		return 0, fmt.Errorf("read a cursor of %d bytes: %w", len(place), sinks.ErrKeyCursor)
	}
	return int64(binary.BigEndian.Uint64(place)), nil
}

func cursorOf(token int64) sinks.KeyCursor {
	return sinks.NewKeyCursor(keyCursor, binary.BigEndian.AppendUint64(nil, uint64(token)))
}

// sliceEnd returns the last token of the slice behind at, of so many slices.
func sliceEnd(at int64, slices uint64) int64 {
	width := math.MaxUint64/slices + 1
	from := uint64(at) - 1<<63 // from the ring's beginning
	if end := (from/width + 1) * width; end != 0 {
		return int64(end + 1<<63)
	}
	return math.MaxInt64
}

// keysBetween returns the keys of entity behind the token at, up to another one
// that is at most to, which it returns too.
func (s *Store) keysBetween(ctx context.Context, entity string, at, to int64) (*sinks.KeyPage, int64, error) {
	rows, to, err := s.partitions(ctx, selectRowKeys, at, to)
	if err != nil {
		return nil, 0, err
	}
	tiles, to, err := s.partitions(ctx, selectTileKeys, at, to)
	if err != nil {
		return nil, 0, err
	}
	all := slices.Concat(rows, tiles)
	slices.SortFunc(all, partition.compare)
	page := &sinks.KeyPage{Next: cursorOf(to), Progress: min(float64(uint64(to)-1<<63)/math.MaxUint64, 1)}
	for _, p := range slices.Compact(all) {
		if p.entity == entity && p.token <= to { // rows behind it are asked for again
			page.Keys = append(page.Keys, p.key)
		}
	}
	return page, to, nil
}

// partition is one partition of a table.
type partition struct {
	token       int64
	entity, key string
}

func (p partition) compare(q partition) int {
	return cmp.Or(cmp.Compare(p.token, q.token), cmp.Compare(p.entity, q.entity), cmp.Compare(p.key, q.key))
}

// partitions returns all partitions of a table behind the token at, up to
// another one that is at most to, which it returns too.
func (s *Store) partitions(ctx context.Context, statement string, at, to int64) ([]partition, int64, error) {
	for limit := s.scan.page; ; limit *= 2 {
		found, err := s.firstPartitions(ctx, statement, at, to, limit)
		if err != nil || len(found) < limit {
			return found, to, err
		}
		// The last token may have partitions beyond the limit: it is for the next
		// request, unless there is no other.
		last := found[len(found)-1].token
		found = slices.DeleteFunc(found, func(p partition) bool { return p.token == last })
		if n := len(found); n > 0 {
			return found, found[n-1].token, nil
		}
	}
}

func (s *Store) firstPartitions(ctx context.Context, statement string, at, to int64, limit int) ([]partition, error) {
	q := s.session.QueryWithContext(ctx, statement, at, to, limit)
	defer q.Release()
	if statement == selectTileKeys {
		q.Consistency(s.tiles)
	}
	it := q.RetryPolicy(again()).PageSize(limit).Iter()
	var all []partition
	for p := (partition{}); it.Scan(&p.entity, &p.key, &p.token); {
		all = append(all, p)
	}
	return all, it.Close() //nolint:wrapcheck // repeat reads the driver's error
}
