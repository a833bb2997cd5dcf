package rowcodec

import (
	"context"
	"fmt"
	"sync"

	"millrace/feature"
	"millrace/sinks"
)

// Writer stores finished rows that no lane carries. It is safe for concurrent
// use.
type Writer struct {
	sink  sinks.Sink
	calls sync.Pool // *writing
}

// writing is what one WriteRows needs.
type writing struct {
	encoder *Encoder
	buffer  sinks.Buffer
}

// NewWriter returns a writer to sink.
func NewWriter(sink sinks.Sink) *Writer {
	return &Writer{sink: sink, calls: sync.Pool{New: func() any { return &writing{encoder: NewEncoder()} }}}
}

// Check appends rows that no store may see to rows.Rejects, as WriteRows would,
// and stores nothing.
func (w *Writer) Check(rows *feature.Rows) {
	c, _ := w.calls.Get().(*writing)
	defer w.calls.Put(c)
	c.buffer.Reset()
	c.encoder.Encode(&c.buffer, rows)
}

// WriteRows stores rows, whose keys are distinct, and returns when they are
// durable and readable. After an error any of them may be stored; to store them
// again is harmless. Rows that no store may see go to rows.Rejects.
func (w *Writer) WriteRows(ctx context.Context, rows *feature.Rows) error {
	c, _ := w.calls.Get().(*writing)
	defer w.calls.Put(c)
	c.buffer.Reset()
	c.encoder.Encode(&c.buffer, rows)
	if len(c.buffer.Rows) == 0 {
		return nil
	}
	if err := w.sink.Write(ctx, c.buffer.Rows); err != nil {
		return fmt.Errorf("store %d rows of view %s: %w", rows.Len(), rows.View.Name, err)
	}
	if err := w.sink.Sync(ctx); err != nil {
		return fmt.Errorf("make %d rows of view %s durable: %w", rows.Len(), rows.View.Name, err)
	}
	return nil
}
