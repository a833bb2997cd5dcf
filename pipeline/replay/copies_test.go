package replay

import (
	"testing"

	"millrace/pipeline"
	"millrace/sinks"
	"millrace/sources"
)

// TestLettersOfCopiesAreOrderedByTheirRecord, and headers that say so mean
// nothing in letters of other sources.
func TestLettersOfCopiesAreOrderedByTheirRecord(t *testing.T) {
	c := sources.Copy{Partition: sources.Partition{Topic: "raw", Number: 7}}
	l := &sinks.Letter{LetterID: sinks.LetterID{Partition: 2}, Headers: []sinks.LetterHeader{{Key: "trace"}, sinks.LetterHeader(c.Original())}}
	copies, plain := &applier{route: &pipeline.Route{Copies: &pipeline.Copies{}}}, &applier{route: &pipeline.Route{}}
	if copies.partition(l) != 7 || plain.partition(l) != 2 {
		t.Errorf("partitions %d and %d", copies.partition(l), plain.partition(l))
	}
	l.Headers = l.Headers[:1]
	if copies.partition(l) != 2 {
		t.Error("a record that is no copy has its own")
	}
}
