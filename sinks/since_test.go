package sinks_test

import (
	"errors"
	"strings"
	"testing"

	"millrace/sinks"
	"millrace/sinks/memory"
)

func TestTheSinceEntryIsTextForPeople(t *testing.T) {
	ctx, store := t.Context(), new(memory.Store)
	s := sinks.NewSinces(store)
	for _, micros := range []int64{5, 9, 7} {
		if err := s.Raise(ctx, "trips@2", 3, micros, 1<<63+1, 7); err != nil {
			t.Fatal(err)
		}
	}
	text, err := store.Get(ctx, sinks.MetaSince, "trips@2/3")
	want := `{"0000000000000007":9,"8000000000000001":9}`
	if string(text) != want || err != nil {
		t.Errorf("%s %v, want %s", text, err, want)
	}
	if err := s.Raise(ctx, "trips@2", 4, 5); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(ctx, sinks.MetaSince, "trips@2/4"); !errors.Is(err, sinks.ErrNoEntry) {
		t.Errorf("no aggregates, yet an entry: %v", err)
	}
}

// Two lanes that raise one entry at once both have their say: the second comes
// between the first one's read and write.
func TestNoSinceIsLostBetweenTwo(t *testing.T) {
	ctx, store := t.Context(), new(memory.Store)
	s := sinks.NewSinces(store)
	store.Fail(func(op string) error {
		if op != "Swap" {
			return nil
		}
		store.Fail(nil)
		return s.Raise(ctx, "trips@2", 3, 9, 1)
	})
	if err := s.Raise(ctx, "trips@2", 3, 5, 1, 2); err != nil {
		t.Fatal(err)
	}
	text, err := store.Get(ctx, sinks.MetaSince, "trips@2/3")
	if want := `{"0000000000000001":9,"0000000000000002":5}`; string(text) != want || err != nil {
		t.Errorf("%s %v, want %s", text, err, want)
	}
}

func TestSinceSaysWhatFailed(t *testing.T) {
	ctx := t.Context()
	down := errors.New("it is down")
	for _, op := range []string{"Get", "Swap"} {
		store := new(memory.Store)
		store.Fail(func(at string) error {
			if at == op {
				return down
			}
			return nil
		})
		err := sinks.NewSinces(store).Raise(ctx, "trips@2", 3, 5, 7)
		if !errors.Is(err, down) || !strings.Contains(err.Error(), "trips@2/3") {
			t.Errorf("%s: %v", op, err)
		}
	}
	for id, text := range map[string]string{
		"trips@2/3": "{", "trips@2/4": "null", "trips@2/5": `{"x":1}`, "trips@2": "{}", "trips@2/": "{}", "trips@2/99999999999": "{}",
	} {
		store := new(memory.Store)
		if _, err := store.Swap(ctx, sinks.MetaSince, id, nil, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := sinks.NewSinces(store).All(ctx); err == nil || !strings.Contains(err.Error(), id) {
			t.Errorf("%s holds %s: %v", id, text, err)
		}
	}
	store := new(memory.Store)
	if _, err := store.Swap(ctx, sinks.MetaSince, "trips@2/3", nil, []byte("null")); err != nil {
		t.Fatal(err)
	}
	if err := sinks.NewSinces(store).Raise(ctx, "trips@2", 3, 5, 7); err == nil {
		t.Error("a damaged entry was written over")
	}
}
