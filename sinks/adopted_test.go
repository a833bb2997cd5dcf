package sinks_test

import (
	"context"
	"maps"
	"strings"
	"testing"

	"millrace/sinks"
	"millrace/sinks/memory"
)

// A step of a lane: the topic that it was assigned a partition of, and the
// version that it raised the epoch for; 0 when it did not come to that.
type adoption struct {
	partition, of int32
	topic         byte
	version       int64
}

func TestAdoptedIsWhatEveryPartitionOfTheTopicHasComeTo(t *testing.T) {
	for name, c := range map[string]struct {
		steps []adoption
		want  int64
	}{
		"one partition":                              {[]adoption{{0, 1, 1, 2}}, 2},
		"a partition that nobody was given yet":      {[]adoption{{0, 2, 1, 2}}, 0},
		"a partition whose lane has not begun":       {[]adoption{{0, 2, 1, 2}, {1, 2, 1, 0}}, 0},
		"the one that is furthest behind":            {[]adoption{{0, 2, 1, 5}, {1, 2, 1, 3}}, 3},
		"the first one is behind":                    {[]adoption{{0, 2, 1, 3}, {1, 2, 1, 5}}, 3},
		"a topic that grew":                          {[]adoption{{0, 1, 1, 2}, {1, 2, 1, 2}}, 2},
		"a topic that is growing":                    {[]adoption{{0, 1, 1, 2}, {2, 3, 1, 2}}, 0},
		"not the first one":                          {[]adoption{{1, 2, 1, 2}}, 0},
		"numbers that nobody told":                   {[]adoption{{0, 0, 1, 2}, {1, 0, 1, 2}}, 2},
		"the replay's":                               {[]adoption{{0, 1, 1, 2}, {-1, 0, 1, 0}}, 2},
		"made again with fewer partitions":           {[]adoption{{0, 2, 1, 2}, {1, 2, 1, 2}, {0, 1, 2, 3}}, 3},
		"made again, one partition is still to come": {[]adoption{{0, 2, 1, 2}, {1, 2, 1, 2}, {0, 2, 2, 3}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := sinks.NewEpochs(new(memory.Store))
			for _, s := range c.steps {
				adopt(t, e, "a/b", s)
			}
			adopt(t, e, "other", adoption{0, 1, 1, 9})
			got, err := e.Adopted(t.Context())
			if want := map[string]int64{"a/b": c.want, "other": 9}; !maps.Equal(got, want) || err != nil {
				t.Errorf("%v, %v, want %v", got, err, want)
			}
		})
	}
}

func adopt(t *testing.T, e *sinks.Epochs, source string, s adoption) {
	t.Helper()
	_, err := e.TopicNumber(t.Context(), source, topic(s.topic), s.partition)
	if err == nil && s.of > 0 {
		err = e.SetPartitions(t.Context(), source, s.partition, s.of)
	}
	if err == nil && s.version > 0 {
		_, err = e.Raise(t.Context(), source, s.partition, s.version)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A lane asks at every assignment: nothing is written when nothing changes.
func TestPartitionsAreRecordedOnce(t *testing.T) {
	store := new(memory.Store)
	e := sinks.NewEpochs(store)
	adopt(t, e, "trips", adoption{0, 4, 1, 1})
	before, _ := e.Epoch(t.Context(), "trips", 0)
	store.Fail(func(op string) error {
		if op == "Swap" {
			t.Error("written again")
		}
		return nil
	})
	if err := e.SetPartitions(t.Context(), "trips", 0, 4); err != nil {
		t.Fatal(err)
	}
	if now, _ := e.Epoch(t.Context(), "trips", 0); now != before {
		t.Errorf("the epoch was %+v and is %+v", before, now)
	}
}

func TestAdoptedSaysWhatItCannotRead(t *testing.T) {
	for id, value := range map[string]string{"trips": `{}`, "trips/x": `{}`, "trips/0": `[]`} {
		store := new(memory.Store)
		if _, err := store.Swap(context.Background(), sinks.MetaEpochs, id, nil, []byte(value)); err != nil {
			t.Fatal(err)
		}
		if _, err := sinks.NewEpochs(store).Adopted(t.Context()); err == nil || !strings.Contains(err.Error(), id) {
			t.Errorf("%s: %v", id, err)
		}
	}
}
