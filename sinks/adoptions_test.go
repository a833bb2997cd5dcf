package sinks_test

import (
	"fmt"
	"testing"

	"millrace/sinks"
	"millrace/sinks/memory"
)

func TestAdoptionsAreRemembered(t *testing.T) {
	ctx, e := t.Context(), sinks.NewEpochs(new(memory.Store))
	for _, step := range []struct {
		version, position int64
		kept              bool // Kept(version) is called, Adopt otherwise
		want              string
	}{
		{3, 100, false, "[{3 100 false}]"},
		{3, 100, false, "[{3 100 false}]"}, // a lane that died meanwhile
		{3, 100, true, "[{3 100 true}]"},
		{3, 100, true, "[{3 100 true}]"},
		{3, 150, false, "[{3 100 true}]"}, // a later owner
		{5, 160, false, "[{3 100 true} {5 160 false}]"},
		{4, 170, false, "[{3 100 true} {5 160 false}]"}, // a version that was passed over
		{3, 170, true, "[{3 100 true} {5 160 false}]"},
		{6, 160, false, "[{3 100 true} {6 160 false}]"}, // nothing was decided under 5
		{5, 160, true, "[{3 100 true} {6 160 false}]"},
		{6, 160, true, "[{3 100 true} {6 160 true}]"},
		{6, 20, false, "[{3 100 true} {6 160 true} {6 20 false}]"}, // offsets were reset
		{6, 20, true, "[{3 100 true} {6 20 true}]"},
	} {
		call := func() ([]sinks.Adoption, error) { return e.Adopt(ctx, "trips", 1, step.version, step.position) }
		if step.kept {
			call = func() ([]sinks.Adoption, error) { return e.Kept(ctx, "trips", 1, step.version) }
		}
		got, err := call()
		now, err2 := e.Adoptions(ctx, "trips", 1)
		if fmt.Sprint(got) != step.want || fmt.Sprint(now) != step.want || err != nil || err2 != nil {
			t.Errorf("%+v gives %v, then there are %v, %v %v", step, got, now, err, err2)
		}
	}
	for i := range int64(200) {
		if _, err := e.Adopt(ctx, "trips", 1, 7+i, 200+i); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Kept(ctx, "trips", 1, 7+i); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := e.Adoptions(ctx, "trips", 1); len(all) != 64 || all[63].Version != 206 || err != nil {
		t.Errorf("%d adoptions, %v", len(all), err)
	}
}

func TestLettersThatAreOvertaken(t *testing.T) {
	adoptions := []sinks.Adoption{{Version: 3, Position: 100, Kept: true}, {Version: 5, Position: 200}}
	for _, c := range []struct {
		name              string
		version, position int64
		number            int64
		done              bool
		want              bool
	}{
		{"below every adoption", 1, 99, 0, false, false},
		{"refused by the lane that adopted", 3, 150, 0, false, false},
		{"written late", 2, 150, 0, false, true},
		{"written late, behind the second", 3, 200, 0, false, true},
		{"kept by the second", 2, 250, sinks.KeptNumber(5), false, false},
		{"kept by the first alone", 2, 250, sinks.KeptNumber(3), false, true},
		{"kept by the first, below the second", 2, 150, sinks.KeptNumber(3), false, false},
		{"replayed", 2, 150, 8, false, false},
		{"done", 0, 250, 9, true, false},
	} {
		r := sinks.Refusal{LetterID: sinks.LetterID{Position: c.position}, CatalogVersion: c.version, ReplayNumber: c.number, Done: c.done}
		if got := r.Overtaken(adoptions); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
