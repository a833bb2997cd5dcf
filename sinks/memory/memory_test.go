package memory_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"millrace/sinks"
	"millrace/sinks/memory"
)

func TestFaultIsTheErrorOfEveryCallUntilItEnds(t *testing.T) {
	var s memory.Store
	down := errors.New("down")
	var asked []string
	s.Fail(func(op string) error {
		asked = append(asked, op)
		return down
	})
	ctx, set := t.Context(), sinks.CellSet{}
	calls := []error{
		s.Write(ctx, []sinks.Row{{Entity: "e", View: "v@1", Value: []byte("x")}}), s.Sync(ctx), s.Put(ctx, []sinks.Letter{{}}),
		s.ReadCells(ctx, "e", []string{"k"}, []string{"v@1"}, &set), s.Ping(ctx),
	}
	for i, err := range calls {
		if !errors.Is(err, down) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if want := []string{"Write", "Sync", "Put", "ReadCells", "Ping"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
	s.Fail(nil)
	if len(s.Rows()) != 0 || len(s.Letters()) != 0 {
		t.Error("a refused call left something behind")
	}
	if err := s.Ping(ctx); err != nil {
		t.Errorf("after the fault: %v", err)
	}
}

func TestFaultThatBlocksHoldsOnlyItsCall(t *testing.T) {
	var s memory.Store
	entered, leave := make(chan struct{}), make(chan struct{})
	s.Fail(func(op string) error {
		if op == "Write" {
			close(entered)
			<-leave
		}
		return nil
	})
	done := make(chan error)
	go func() {
		done <- s.Write(context.WithoutCancel(t.Context()), []sinks.Row{{Entity: "e", View: "v@1", Value: []byte("x")}})
	}()
	<-entered
	if err := s.Sync(t.Context()); err != nil || len(s.Rows()) != 0 {
		t.Errorf("while a write is held: %v, %d rows", err, len(s.Rows()))
	}
	close(leave)
	if err := <-done; err != nil || len(s.Rows()) != 1 {
		t.Errorf("after it: %v, %d rows", err, len(s.Rows()))
	}
}

func TestRowsComeInOrderOfTheirNames(t *testing.T) {
	var s memory.Store
	for _, n := range []string{"b", "c", "a"} {
		row := sinks.Row{Entity: "e", Key: n, View: "v@1", Stamp: 3, Value: []byte(n)}
		if err := s.Write(t.Context(), []sinks.Row{row}); err != nil {
			t.Fatal(err)
		}
	}
	var keys []string
	for _, r := range s.Rows() {
		keys = append(keys, r.Key+string(r.Value))
	}
	if !slices.Equal(keys, []string{"aa", "bb", "cc"}) {
		t.Errorf("rows are %v", keys)
	}
}
