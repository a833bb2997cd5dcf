package predict

import (
	"strconv"
	"testing"
	"time"
)

// TestMemoryIsBounded in keys and in bytes, and takes again what was forgotten.
func TestMemoryIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	m := memory[int]{keep: time.Second}
	for i := range maxRemembered + 1 {
		m.note(Key{Entity: strconv.Itoa(i)}, i, now)
	}
	if v, ok := m.recall(Key{Entity: "7"}, now); !ok || v != 7 {
		t.Errorf("7 is %d, %v", v, ok)
	}
	if _, ok := m.recall(Key{Entity: strconv.Itoa(maxRemembered)}, now); ok {
		t.Error("a full memory has taken another one")
	}
	if !m.takes(maxRememberedBytes, now) || m.takes(1, now) {
		t.Error("bytes are not counted")
	}
	now = now.Add(time.Second)
	if _, ok := m.recall(Key{Entity: "7"}, now); ok {
		t.Error("it was not forgotten in time")
	}
	if !m.takes(maxRememberedBytes, now) {
		t.Error("there is no room after a turn")
	}
	m.note(Key{Entity: "new"}, 1, now)
	m.turn(now.Add(2 * time.Second))
	if n := len(m.young) + len(m.aged); n != 0 {
		t.Errorf("%d are kept for longer than twice the time", n)
	}
}
