package direct

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sinks/rowcodec"
	"millrace/sources"
)

// teller is a changelog that looks, when it is told, whether what it is told of
// is stored and durable.
type teller struct {
	store *syncing
	err   error
	calls int
	told  []string // entity, key, and the views with their event and record times
	early bool
}

func (l *teller) Publish(_ context.Context, changes []sinks.Change) error {
	l.calls++
	for i := range changes {
		c := &changes[i]
		text := c.Entity + " " + c.Key
		for _, v := range c.Views {
			text += fmt.Sprintf(" %s %d %d %t", v.View, v.EventMicros-base*1000, v.RecordMillis-base, v.Row)
		}
		l.told = append(l.told, text)
		stored := slices.ContainsFunc(l.store.Rows(), func(r sinks.Row) bool { return r.Entity == c.Entity && r.Key == c.Key })
		l.early = l.early || !stored || !l.store.synced
	}
	slices.Sort(l.told)
	return l.err
}

// syncing is a store that notes whether it was asked to make things durable.
type syncing struct {
	*memory.Store
	synced bool
}

func (s *syncing) Sync(ctx context.Context) error {
	s.synced = true
	return s.Store.Sync(ctx)
}

// telling returns an Applier of all row-level views, of which those named tell
// what changes.
func telling(t *testing.T, asking ...string) (*Applier, *teller) {
	t.Helper()
	store := &syncing{Store: new(memory.Store)}
	l := &teller{store: store}
	r := route(t, "fares", "codes", "sold")
	for i := range r.Views {
		r.Views[i].Changes = slices.Contains(asking, r.Views[i].View.Name)
	}
	s := Settings{Sink: store, Changes: l, Clock: clock, NewEncoder: func() sinks.Encoder { return rowcodec.NewEncoder() }}
	s.Routes = append(s.Routes, r)
	return New(s), l
}

func take(t *testing.T, a *Applier, recs ...sources.Record) *Batch {
	t.Helper()
	b, err := a.Apply(context.Background(), "trips", "", recs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestChangesAreToldBehindTheStore(t *testing.T) {
	a, l := telling(t, "fares", "sold")
	b := take(t, a, raw(rowOfAll),
		raw(fmt.Sprintf(`{"driver_id":7,"fare":1,"at":%d}`, base-20)), // superseded
		raw(`{"driver_id":8,"fare":-1,"code":"1"}`),                   // only for the view that does not ask
		raw(`{"driver_id":9,"fare":"x"}`))
	if l.calls != 0 {
		t.Error("something was told before Store")
	}
	if err := b.Store(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := []string{"driver 7 fares@1 0 0 true", "item a sold@1 0 0 true", "item b sold@1 0 0 true"}
	if !slices.Equal(l.told, want) || l.early || l.calls != 1 {
		t.Errorf("told %q in %d calls, before the store had it: %t; want %q", l.told, l.calls, l.early, want)
	}
}

func TestSupersededRowsTellAgain(t *testing.T) {
	a, l := telling(t, "fares")
	for range 2 { // what is pushed again may not have been told before
		if err := take(t, a, raw(fmt.Sprintf(`{"driver_id":7,"fare":1,"at":%d}`, base-20))).Store(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if want := "driver 7 fares@1 -20000 0 true"; !slices.Equal(l.told, []string{want, want}) {
		t.Errorf("told %q", l.told)
	}
}

func TestNothingIsToldOfViewsThatDoNotAsk(t *testing.T) {
	a, l := telling(t)
	if err := take(t, a, raw(rowOfAll)).Store(context.Background()); err != nil || l.calls != 0 {
		t.Errorf("%v, told %q", err, l.told)
	}
}

func TestAChangelogThatFailsFailsTheStore(t *testing.T) {
	a, l := telling(t, "fares")
	l.err = errors.New("down")
	if err := take(t, a, raw(rowOfAll)).Store(context.Background()); !errors.Is(err, l.err) {
		t.Errorf("stored with %v", err)
	}
	if len(l.store.Rows()) == 0 {
		t.Error("nothing is stored")
	}
}

func TestAStoreThatFailsTellsNothing(t *testing.T) {
	for _, op := range []string{"Write", "Sync"} {
		a, l := telling(t, "fares")
		l.store.Fail(func(at string) error {
			if at == op {
				return sinks.ErrUnavailable
			}
			return nil
		})
		if err := take(t, a, raw(rowOfAll)).Store(context.Background()); !errors.Is(err, sinks.ErrUnavailable) || l.calls != 0 {
			t.Errorf("%s fails: %v, told %q", op, err, l.told)
		}
	}
}
