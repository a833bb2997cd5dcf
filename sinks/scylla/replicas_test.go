package scylla

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/datastax/go-cassandra-native-protocol/datatype"
	"github.com/datastax/go-cassandra-native-protocol/message"
	"github.com/datastax/go-cassandra-native-protocol/primitive"
	"github.com/gocql/gocql"

	"millrace/sinks"
)

// replicas are three copies of the table of tiles, two of which lag as far as
// the requests' consistencies allow: a write reaches only as many as have to
// acknowledge it, each time others, and a read is answered by those that know
// least. What a client sees of this database, it may see of a real one.
type replicas struct {
	mu     sync.Mutex
	copies [3]replica
	turn   int
}

// replica has tiles by their places: view, hop, start and source as bytes.
type replica map[string]stamped

func (r replica) put(place string, stamp int64, state []byte) {
	if old, ok := r[place]; !ok || stamp > old.stamp {
		r[place] = stamped{stamp, state}
	}
}

// knows is how far the replica is with some tiles.
func (r replica) knows(places []string) (sum int64) {
	for _, place := range places {
		sum += r[place].stamp
	}
	return sum
}

type stamped struct {
	stamp int64
	state []byte
}

// acknowledging is how many of three replicas a consistency asks.
func acknowledging(level primitive.ConsistencyLevel) int {
	switch level {
	case primitive.ConsistencyLevelQuorum, primitive.ConsistencyLevelLocalQuorum:
		return 2
	case primitive.ConsistencyLevelAll:
		return 3
	}
	return 1
}

func (r *replicas) answer(q request) message.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.statements[0] == selectTiles {
		return r.read(q)
	}
	r.turn++
	for i := range acknowledging(q.consistency) {
		at := (r.turn + i) % len(r.copies)
		if r.copies[at] == nil {
			r.copies[at] = make(replica)
		}
		for _, v := range q.values {
			r.copies[at].put(placeBytes(v[2:6]), int64(binary.BigEndian.Uint64(v[7])), v[6])
		}
	}
	return nil
}

// placeBytes are the four values that place a tile, as a tuple is bound.
func placeBytes(values [][]byte) string {
	var b []byte
	for _, v := range values {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
	}
	return string(b)
}

func (r *replicas) read(q request) message.Message {
	places := listOf(q.values[0][2])
	asked := slices.Clone(r.copies[:])
	slices.SortStableFunc(asked, func(a, b replica) int { return cmp.Compare(a.knows(places), b.knows(places)) })
	var set message.RowSet
	for _, place := range places {
		var newest stamped
		for _, c := range asked[:acknowledging(q.consistency)] {
			if found := c[place]; found.stamp >= newest.stamp && found.state != nil {
				newest = found
			}
		}
		if newest.state != nil {
			set = append(set, append(tupleOf(place), newest.state))
		}
	}
	return tileRows(set)
}

// listOf and tupleOf read what the driver binds.
func listOf(b []byte) []string {
	n := binary.BigEndian.Uint32(b)
	return tuples(b[4:], int(n))
}

func tuples(b []byte, n int) []string {
	all := make([]string, n)
	for i := range all {
		size := binary.BigEndian.Uint32(b)
		all[i], b = string(b[4:4+size]), b[4+size:]
	}
	return all
}

func tupleOf(place string) message.Row {
	var row message.Row
	for _, v := range tuples([]byte(place), 4) {
		row = append(row, []byte(v))
	}
	return row
}

// tileRows is an answer to selectTiles.
func tileRows(set message.RowSet) message.Message {
	var columns []*message.ColumnMetadata
	for _, c := range []struct {
		name string
		kind datatype.DataType
	}{{"feature_view", datatype.Varchar}, {"hop", datatype.Int}, {"start", datatype.Bigint}, {"src", datatype.Int}, {"state", datatype.Blob}} {
		columns = append(columns, &message.ColumnMetadata{Keyspace: fakeKeyspace, Table: "tiles", Name: c.name, Type: c.kind})
	}
	return &message.RowsResult{Metadata: &message.RowsMetadata{ColumnCount: int32(len(columns)), Columns: columns}, Data: set}
}

// loadedAfterEveryWrite counts a tile up, alone or beside another one of its
// key, loads it after every acknowledged write, and returns how often the
// loader got an older one.
func loadedAfterEveryWrite(t *testing.T, s *Store) (stale int) {
	t.Helper()
	id := sinks.TileID{Entity: "e", Key: "k", View: "v@1", HopSeconds: 60, Start: -60_000_000, Source: -1}
	other := id
	other.Source = 7
	var set sinks.TileSet
	for n := int64(1); n <= 30; n++ {
		state := fmt.Appendf(nil, "state %d", n)
		tiles := []sinks.Tile{{TileID: id, Stamp: n, State: state}, {TileID: other, Stamp: n, State: state}}
		if err := s.WriteTiles(t.Context(), tiles[:1+n%2]); err != nil {
			t.Fatalf("WriteTiles: %v", err)
		}
		if err := s.ReadTiles(t.Context(), []sinks.TileID{id}, &set); err != nil {
			t.Fatalf("ReadTiles: %v", err)
		}
		if string(set.States[0]) != string(state) {
			stale++
		}
	}
	return stale
}

// The loader must not be given what a lagging replica has, whatever rows are
// written and read with. A store that loaded tiles like rows is given it, which
// shows that the replicas do lag.
func TestLoaderNeverReadsALaggingReplica(t *testing.T) {
	for _, c := range []struct {
		name, rows, tiles string
		dc                string
	}{
		{"rows at ONE", "ONE", "", ""},
		{"rows at LOCAL_QUORUM", "LOCAL_QUORUM", "QUORUM", ""},
		{"one data centre writes", "LOCAL_ONE", "local_quorum", "dc1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			s := f.open(t, func(set *Settings) {
				set.Consistency, set.TileConsistency, set.LocalDC = c.rows, c.tiles, c.dc
				adjust := set.adjust
				set.adjust = func(cluster *gocql.ClusterConfig) {
					adjust(cluster)
					cluster.PoolConfig.HostSelectionPolicy = gocql.RoundRobinHostPolicy() // the fake node's data centre is not looked up
				}
			})
			f.answerWith(new(replicas).answer)
			if stale := loadedAfterEveryWrite(t, s); stale != 0 {
				t.Errorf("%d loads of 30 were stale", stale)
			}
		})
	}
	f := newFake(t)
	s := f.open(t)
	s.tiles = gocql.One
	f.answerWith(new(replicas).answer)
	if stale := loadedAfterEveryWrite(t, s); stale == 0 {
		t.Error("at ONE no load was stale: the replicas of this test do not lag")
	}
}
