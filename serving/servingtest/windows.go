package servingtest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"millrace/feature"
	"millrace/transforms"
	"millrace/transforms/window"
)

// windows is the part of a Store that windows are merged from.
type windows struct {
	tiles     map[tileCell][]byte
	offsets   map[int32]int64 // next one, by partition
	sinces    []feature.Since
	adopted   map[string]int64
	tileReads [][]feature.TileRange
}

type tileCell struct {
	view, key string
	hop       int32
	start     int64
	source    int32
}

// Count counts an event of a partition in the windows of a view, as a lane
// would. fields is a JSON object of the source's fields; it happened, and was
// recorded, at a time.
func (s *Store) Count(plan *transforms.Plan, partition int32, at time.Time, fields string) error {
	rows, err := s.write(plan, partition, at, fields)
	if err != nil {
		return fmt.Errorf("count an event of view %s: %w", plan.View.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for row := range rows.Origins {
		if !rows.Windows.Counts.Get(row) {
			continue
		}
		key := string(feature.AppendKey(nil, rows.Keys, row))
		for hop := range plan.Windows.Hops {
			if err := s.update(plan, hop, key, rows, row); err != nil {
				return fmt.Errorf("count an event of view %s: %w", plan.View.Name, err)
			}
		}
	}
	return nil
}

// write runs the write half over one event.
func (s *Store) write(plan *transforms.Plan, partition int32, at time.Time, fields string) (*feature.Rows, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal([]byte(fields), &values); err != nil {
		return nil, fmt.Errorf("read its fields: %w", err)
	}
	writer, err := plan.NewWriter(plan.Fields, 0)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.offsets == nil {
		s.offsets = make(map[int32]int64)
	}
	offset := s.offsets[partition]
	s.offsets[partition]++
	s.mu.Unlock()
	batch, rows := new(feature.Batch), new(feature.Rows)
	batch.Reset(plan.Fields, partition)
	batch.AppendRow(feature.Origin{Offset: offset, RecordMillis: at.UnixMilli() + 1, EventMicros: at.UnixMicro()})
	for i, f := range plan.Fields {
		if text, ok := values[f.Name]; ok {
			if err := set(&batch.Columns[i], 0, text); err != nil {
				return nil, fmt.Errorf("field %s: %w", f.Name, err)
			}
		}
	}
	writer.Apply(batch, 0, rows)
	if len(rows.Rejects) > 0 {
		return nil, fmt.Errorf("it is refused: %s %s", rows.Rejects[0].Reason, rows.Rejects[0].Message)
	}
	return rows, nil
}

// update counts a row in its tile of one hop.
func (s *Store) update(plan *transforms.Plan, hop int, key string, rows *feature.Rows, row int) error {
	h := &plan.Windows.Hops[hop]
	at := tileCell{
		plan.View.StoredName(), key, int32(h.Span / time.Second),
		window.TileStart(rows.Origins[row].EventMicros, h.Span), rows.Partition,
	}
	tile := h.Shape.NewTile(window.Fence{})
	if bytes := s.tiles[at]; bytes != nil {
		if err := tile.Decode(bytes, window.Fence{}); err != nil {
			return err //nolint:wrapcheck // says already that it is a tile
		}
	}
	var in window.Input
	plan.Windows.Input(hop, rows, &in)
	position := window.PositionOf(&rows.Origins[row], rows.Partition)
	tile.Update(&in, row, &position)
	s.put(at, tile.Snapshot(window.Fence{Topic: 1, Next: rows.Origins[row].Offset + 1}, nil))
	return nil
}

// PutTile stores the bytes of a tile.
func (s *Store) PutTile(view, key string, hop time.Duration, start time.Time, source int32, state []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(tileCell{view, key, int32(hop / time.Second), start.UnixMicro(), source}, state)
}

// put stores a tile. The caller holds mu.
func (s *Store) put(at tileCell, state []byte) {
	if s.tiles == nil {
		s.tiles = make(map[tileCell][]byte)
	}
	s.tiles[at] = state
}

// PutSince says from when on an aggregate counts a partition.
func (s *Store) PutSince(since feature.Since) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sinces = append(s.sinces, since)
}

// PutAdopted says up to which catalog version all partitions of a source are
// counted.
func (s *Store) PutAdopted(source string, version int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.adopted == nil {
		s.adopted = make(map[string]int64)
	}
	s.adopted[source] = version
}

// TileReads returns the ranges of the reads of tiles so far, and forgets them.
func (s *Store) TileReads() [][]feature.TileRange {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.tileReads
	s.tileReads = nil
	return all
}

// ReadTiles implements serving.Tiles.
func (s *Store) ReadTiles(
	ctx context.Context, _ string, keys []string, ranges []feature.TileRange,
	add func(key, within int, start int64, source int32, state []byte),
) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tileReads = append(s.tileReads, slices.Clone(ranges))
	if err := s.failed(ctx); err != nil {
		return err
	}
	for i, key := range keys {
		for at, state := range s.tiles { // in any order
			for j, r := range ranges {
				if at.key == key && at.view == r.View && at.hop == r.HopSeconds && r.From <= at.start && at.start < r.To {
					add(i, j, at.start, at.source, state)
				}
			}
		}
	}
	return nil
}

// Sinces implements serving.Tiles.
func (s *Store) Sinces(ctx context.Context) ([]feature.Since, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failed(ctx); err != nil {
		return nil, err
	}
	return slices.Clone(s.sinces), nil
}

// Adopted implements serving.Tiles.
func (s *Store) Adopted(ctx context.Context) (map[string]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failed(ctx); err != nil {
		return nil, err
	}
	return maps.Clone(s.adopted), nil
}

// EachTile calls use with every tile.
func (s *Store) EachTile(use func(view, key string, hopSeconds int32, start int64, source int32, state []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, state := range s.tiles {
		use(at.view, at.key, at.hop, at.start, at.source, state)
	}
}
