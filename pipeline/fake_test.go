package pipeline

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sources"
	"millrace/transforms"
)

// The other side of every contract, small and under the test's control.

// fakeSource hands itself to the handler and remembers commits.
type fakeSource struct {
	mu      sync.Mutex
	h       sources.Handler
	started chan struct{}
	resumed chan resume
	commits []sources.Mark
	gone    map[sources.Partition]bool // commits of these are faults
	faults  []string
	fail    error // of Commit
	owned   []sources.Partition
	drain   time.Duration
}

type resume struct {
	p  sources.Partition
	at int64
}

func newFakeSource() *fakeSource {
	return &fakeSource{
		started: make(chan struct{}), resumed: make(chan resume, 1000),
		gone: make(map[sources.Partition]bool), drain: time.Second,
	}
}

func (s *fakeSource) Run(ctx context.Context, h sources.Handler) error {
	s.h = h
	close(s.started)
	<-ctx.Done()
	s.mu.Lock()
	owned := s.owned
	s.mu.Unlock()
	s.revoke(owned...)
	return nil
}

func (s *fakeSource) Resume(p sources.Partition, at int64) {
	select {
	case s.resumed <- resume{p, at}:
	default:
	}
}

func (s *fakeSource) Commit(ctx context.Context, marks []sources.Mark) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	for _, m := range marks {
		if s.gone[m.Partition] {
			s.faults = append(s.faults, fmt.Sprintf("commit of %v after its revoke", m))
		}
	}
	s.commits = append(s.commits, marks...)
	return ctx.Err()
}

// last returns the newest commit of a partition.
func (s *fakeSource) last(p sources.Partition) (sources.Mark, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range slices.Backward(s.commits) {
		if v.Partition == p {
			return v, true
		}
	}
	return sources.Mark{}, false
}

func (s *fakeSource) assign(as ...sources.Assignment) ([]sources.Start, error) {
	s.mu.Lock()
	for _, a := range as {
		s.owned = append(s.owned, a.Partition)
		delete(s.gone, a.Partition)
	}
	s.mu.Unlock()
	return s.h.Assigned(context.Background(), as)
}

func (s *fakeSource) revoke(ps ...sources.Partition) {
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	s.h.Revoked(ctx, ps)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range ps {
		s.gone[p] = true
	}
	s.owned = nil
}

// A fake record's value is "key fare"; '!' as key is malformed, '?' is
// filtered, '~' is refused by the view.
func record(offset int64, key byte, at int64) sources.Record {
	return sources.Record{Offset: offset, TimeMillis: at, Value: []byte{key}}
}

func fetch(p sources.Partition, recs ...sources.Record) sources.Fetch {
	f := sources.Fetch{Partition: p, Records: recs}
	if n := len(recs); n > 0 {
		f.LogEnd = recs[n-1].Offset + 1
	}
	return f
}

var keyField = []feature.Field{{Name: "key", Type: feature.Of(feature.KindString)}}

type fakeDecoder struct{ fail *faults }

func (d fakeDecoder) Decode(_ context.Context, dst *feature.Batch, recs []sources.Record) error {
	if err := d.fail.check("decode"); err != nil {
		return err
	}
	for i := range recs {
		o := feature.Origin{Offset: recs[i].Offset, RecordMillis: recs[i].TimeMillis, EventMicros: recs[i].TimeMillis * 1000, Record: int32(i)}
		row := dst.AppendRow(o)
		if recs[i].Value[0] == '!' {
			dst.RejectLast(feature.StageDecode, feature.ReasonMalformed, "malformed")
			continue
		}
		dst.Columns[0].SetString(row, dst.Arena.Copy(recs[i].Value))
	}
	return nil
}

type fakeTransformer struct {
	v  *feature.View
	ws *transforms.Windows // nil, or of the key alone

	accepts bool // nothing is refused
}

var fakeStored = &feature.Stored{}

func (t fakeTransformer) Apply(in *feature.Batch, _ int64, out *feature.Rows) {
	out.Reset(t.v, fakeStored, keyField, in.Partition)
	for i, o := range in.Origins {
		switch key := in.Columns[0].Strings[i]; {
		case key == "?":
			out.Filtered++
		case key == "~" && !t.accepts:
			out.Rejects = append(out.Rejects, feature.Reject{Origin: o, Stage: feature.StageTransform, Reason: feature.ReasonExpression, Message: "refused"})
		default:
			out.Keys[0].SetString(out.Keys[0].AppendNull(), key)
			out.Origins = append(out.Origins, o)
		}
	}
	if t.ws == nil {
		return
	}
	w := &out.Windows
	w.Reset(t.ws.Args, t.ws.Filters)
	w.Counts = w.Counts.Resize(len(out.Origins))
	w.Counts.Fill(len(out.Origins))
	for i := range out.Origins {
		w.Args[0].SetString(w.Args[0].AppendNull(), out.Keys[0].Strings[i])
	}
}

// fakeView takes finished rows in as it takes raw ones.
func fakeView(v *feature.View) RouteView {
	transformer := func() Transformer { return fakeTransformer{v: v} }
	return RouteView{View: v, NewTransformer: transformer, Finished: FinishedRows{
		Fields: keyField, NewTransformer: transformer,
		NewDecoder: func() sources.Decoder { return fakeDecoder{new(faults)} },
	}}
}

type fakeEncoder struct{}

func (fakeEncoder) Encode(dst *sinks.Buffer, rows *feature.Rows) {
	for i, o := range rows.Origins {
		seq := feature.NewSequence(rows.View.Revision, o)
		value := append(dst.Arena.Tail(feature.SequenceBytes+4), seq[:]...)
		value = binary.BigEndian.AppendUint32(value, uint32(rows.PartitionOf(i)))
		dst.Arena.Keep(value)
		key := dst.Arena.Keep(append(dst.Arena.Tail(8), rows.Keys[0].Strings[i]...))
		dst.Rows = append(dst.Rows, sinks.Row{Entity: "e", Key: key, View: rows.View.Name, Stamp: o.EventMicros, Value: value})
		dst.Origins = append(dst.Origins, o)
	}
}

// faults makes named operations fail until they are healed.
type faults struct {
	mu sync.Mutex
	of map[string]error
}

func (f *faults) set(op string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = make(map[string]error)
	}
	f.of[op] = err
}

func (f *faults) check(op string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.of[op]
}

var errDown = errors.New("it is down")
