package admin

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"millrace/sinks"
	"millrace/sinks/memory"
)

// pair is a store, and a Client that reaches it over HTTP.
func pair(t *testing.T) (*memory.Store, *Client) {
	t.Helper()
	store := new(memory.Store)
	mux := http.NewServeMux()
	Handle(mux, store)
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return store, NewClient(strings.TrimPrefix(server.URL, "http://"))
}

func TestMetadataIsTheStores(t *testing.T) {
	_, c := pair(t)
	ctx := context.Background()
	if _, err := c.Get(ctx, sinks.MetaCatalog, "1"); !errors.Is(err, sinks.ErrNoEntry) {
		t.Errorf("an absent entry: %v", err)
	}
	swap := func(old, value []byte, want bool) {
		t.Helper()
		if ok, err := c.Swap(ctx, sinks.MetaCatalog, "1", old, value); err != nil || ok != want {
			t.Errorf("swap %q by %q: %v, %v", old, value, ok, err)
		}
	}
	swap(nil, []byte("a"), true)
	swap(nil, []byte("b"), false)
	swap([]byte("a"), []byte(""), true) // empty is not absent
	swap(nil, []byte("b"), false)
	swap([]byte{}, []byte("c"), true)
	if v, err := c.Get(ctx, sinks.MetaCatalog, "1"); err != nil || string(v) != "c" {
		t.Errorf("get: %q, %v", v, err)
	}
	if all, err := c.List(ctx, sinks.MetaCatalog); err != nil || len(all) != 1 || all[0].ID != "1" {
		t.Errorf("list: %v, %v", all, err)
	}
	swap([]byte("c"), nil, true)
	if all, err := c.List(ctx, sinks.MetaCatalog); err != nil || len(all) != 0 {
		t.Errorf("list after delete: %v, %v", all, err)
	}
}

func TestLettersAreFilteredAndLimited(t *testing.T) {
	store, c := pair(t)
	ctx := context.Background()
	for i := range int64(5) {
		l := sinks.Letter{LetterID: sinks.LetterID{Source: "trips", Position: i, View: "v"}, Reason: "malformed", RecordValue: []byte{byte(i)}}
		if err := store.Put(ctx, []sinks.Letter{l}); err != nil {
			t.Fatal(err)
		}
	}
	var got []int64
	collect := func(l *sinks.Letter) bool { got = append(got, l.Position); return true }
	if err := c.EachLetter(ctx, sinks.LetterFilter{View: "v", Limit: 2}, collect); err != nil || len(got) != 2 {
		t.Errorf("limited: %v, %v", got, err)
	}
	got = nil
	if err := c.EachLetter(ctx, sinks.LetterFilter{View: "other"}, collect); err != nil || len(got) != 0 {
		t.Errorf("filtered: %v, %v", got, err)
	}
	store.Fail(func(string) error { return errors.New("down") })
	if err := c.EachLetter(ctx, sinks.LetterFilter{}, collect); err == nil {
		t.Error("a store that fails is not noticed")
	}
}

func TestRunFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadRun(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no file: %v", err)
	}
	want := Run{PID: os.Getpid(), Admin: "127.0.0.1:1", Project: "rides"}
	if err := WriteRun(dir, want); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadRun(dir); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for range 2 {
		if err := RemoveRun(dir); err != nil {
			t.Error(err)
		}
	}
}

func TestAliveOnlyWhenItAnswers(t *testing.T) {
	_, c := pair(t)
	if !c.Alive(context.Background()) {
		t.Error("a process that answers is not alive")
	}
	if NewClient("127.0.0.1:1").Alive(context.Background()) {
		t.Error("nobody listens there")
	}
}

// What a replay does through a Client is what it does to the store itself: the
// contract suite of stores knows the rest of each method.
func TestReplaysReachTheStore(t *testing.T) {
	store, c := pair(t)
	ctx := context.Background()
	l := sinks.Letter{LetterID: sinks.LetterID{Source: "trips", Position: 1}, Topic: "t", RecordValue: []byte{0xff}}
	other := l
	other.Position = 2
	mark := sinks.LetterMark{LetterID: l.LetterID, Attempts: 2, ReplayNumber: 9, Reason: "malformed"}
	row := sinks.Row{Entity: "driver", Key: "1", View: "v@1", Stamp: 5, Value: []byte{0, 0xff}}
	for _, err := range []error{
		c.Put(ctx, []sinks.Letter{l, other}), c.MarkLetters(ctx, []sinks.LetterMark{mark}),
		c.Write(ctx, []sinks.Row{row}), c.Sync(ctx),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var got []sinks.Letter
	err := c.GetLetters(ctx, []sinks.LetterID{other.LetterID, l.LetterID}, func(l *sinks.Letter) bool { got = append(got, *l); return true })
	if err != nil || len(got) != 2 || got[1].Attempts != 2 || got[1].ReplayNumber != 9 || got[1].RecordValue[0] != 0xff {
		t.Errorf("letters by id: %+v, %v", got, err)
	}
	got = nil
	err = c.EachLetter(ctx, sinks.LetterFilter{After: &l.LetterID}, func(l *sinks.Letter) bool { got = append(got, *l); return true })
	if err != nil || len(got) != 1 || got[0].Position != 2 {
		t.Errorf("letters behind the first: %+v, %v", got, err)
	}
	if rows := store.Rows(); len(rows) != 1 || string(rows[0].Value) != string(row.Value) || rows[0].Stamp != 5 {
		t.Errorf("rows: %+v", rows)
	}
	if err := c.DropLetters(ctx, []sinks.LetterID{l.LetterID, other.LetterID}); err != nil || len(store.Letters()) != 0 {
		t.Errorf("dropped: %v, %d left", err, len(store.Letters()))
	}
	store.Fail(func(string) error { return errors.New("down") })
	if c.Sync(ctx) == nil || c.MarkLetters(ctx, nil) == nil {
		t.Error("a store that fails is not noticed")
	}
}

// Tiles come back as they were written, those that are not there as nothing,
// and more of them than fit one request are sent in several.
func TestReplaysReachTiles(t *testing.T) {
	store, c := pair(t)
	ctx := context.Background()
	id := func(start int64) sinks.TileID {
		return sinks.TileID{Entity: "driver", Key: "é|1", View: "v@1", HopSeconds: 60, Start: start, Source: sinks.ReplaySource}
	}
	big := make([]byte, maxTilesBytes/2+1)
	big[0] = 0xff
	var tiles []sinks.Tile
	for i := range int64(3) {
		tiles = append(tiles, sinks.Tile{TileID: id(i), Stamp: 7 + i, State: big, Expire: time.Hour})
	}
	if err := c.WriteTiles(ctx, tiles); err != nil {
		t.Fatal(err)
	}
	if got := store.Tiles(); len(got) != 3 || got[2].Stamp != 9 || got[2].Expire != time.Hour || got[2].TileID != id(2) {
		t.Errorf("%d tiles", len(got))
	}
	var set sinks.TileSet
	if err := c.ReadTiles(ctx, []sinks.TileID{id(5), id(1)}, &set); err != nil || set.States[0] != nil || !bytes.Equal(set.States[1], big) {
		t.Errorf("read: %v, %d and %d bytes", err, len(set.States[0]), len(set.States[1]))
	}
	store.Fail(func(string) error { return errors.New("down") })
	if c.WriteTiles(ctx, tiles[:1]) == nil || c.ReadTiles(ctx, []sinks.TileID{id(1)}, &set) == nil {
		t.Error("a store that fails is not noticed")
	}
}
