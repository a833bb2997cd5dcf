package memory_test

import (
	"testing"

	"millrace/sinks/memory"
	"millrace/sinks/sinktest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	sinktest.Run(t, func(*testing.T) sinktest.Store { return &memory.Store{} })
}
