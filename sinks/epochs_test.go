package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/sinks"
	"millrace/sinks/memory"
)

func topic(n byte) [16]byte { return [16]byte{n} }

func TestTopicNumbersAreGivenInOrderOfFirstSight(t *testing.T) {
	ctx, e := t.Context(), sinks.NewEpochs(new(memory.Store))
	for _, c := range []struct {
		source    string
		partition int32
		topic     byte
		want      int64
	}{
		{"trips", 0, 7, 0},
		{"trips", 0, 7, 0}, // asked again
		{"trips", 0, 9, 1}, // created again
		{"trips", 0, 7, 0}, // and the old one is remembered
		{"trips", 1, 9, 0}, // every partition counts for itself
		{"rides", 0, 9, 0}, // every source too
	} {
		if m, err := e.TopicNumber(ctx, c.source, topic(c.topic), c.partition); m != c.want || err != nil {
			t.Errorf("%s/%d topic %d: %d %v, want %d", c.source, c.partition, c.topic, m, err, c.want)
		}
	}
}

// Whoever asks, and whoever asks at the same time, gets one number per topic.
func TestEverybodyIsGivenOneNumber(t *testing.T) {
	store := new(memory.Store)
	const askers, topics = 8, 5
	got := make([][]int64, askers)
	var wg sync.WaitGroup
	for a := range askers {
		wg.Go(func() {
			e := sinks.NewEpochs(store)
			got[a] = make([]int64, topics)
			for i := range topics {
				n := (i + a) % topics // each in its own order
				m, err := e.TopicNumber(t.Context(), "trips", topic(byte(n)), 0)
				if err != nil {
					t.Error(err)
				}
				got[a][n] = m
			}
		})
	}
	wg.Wait()
	for _, g := range got {
		if !slices.Equal(g, got[0]) {
			t.Errorf("numbers differ: %v and %v", g, got[0])
		}
	}
	if sorted := slices.Sorted(slices.Values(got[0])); !slices.Equal(sorted, []int64{0, 1, 2, 3, 4}) {
		t.Errorf("numbers %v have gaps", got[0])
	}
}

func TestRecoveriesAreNumbered(t *testing.T) {
	ctx, e := t.Context(), sinks.NewEpochs(new(memory.Store))
	if r, err := e.Recovery(ctx, "trips", 0); r != (sinks.Recovery{}) || err != nil {
		t.Errorf("before any: %+v %v", r, err)
	}
	for i, offset := range []int64{50, 20} {
		number, err := e.Recover(ctx, "trips", 0, topic(1), offset)
		if err != nil || number != int64(i)+1 {
			t.Errorf("recovery %d has number %d, %v", i, number, err)
		}
		r, err := e.Recovery(ctx, "trips", 0)
		if err != nil || r.Number != number || r.Offset != offset || r.Topic != "01"+strings.Repeat("0", 30) {
			t.Errorf("recovery %+v, %v", r, err)
		}
	}
	if r, err := e.Recovery(ctx, "trips", 1); r.Number != 0 || err != nil {
		t.Errorf("another partition's: %+v %v", r, err)
	}
}

func TestTheEntryIsTextForPeople(t *testing.T) {
	ctx, store := t.Context(), new(memory.Store)
	e := sinks.NewEpochs(store)
	if _, err := e.TopicNumber(ctx, "trips", topic(1), 2); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Recover(ctx, "trips", 2, topic(1), 30); err != nil {
		t.Fatal(err)
	}
	text, err := store.Get(ctx, sinks.MetaEpochs, "trips/2")
	const id = "01000000000000000000000000000000"
	want := `{"n":2,"topics":["` + id + `"],"recovery":{"number":1,"topic":"` + id + `","offset":30}}`
	if string(text) != want || err != nil {
		t.Errorf("%s %v, want %s", text, err, want)
	}
}

// n rises with every new topic and every recovery, never otherwise, and
// neither forgets the other.
func TestEpochsAgreeWithTheirDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx, store := context.Background(), new(memory.Store)
		known, recoveries := []byte(nil), int64(0)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			e := sinks.NewEpochs(store)
			if rapid.Bool().Draw(t, "recover") {
				recoveries++
				if n, err := e.Recover(ctx, "s", 0, topic(1), 5); n != recoveries || err != nil {
					t.Fatalf("recovery %d %v, want %d", n, err, recoveries)
				}
				continue
			}
			id := rapid.ByteRange(0, 4).Draw(t, "topic")
			want := slices.Index(known, id)
			if want < 0 {
				want = len(known)
				known = append(known, id)
			}
			if m, err := e.TopicNumber(ctx, "s", topic(id), 0); m != int64(want) || err != nil {
				t.Fatalf("topic %d has number %d %v, want %d", id, m, err, want)
			}
		}
		if r, err := sinks.NewEpochs(store).Recovery(ctx, "s", 0); r.Number != recoveries || err != nil {
			t.Fatalf("recovery %+v %v, want number %d", r, err, recoveries)
		}
	})
}

func TestEpochsSayWhatFailed(t *testing.T) {
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
		_, err := sinks.NewEpochs(store).TopicNumber(ctx, "trips", topic(1), 3)
		if !errors.Is(err, down) || !strings.Contains(err.Error(), "epochs of source trips, partition 3") {
			t.Errorf("%s: %v", op, err)
		}
	}
	store := new(memory.Store)
	if _, err := store.Swap(ctx, sinks.MetaEpochs, "trips/3", nil, []byte("{")); err != nil {
		t.Fatal(err)
	}
	if _, err := sinks.NewEpochs(store).Recovery(ctx, "trips", 3); err == nil || !strings.Contains(err.Error(), "read the epochs of source trips, partition 3") {
		t.Errorf("a damaged entry: %v", err)
	}
	if _, err := sinks.NewEpochs(store).Recover(ctx, "trips", 3, topic(1), 0); err == nil {
		t.Error("a damaged entry was written over")
	}
}

func TestEpochRisesOncePerCatalogVersion(t *testing.T) {
	ctx, store := t.Context(), new(memory.Store)
	e := sinks.NewEpochs(store)
	if now, err := e.Epoch(ctx, "trips", 0); now != (sinks.Epoch{}) || err != nil {
		t.Errorf("before any: %+v %v", now, err)
	}
	if _, err := e.TopicNumber(ctx, "trips", topic(1), 0); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		version int64
		want    sinks.Epoch
	}{
		{4, sinks.Epoch{N: 2, Catalog: 4}},
		{4, sinks.Epoch{N: 2, Catalog: 4}}, // asked again, by whomever
		{7, sinks.Epoch{N: 3, Catalog: 7}},
		{5, sinks.Epoch{N: 3, Catalog: 7}}, // a process that is behind learns it
		{7, sinks.Epoch{N: 3, Catalog: 7}},
	} {
		if now, err := e.Raise(ctx, "trips", 0, c.version); now != c.want || err != nil {
			t.Errorf("step %d: %+v %v, want %+v", i, now, err, c.want)
		}
	}
	if _, err := e.Recover(ctx, "trips", 0, topic(1), 5); err != nil {
		t.Fatal(err)
	}
	if now, err := e.Epoch(ctx, "trips", 0); now != (sinks.Epoch{N: 4, Catalog: 7}) || err != nil {
		t.Errorf("after a recovery: %+v %v", now, err)
	}
}

// A stamp must lie in the past, whatever the offset.
func TestEpochsEndBeforeStampsReachTheFuture(t *testing.T) {
	const lastOffset = 1<<40 - 1
	if end := time.UnixMicro(sinks.TileStamp(sinks.MaxEpoch, lastOffset)); end.Year() != 2025 {
		t.Errorf("the last stamp is %v", end)
	}
	ctx, store := t.Context(), new(memory.Store)
	e := sinks.NewEpochs(store)
	text := fmt.Appendf(nil, `{"n":%d,"topics":[]}`, sinks.MaxEpoch-1)
	if _, err := store.Swap(ctx, sinks.MetaEpochs, "trips/3", nil, text); err != nil {
		t.Fatal(err)
	}
	if now, err := e.Raise(ctx, "trips", 3, 1); now.N != sinks.MaxEpoch || err != nil {
		t.Errorf("the last: %+v %v", now, err)
	}
	_, raised := e.Raise(ctx, "trips", 3, 2)
	_, recovered := e.Recover(ctx, "trips", 3, topic(1), 0)
	for _, err := range []error{raised, recovered} {
		if err == nil || !strings.Contains(err.Error(), "source trips, partition 3 has begun 1600 epochs") {
			t.Errorf("one more: %v", err)
		}
	}
	if now, err := e.Epoch(ctx, "trips", 3); now != (sinks.Epoch{N: sinks.MaxEpoch, Catalog: 1}) || err != nil {
		t.Errorf("afterwards: %+v %v", now, err)
	}
}
