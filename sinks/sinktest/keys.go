package sinktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"millrace/sinks"
)

func keyContracts() []contract {
	return []contract{
		{"KeysOfRowsAndTilesAreScanned", keysScanned},
		{"KeyScanGoesOnFromItsCursors", keyScanGoesOn},
		{"KeyScanStopsWithItsCaller", keyScanStops},
		{"KeyScanSeesWhatWasThere", keyScanWhileWriting},
		{"KeyScanRefusesOtherCursors", keyCursorsRefused},
		{"KeyScanEndsWithItsContext", keyScanContext},
	}
}

// keyPages returns the pages of a scan, and holds them to the contract.
func keyPages(t *testing.T, s Store, entity string, from sinks.KeyCursor) []sinks.KeyPage {
	t.Helper()
	var pages []sinks.KeyPage
	progress := 0.0
	err := s.EachKey(t.Context(), entity, from, func(p *sinks.KeyPage) error {
		if p.Progress < progress || p.Progress > 1 {
			t.Errorf("page %d: progress %v after %v", len(pages), p.Progress, progress)
		}
		progress = p.Progress
		pages = append(pages, sinks.KeyPage{Keys: slices.Clone(p.Keys), Next: p.Next, Progress: p.Progress})
		clear(p.Keys) // the page is the caller's only for the call
		return nil
	})
	if err != nil {
		t.Fatalf("EachKey: %v", err)
	}
	if len(pages) > 0 && progress != 1 {
		t.Errorf("progress is %v at the end", progress)
	}
	return pages
}

// keysOf returns the keys of pages, each once.
func keysOf(pages []sinks.KeyPage) map[string]bool {
	all := make(map[string]bool)
	for _, p := range pages {
		for _, k := range p.Keys {
			all[k] = true
		}
	}
	return all
}

func sameKeys(t *testing.T, what string, got map[string]bool, want []string) {
	t.Helper()
	for _, k := range want {
		if !got[k] {
			t.Errorf("%s: key %q is not given", what, clip([]byte(k)))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d keys, want %d", what, len(got), len(want))
	}
}

func keysScanned(t *testing.T, s Store) {
	entity := fresh("entity")
	rows := []string{"", "|", `a\|b`, "鍵|🔑", "\n\t ", "a", "ab", "a\x00", "\xf4\x8f\xbf\xbf", strings.Repeat("k", 300), strings.Repeat("k", 4096)}
	tiles := []string{"", "tile", "a\x00b", strings.Repeat("t", 300), "both", "z"}
	for i, k := range append(slices.Clone(rows), "both") {
		write(t, s, row(entity, k, "v@1", int64(i), "value"), row(entity, k, "w@1", 1, "value"))
	}
	for _, k := range tiles {
		for start := range 3 {
			writeTiles(t, s, sinks.Tile{
				TileID: sinks.TileID{Entity: entity, Key: k, View: "v@1", HopSeconds: 60, Start: int64(start) * 60}, Stamp: 1, State: []byte("state"),
			})
		}
	}
	for i, other := range []string{entity + "x", entity + "\x00", entity[:len(entity)-1]} {
		write(t, s, row(other, fmt.Sprint("other", i), "v@1", 1, "value"))
	}
	want := slices.Compact(slices.Sorted(slices.Values(slices.Concat(rows, tiles))))
	sameKeys(t, "all of it", keysOf(keyPages(t, s, entity, "")), want)
	sameKeys(t, "another entity", keysOf(keyPages(t, s, entity+"x", "")), []string{"other0"})
	sameKeys(t, "no entity", keysOf(keyPages(t, s, entity+"none", "")), nil)
}

// manyKeys writes n keys, some with rows, some with tiles, some with both.
func manyKeys(t *testing.T, s Store, entity string, n int) []string {
	t.Helper()
	keys := make([]string, n)
	var rows []sinks.Row
	var tiles []sinks.Tile
	for i := range keys {
		keys[i] = fmt.Sprintf("%d|%s", i*7919%n, strings.Repeat("x", i%130))
		if i%3 != 1 {
			rows = append(rows, row(entity, keys[i], "v@1", 1, "value"))
		}
		if i%3 != 0 {
			tiles = append(tiles, sinks.Tile{TileID: sinks.TileID{Entity: entity, Key: keys[i], View: "v@1", HopSeconds: 60}, Stamp: 1, State: []byte("state")})
		}
	}
	write(t, s, rows...)
	writeTiles(t, s, tiles...)
	return keys
}

func keyScanGoesOn(t *testing.T, s Store) {
	entity := fresh("entity")
	keys := manyKeys(t, s, entity, 3000)
	pages := keyPages(t, s, entity, "")
	sameKeys(t, "from the beginning", keysOf(pages), keys)
	if len(pages) < 3 {
		t.Fatalf("%d pages of %d keys: too few to go on from", len(pages), len(keys))
	}
	for i := 0; i < len(pages); i += max(1, len(pages)/6) {
		text, err := json.Marshal(pages[i].Next)
		var from sinks.KeyCursor
		if err = errors.Join(err, json.Unmarshal(text, &from)); err != nil || from != pages[i].Next {
			t.Fatalf("the cursor comes back from JSON as another one, %v", err)
		}
		rest := keysOf(keyPages(t, s, entity, from))
		before := keysOf(pages[:i+1])
		if len(rest)+len(before) > len(keys)+len(keys)/10 {
			t.Errorf("%d keys before page %d's cursor and %d behind it, of %d", len(before), i, len(rest), len(keys))
		}
		maps.Copy(before, rest)
		sameKeys(t, fmt.Sprint("with what follows page ", i), before, keys)
	}
}

func keyScanStops(t *testing.T, s Store) {
	entity := fresh("entity")
	manyKeys(t, s, entity, 1500)
	stop, calls := errors.New("enough"), 0
	err := s.EachKey(t.Context(), entity, "", func(*sinks.KeyPage) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%d calls, %v, want one and its error", calls, err)
	}
}

// keyScanWhileWriting writes before, at and behind the scan's place.
func keyScanWhileWriting(t *testing.T, s Store) {
	entity := fresh("entity")
	want := manyKeys(t, s, entity, 2500)
	got, n := make(map[string]bool), 0
	err := s.EachKey(t.Context(), entity, "", func(p *sinks.KeyPage) error {
		for i, k := range p.Keys {
			got[k] = true
			if i%500 == 0 {
				write(t, s, row(entity, k, "w@1", 2, "again"), row(entity, fmt.Sprint(n, "new"), "w@1", 2, "new"))
				n++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("EachKey: %v", err)
	}
	for _, k := range want {
		if !got[k] {
			t.Fatalf("a key that was there is not given; %d of at least %d are", len(got), len(want))
		}
	}
}

func keyCursorsRefused(t *testing.T, s Store) {
	for _, c := range []sinks.KeyCursor{"x", "other1:AAAA", ":", "pebble9:", "memory1", "scylla1:*", "pebble1:=", "memory1:\n*"} {
		err := s.EachKey(t.Context(), fresh("entity"), c, func(*sinks.KeyPage) error { return nil })
		if !errors.Is(err, sinks.ErrKeyCursor) {
			t.Errorf("cursor %q: %v, want ErrKeyCursor", c, err)
		}
	}
}

func keyScanContext(t *testing.T, s Store) {
	entity := fresh("entity")
	manyKeys(t, s, entity, 1500)
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := s.EachKey(ctx, entity, "", func(*sinks.KeyPage) error {
		calls++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("%d calls, %v, want one and context.Canceled", calls, err)
	}
}
