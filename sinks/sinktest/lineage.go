package sinktest

import (
	"sync"
	"testing"

	"millrace/sinks"
)

// What lanes agree on by metadata, over the store's own conditional updates.
func lineageContracts() []contract {
	return []contract{
		{"EpochIsRaisedOncePerVersion", epochOnce},
		{"SinceOnlyRises", sinceRises},
	}
}

func epochOnce(t *testing.T, s Store) {
	const versions, lanes = 3, 4
	source := fresh("source")
	epochs := sinks.NewEpochs(s)
	if _, err := epochs.TopicNumber(t.Context(), source, [16]byte{1}, 0); err != nil {
		t.Fatalf("TopicNumber: %v", err)
	}
	var wg sync.WaitGroup
	for range lanes {
		wg.Go(func() {
			for version := int64(1); version <= versions; version++ {
				now, err := epochs.Raise(t.Context(), source, 0, version)
				if err != nil || now.Catalog < version || now.N != now.Catalog+1 {
					t.Errorf("Raise for version %d = %+v, %v", version, now, err)
				}
			}
		})
	}
	wg.Wait()
	for partition, want := range []sinks.Epoch{{N: versions + 1, Catalog: versions}, {}} {
		if now, err := epochs.Epoch(t.Context(), source, int32(partition)); now != want || err != nil {
			t.Errorf("partition %d is at %+v, %v, want %+v", partition, now, err, want)
		}
	}
}

func sinceRises(t *testing.T, s Store) {
	view := fresh("a/view") + "@1"
	sinces := sinks.NewSinces(s)
	var wg sync.WaitGroup
	for micros := range int64(5) {
		wg.Go(func() {
			if err := sinces.Raise(t.Context(), view, -1, micros, 1<<63+1, uint64(micros)); err != nil {
				t.Errorf("Raise: %v", err)
			}
		})
	}
	wg.Wait()
	if err := sinces.Raise(t.Context(), view, 7, -9, 1<<63+1); err != nil {
		t.Fatalf("Raise: %v", err)
	}
	all, err := sinces.All(t.Context())
	if err != nil {
		t.Fatalf("All: %v", err)
	}
	got := make(map[sinks.Since]bool)
	for _, since := range all {
		if since.View == view {
			got[since] = true
		}
	}
	want := []sinks.Since{
		{View: view, Partition: -1, Aggregate: 1<<63 + 1, Micros: 4}, {View: view, Partition: 7, Aggregate: 1<<63 + 1, Micros: -9},
	}
	for micros := range int64(5) {
		want = append(want, sinks.Since{View: view, Partition: -1, Aggregate: uint64(micros), Micros: micros})
	}
	for _, since := range want {
		if !got[since] {
			t.Errorf("%+v is missing", since)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d entries, want %d", len(got), len(want))
	}
}
