// Package sinktest is the contract of package sinks as a suite of hostile
// tests. Every store runs the same suite, so that what is proved with one
// store holds for the others.
//
// Invariant: the suite never assumes that a store is empty. Names are new in
// every test, so a store that keeps its data between runs can be used again.
package sinktest

import (
	"bytes"
	"crypto/rand"
	"testing"
	"unsafe"

	"millrace/sinks"
)

// Letters is what a store offers for dead letters.
type Letters interface {
	sinks.DeadLetter
	sinks.LetterReader
	sinks.LetterFinder
	sinks.LetterKeeper
	sinks.Refusals
}

// Store is everything that a store offers.
type Store interface {
	Letters
	sinks.Sink
	sinks.Cells
	sinks.TileSink
	sinks.TileLoader
	sinks.TileReader
	sinks.KeyScanner
	sinks.Meta
}

// Run runs the whole suite. open is called once per test, on the test's
// goroutine; it may return the same store each time and closes what it opens
// by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for _, c := range contracts() {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

type contract struct {
	name string
	run  func(*testing.T, Store)
}

func contracts() []contract {
	var all []contract
	all = append(all, cellContracts()...)
	all = append(all, raceContracts()...)
	all = append(all, tileContracts()...)
	all = append(all, windowContracts()...)
	all = append(all, tileRaceContracts()...)
	all = append(all, keyContracts()...)
	all = append(all, letterContracts()...)
	all = append(all, refusalContracts()...)
	all = append(all, metaContracts()...)
	return append(all, lineageContracts()...)
}

// fresh returns a name that no run used before.
func fresh(prefix string) string { return prefix + "_" + rand.Text()[:12] }

// row is a row without expiry.
func row(entity, key, view string, stamp int64, value string) sinks.Row {
	return sinks.Row{Entity: entity, Key: key, View: view, Stamp: stamp, Value: []byte(value)}
}

func write(t tester, s Store, rows ...sinks.Row) {
	t.Helper()
	if err := s.Write(t.Context(), rows); err != nil {
		t.Fatalf("Write of %d rows: %v", len(rows), err)
	}
}

// read returns the one cell of (entity, key, view).
func read(t tester, s Store, entity, key, view string) []byte {
	t.Helper()
	return readAll(t, s, entity, []string{key}, []string{view})[0]
}

func readAll(t tester, s Store, entity string, keys, views []string) [][]byte {
	t.Helper()
	var set sinks.CellSet
	if err := s.ReadCells(t.Context(), entity, keys, views, &set); err != nil {
		t.Fatalf("ReadCells of %d keys and %d views: %v", len(keys), len(views), err)
	}
	if len(set.Values) != len(keys)*len(views) {
		t.Fatalf("ReadCells of %d keys and %d views gave %d values", len(keys), len(views), len(set.Values))
	}
	return set.Values
}

// expect fails unless got is want; an empty want means no cell.
func expect(t tester, what string, got []byte, want string) {
	t.Helper()
	if want == "" && got != nil {
		t.Errorf("%s: a cell of %d bytes, want none", what, len(got))
	} else if string(got) != want {
		t.Errorf("%s: cell is %q, want %q", what, clip(got), clip([]byte(want)))
	}
}

func clip(b []byte) []byte { return b[:min(len(b), 64)] }

// lent holds bytes that a call may only borrow; take spoils them.
type lent struct{ buffers [][]byte }

func (l *lent) bytes(b []byte) []byte {
	if b == nil {
		return nil
	}
	c := bytes.Clone(b)
	l.buffers = append(l.buffers, c)
	return c
}

// text is a string over a buffer that will be spoilt, as a row's strings are
// views of an arena.
func (l *lent) text(s string) string {
	b := l.bytes([]byte(s))
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func (l *lent) take() {
	for _, b := range l.buffers {
		for i := range b {
			b[i] = '!'
		}
	}
}
