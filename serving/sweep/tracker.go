package sweep

import (
	"sync"

	"millrace/sinks"
)

// chunk is keys up to a place of the scan.
type chunk struct {
	next     sinks.KeyCursor // behind them
	progress float64
	left     int    // batches without an end
	counts   Counts // of those with one
}

// tracker knows up to which place all keys have had their ends. It is safe for
// concurrent use.
type tracker struct {
	mu     sync.Mutex
	chunks []*chunk // not at their end, or behind one that is not; in the order of the scan
	at     chunk    // the place, and the ends of all keys before it
	counts Counts   // of all keys

	telling sync.Mutex // held while Progress is called, so that later states are told later
}

// add begins a chunk of n batches.
func (t *tracker) add(next sinks.KeyCursor, progress float64, n int) *chunk {
	c := &chunk{next: next, progress: progress, left: n}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.chunks = append(t.chunks, c)
	t.advance()
	return c
}

// done records the end of a batch of c.
func (t *tracker) done(c *chunk, counts *Counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.counts.add(counts)
	t.counts.add(counts)
	c.left--
	t.advance()
}

// partly records the ends of some keys of a batch that is given up: the place
// stays before them.
func (t *tracker) partly(counts *Counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.add(counts)
}

// advance takes the chunks that are at their end from the front. The caller
// holds mu.
func (t *tracker) advance() {
	for len(t.chunks) > 0 && t.chunks[0].left == 0 {
		c := t.chunks[0]
		t.chunks = t.chunks[1:]
		t.at.next, t.at.progress = c.next, max(t.at.progress, c.progress)
		t.at.counts.add(&c.counts)
	}
}

// place returns the place before which all keys have had their ends.
func (t *tracker) place() chunk {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at
}

func (t *tracker) status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Status{Counts: t.counts, Progress: t.at.progress}
}

// tell calls fn with the state, one call at a time.
func (t *tracker) tell(fn func(Status)) {
	t.telling.Lock()
	defer t.telling.Unlock()
	fn(t.status())
}
