package sinks_test

import (
	"testing"

	"millrace/sinks"
	"millrace/sinks/memory"
)

func TestOpeningsTellTopicsApart(t *testing.T) {
	ctx, store := t.Context(), new(memory.Store)
	o := sinks.NewOpenings(store)
	one, two := [16]byte{1}, [16]byte{2}
	check := func(topic [16]byte, partition int32, wantThis, wantEarlier bool) {
		t.Helper()
		if this, earlier, err := o.Opened(ctx, "v@1", partition, topic); this != wantThis || earlier != wantEarlier || err != nil {
			t.Errorf("this %v, earlier %v, %v", this, earlier, err)
		}
	}
	check(one, 3, false, false)
	for range 2 {
		if err := o.Open(ctx, "v@1", 3, one); err != nil {
			t.Fatal(err)
		}
	}
	check(one, 3, true, false)
	check(two, 3, false, true)
	check(one, 4, false, false)
	if err := o.Open(ctx, "v@1", 3, two); err != nil {
		t.Fatal(err)
	}
	check(one, 3, true, true)
	text, err := store.Get(ctx, sinks.MetaEpochs, "rekey/v@1/3")
	want := `{"topics":["01000000000000000000000000000000","02000000000000000000000000000000"]}`
	if string(text) != want || err != nil {
		t.Errorf("%s %v, want %s", text, err, want)
	}
}
