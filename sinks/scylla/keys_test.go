package scylla

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/datastax/go-cassandra-native-protocol/datatype"
	"github.com/datastax/go-cassandra-native-protocol/message"
	"github.com/datastax/go-cassandra-native-protocol/primitive"
	"pgregory.net/rapid"

	"millrace/sinks"
)

// ring answers scans as a database with these partitions does, which are in
// order.
type ring struct{ rows, tiles []partition }

func (r *ring) answer(q request) message.Message {
	all := r.rows
	switch q.statements[0] {
	case selectTileKeys:
		if all = r.tiles; q.consistency != primitive.ConsistencyLevelQuorum {
			return &message.Invalid{ErrorMessage: "tiles are scanned at " + q.consistency.String()}
		}
	case selectRowKeys:
	default:
		return nil
	}
	number := func(i int) int64 { return int64(binary.BigEndian.Uint64(q.values[0][i])) }
	from, to, limit := number(0), number(1), int(binary.BigEndian.Uint32(q.values[0][2]))
	var set message.RowSet
	for _, p := range all {
		if p.token > from && p.token <= to && len(set) < limit {
			set = append(set, message.Row{[]byte(p.entity), []byte(p.key), binary.BigEndian.AppendUint64(nil, uint64(p.token))})
		}
	}
	columns := []*message.ColumnMetadata{textColumn("entity"), textColumn("key"), textColumn("token")}
	columns[2].Type = datatype.Bigint
	return &message.RowsResult{Metadata: &message.RowsMetadata{ColumnCount: 3, Columns: columns}, Data: set}
}

// of returns the keys of an entity in the order of tokens, each once.
func (r *ring) of(entity string) []string {
	var keys []string
	for _, p := range slices.Compact(slices.SortedFunc(slices.Values(slices.Concat(r.rows, r.tiles)), partition.compare)) {
		if p.entity == entity {
			keys = append(keys, p.key)
		}
	}
	return keys
}

// scanned returns the keys that a scan gives, and its cursors with how many
// keys came before each.
func scanned(t rapid.TB, s *Store, from sinks.KeyCursor) (keys []string, cursors []sinks.KeyCursor, before []int) {
	t.Helper()
	err := s.EachKey(context.Background(), "e", from, func(p *sinks.KeyPage) error {
		keys = append(keys, p.Keys...)
		cursors, before = append(cursors, p.Next), append(before, len(keys))
		return nil
	})
	if err != nil {
		t.Fatalf("EachKey: %v", err)
	}
	return keys, cursors, before
}

// Tokens gather at the ends of the ring and of its slices, where an error of
// one loses a key, and many partitions share one, as an attacker can arrange.
func TestScanGivesEveryKeyOnceInTheOrderOfTokens(t *testing.T) {
	f := newFake(t)
	s := f.open(t)
	const page, slice = 10, math.MaxUint64/8 + 1
	s.scan = scanSizes{slices: 8, page: page}
	edge := rapid.Custom(func(t *rapid.T) int64 {
		base := int64(uint64(rapid.IntRange(0, 7).Draw(t, "slice")) * slice)
		token := base + rapid.Int64Range(-2, 2).Draw(t, "beside")
		return max(token, math.MinInt64+1)
	})
	rapid.Check(t, func(t *rapid.T) {
		r := &ring{}
		n := 0
		for _, table := range []*[]partition{&r.rows, &r.tiles} {
			for range rapid.IntRange(0, 4).Draw(t, "groups") {
				token := rapid.OneOf(edge, rapid.Just[int64](math.MaxInt64), rapid.Just[int64](math.MinInt64+1)).Draw(t, "token")
				for range rapid.SampledFrom([]int{1, 2, 7, page - 1, page, page + 1, 2*page + 1}).Draw(t, "partitions") {
					n++
					*table = append(*table, partition{token: token, entity: []string{"e", "e", "f"}[n%3], key: fmt.Sprintf("%05d", n)})
				}
			}
		}
		r.tiles = append(r.tiles, r.rows[:min(len(r.rows), 5)]...) // partitions of both tables
		slices.SortFunc(r.rows, partition.compare)
		slices.SortFunc(r.tiles, partition.compare)
		f.answerWith(r.answer)
		want := r.of("e")
		got, cursors, before := scanned(t, s, "")
		if !slices.Equal(got, want) {
			t.Fatalf("a scan gives %d keys, want %d in the order of tokens", len(got), len(want))
		}
		i := rapid.IntRange(0, len(cursors)-1).Draw(t, "cursor")
		if rest, _, _ := scanned(t, s, cursors[i]); !slices.Equal(rest, want[before[i]:]) {
			t.Fatalf("behind cursor %d come %d keys, want %d", i, len(rest), len(want)-before[i])
		}
	})
}

func TestScanRepeatsWhatFailsForAMoment(t *testing.T) {
	f := newFake(t)
	s := f.open(t)
	r := &ring{}
	for i := range 50 {
		r.rows = append(r.rows, partition{token: int64(i)*math.MaxInt64/50 + 1, entity: "e", key: fmt.Sprint(i)})
	}
	requests := 0
	f.answerWith(func(q request) message.Message {
		if requests++; requests%101 < 3 {
			return &message.ReadTimeout{ErrorMessage: "slow", Consistency: q.consistency}
		}
		return r.answer(q)
	})
	if got, _, _ := scanned(t, s, ""); !slices.Equal(got, r.of("e")) {
		t.Errorf("%d keys, want 50", len(got))
	}
}
