package scylla

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/datastax/go-cassandra-native-protocol/message"
	"github.com/datastax/go-cassandra-native-protocol/primitive"

	"millrace/sinks"
)

func someTile(key, view string, start int64) sinks.Tile {
	id := sinks.TileID{Entity: "e", Key: key, View: view, HopSeconds: 60, Start: start, Source: 3}
	return sinks.Tile{TileID: id, Stamp: 5 + start, State: []byte(view + "'s")}
}

func TestTilesOfOneKeyGoOutTogetherWithTheirOwnStamps(t *testing.T) {
	f, rec := newFake(t), &recorder{}
	s := f.open(t)
	f.answerWith(rec.answer)
	tiles := []sinks.Tile{
		someTile("1", "a@1", 0), someTile("2", "a@1", 0), someTile("1", "b@1", -60), someTile("1", "a@1", 60), someTile("1", "a@1", 0),
	}
	tiles[2].Expire = time.Second + 1
	tiles[4].Entity = "f"
	if err := s.WriteTiles(t.Context(), tiles); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rec.seen {
		var parts []string
		for i, v := range r.values {
			part := fmt.Sprintf("%s/%s/%s/%d/%d/%d=%s@%d", v[0], v[1], v[2], binary.BigEndian.Uint32(v[3]), int64(binary.BigEndian.Uint64(v[4])),
				binary.BigEndian.Uint32(v[5]), v[6], int64(binary.BigEndian.Uint64(v[7])))
			if r.statements[i] == upsertTileExpires {
				part += fmt.Sprintf(" for %ds", binary.BigEndian.Uint32(v[8]))
			}
			parts = append(parts, part)
		}
		got = append(got, strings.Join(parts, " + "))
	}
	slices.Sort(got)
	want := []string{
		"e/1/a@1/60/0/3=a@1's@5 + e/1/b@1/60/-60/3=b@1's@-55 for 2s + e/1/a@1/60/60/3=a@1's@65",
		"e/2/a@1/60/0/3=a@1's@5", "f/1/a@1/60/0/3=a@1's@5",
	}
	if !slices.Equal(got, want) {
		t.Errorf("sent\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Nothing that a lane does with tiles may go at less than a quorum, in batches
// or alone; serving reads them as it reads rows.
func TestTilesGoAtAQuorumWhateverRowsDo(t *testing.T) {
	f, rec := newFake(t), &recorder{}
	s := f.open(t) // rows at ONE
	f.answerWith(rec.answer)
	together := []sinks.Tile{someTile("1", "a@1", 0), someTile("1", "b@1", 0)}
	var tiles sinks.TileSet
	var windows sinks.WindowSet
	ids := []sinks.TileID{together[0].TileID, together[1].TileID, someTile("2", "a@1", 0).TileID}
	in := []sinks.TileRange{{View: "a@1", HopSeconds: 60, To: 1}}
	for name, err := range map[string]error{
		"a batch": s.WriteTiles(t.Context(), together), "one tile": s.WriteTiles(t.Context(), together[:1]),
		"loads": s.ReadTiles(t.Context(), ids, &tiles), "windows": s.ReadWindows(t.Context(), "e", []string{"1", "2"}, in, &windows),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(rec.seen) != 6 {
		t.Errorf("%d requests, want two writes, two loads and two windows", len(rec.seen))
	}
	for _, r := range rec.seen {
		want := primitive.ConsistencyLevelQuorum
		if r.statements[0] == selectWindow {
			want = primitive.ConsistencyLevelOne
		}
		if r.consistency != want {
			t.Errorf("%s went at %v, want %v", r.statements[0], r.consistency, want)
		}
	}
}

// A row and the tiles of one entity key are one mutation, at the consistency of
// tiles; what has no company goes alone, as ever.
func TestRowsAndTilesOfOneKeyGoOutTogether(t *testing.T) {
	rows := []sinks.Row{
		{Entity: "e", Key: "1", View: "a@1", Stamp: 5, Value: []byte("a1")},
		{Entity: "e", Key: "2", View: "a@1", Stamp: 6, Value: []byte("a2")},
	}
	tiles := []sinks.Tile{someTile("1", "a@1", 0), someTile("3", "a@1", 0), someTile("1", "b@1", 60)}
	sent := func(centres []string, change func(*Settings)) []string {
		f, rec := newFake(t), &recorder{}
		f.centres = centres
		s := f.open(t, change)
		f.answerWith(rec.answer)
		if err := s.WriteTogether(t.Context(), rows, tiles); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rec.seen {
			parts := []string{r.consistency.String()}
			for i, v := range r.values {
				table, _, _ := strings.Cut(strings.TrimPrefix(r.statements[i], "INSERT INTO "), " ")
				parts = append(parts, fmt.Sprintf("%s/%s/%s", table, v[1], v[2]))
			}
			got = append(got, strings.Join(parts, " "))
		}
		slices.Sort(got)
		return got
	}
	one, quorum, local := primitive.ConsistencyLevelOne.String(), primitive.ConsistencyLevelQuorum.String(), primitive.ConsistencyLevelLocalQuorum.String()
	apart := func(rows string) []string {
		return []string{rows + " latest/1/a@1", rows + " latest/2/a@1", quorum + " tiles/1/a@1 tiles/1/b@1", quorum + " tiles/3/a@1"}
	}
	together := func(rows, both string) []string {
		return []string{rows + " latest/2/a@1", both + " latest/1/a@1 tiles/1/a@1 tiles/1/b@1", both + " tiles/3/a@1"}
	}
	for _, c := range []struct {
		name    string
		centres []string
		change  func(*Settings)
		want    []string
	}{
		{"rows at ONE in one data centre", nil, func(*Settings) {}, together(one, quorum)},
		{"rows at LOCAL_QUORUM in one data centre", []string{"dc2"}, func(s *Settings) { s.Consistency = "LOCAL_QUORUM" }, together(local, quorum)},
		{"rows at ONE in two data centres", []string{"dc1", "dc2"}, func(*Settings) {}, apart(one)},
		{"rows at LOCAL_QUORUM in two data centres", []string{"dc1", "dc2"}, func(s *Settings) { s.Consistency = "LOCAL_QUORUM" }, apart(local)},
		{"both at QUORUM in two data centres", []string{"dc1", "dc2"}, func(s *Settings) { s.Consistency = "quorum" }, together(quorum, quorum)},
		{"rows at ALL", nil, func(s *Settings) { s.Consistency = "ALL" }, apart(primitive.ConsistencyLevelAll.String())},
	} {
		got := sent(c.centres, c.change)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: sent\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestSimpleReplicationIsOneDataCentreForOneCopyAlone(t *testing.T) {
	simple := map[string]string{"class": "org.apache.cassandra.locator.SimpleStrategy", "replication_factor": "1"}
	if !oneDataCentre(simple) {
		t.Error("one copy is in two places")
	}
	simple["replication_factor"] = "3"
	if oneDataCentre(simple) || oneDataCentre(nil) {
		t.Error("copies that may be anywhere are taken for near ones")
	}
}

func TestConsistencyOfTilesIsChecked(t *testing.T) {
	for _, c := range []struct{ tiles, dc, want string }{
		{"ONE", "", "consistency of tiles is ONE"},
		{"LOCAL_ONE", "dc1", "consistency of tiles is LOCAL_ONE"},
		{"LOCAL_QUORUM", "", "no data centre is named"},
	} {
		set := Settings{Hosts: []string{"h"}, Keyspace: "k", TileConsistency: c.tiles, LocalDC: c.dc}
		if _, err := Open(t.Context(), set); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.tiles, err)
		}
	}
}

// Requests of the loader hold as many cells as databases allow, and every id
// is asked for once.
func TestLoaderAsksForEveryTileOnce(t *testing.T) {
	var ids []sinks.TileID
	for i := range 3*maxBatchRows + 1 {
		ids = append(ids, someTile("hot", "a@1", int64(i%(3*maxBatchRows))).TileID, someTile(fmt.Sprint(i), "a@1", 0).TileID)
	}
	l := tileLoader{ids: ids}
	l.plan()
	seen := make([]int, len(ids))
	for _, r := range l.requests {
		if r.to-r.from > maxBatchRows {
			t.Errorf("a request has %d tiles", r.to-r.from)
		}
		for i := r.from; i < r.to; i++ {
			seen[l.order[i]]++
			if !samePartition(l.id(i), l.id(r.from)) {
				t.Error("a request spans partitions")
			}
		}
	}
	if slices.ContainsFunc(seen, func(n int) bool { return n != 1 }) {
		t.Errorf("tiles are not each in one request: %v", seen)
	}
}

// A lane waits for its tiles as it waits for its rows to be written; serving
// has a person waiting, and asks once more only.
func TestTroublesOfReadingTiles(t *testing.T) {
	f := newFake(t)
	s := f.open(t, func(set *Settings) { set.RetryFor = time.Second })
	var asked atomic.Int64
	f.answerWith(func(request) message.Message {
		if asked.Add(1) <= 4 {
			return &message.Unavailable{Consistency: primitive.ConsistencyLevelQuorum, Required: 2, Alive: 1}
		}
		return nil
	})
	var tiles sinks.TileSet
	ids := []sinks.TileID{someTile("1", "a@1", 0).TileID}
	if err := s.ReadTiles(t.Context(), ids, &tiles); err != nil || asked.Load() != 5 {
		t.Errorf("ReadTiles = %v after %d requests, want success at the fifth", err, asked.Load())
	}
	f.answerWith(func(request) message.Message {
		asked.Add(1)
		return &message.ReadTimeout{Consistency: primitive.ConsistencyLevelOne}
	})
	asked.Store(0)
	var windows sinks.WindowSet
	err := s.ReadWindows(t.Context(), "e", []string{"1"}, []sinks.TileRange{{View: "a@1", To: 1}}, &windows)
	if !errors.Is(err, sinks.ErrUnavailable) || asked.Load() != 2 {
		t.Errorf("ReadWindows = %v after %d requests", err, asked.Load())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.ReadTiles(ctx, ids, &tiles); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ReadTiles = %v, want the end of its context", err)
	}
}
