package pebble_test

import (
	"testing"

	"millrace/sinks/pebble"
	"millrace/sinks/sinktest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Store {
		s, err := pebble.Open(t.TempDir(), pebble.Settings{})
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return s
	})
}
