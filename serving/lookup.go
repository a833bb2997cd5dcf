package serving

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// state is what answering one request takes. It is pooled per Read, because
// readers, queries and answers are shaped by it.
type state struct {
	groups   []groupState
	cells    []cell // per output, one per distinct key of its group
	starts   []int  // where an output's cells begin
	onDemand []onDemandState
	models   []modelState
}

// groupState is the part of a state that belongs to one group.
type groupState struct {
	query   feature.Query     // of the views that need stored rows
	loaded  []feature.Loaded  // parallel to its views
	rows    []*feature.Loaded // parallel to the group's views: one of loaded, or without
	without feature.Loaded    // no row for any key
	readers []*transforms.Reader
	stored  []*feature.Loaded // parallel to the group's predictions
	windows windowsState
	columns []feature.Column // the join keys of the request, gathered
	slots   []int32          // per row of the request: index of its key, -1 for a null key
	firsts  []int32          // per key, the first row that has it
	index   map[string]int32
	arena   feature.Arena
	scratch []byte
	took    time.Duration // of the store read
	err     error
}

func (r *Read) newState() (*state, error) {
	st := &state{groups: make([]groupState, len(r.groups)), starts: make([]int, len(r.outputs))}
	for i := range r.groups {
		g, s := &r.groups[i], &st.groups[i]
		s.index = make(map[string]int32)
		s.columns = make([]feature.Column, len(g.keys))
		s.loaded = make([]feature.Loaded, len(g.views)+len(g.predictions))
		s.query.Entity = g.entity
		for _, w := range g.views {
			reader, err := w.plan.NewReader(w.features)
			if err != nil {
				return nil, fmt.Errorf("prepare the read half of %s: %w", w.plan.View.Name, err)
			}
			s.readers = append(s.readers, reader)
			if !w.needsRow(reader) {
				s.rows = append(s.rows, &s.without)
				continue
			}
			s.rows = append(s.rows, &s.loaded[len(s.query.Views)])
			s.query.Views = append(s.query.Views, feature.ViewQuery{View: w.plan.View.StoredName(), Columns: reader.Columns(), Hash: w.printed})
		}
		for _, p := range g.predictions {
			s.stored = append(s.stored, &s.loaded[len(s.query.Views)])
			s.query.Views = append(s.query.Views, feature.ViewQuery{View: p.View.StoredName(), Columns: p.Stored.Columns})
		}
		s.loaded = s.loaded[:len(s.query.Views)]
		s.windows.init(g, s.readers)
	}
	if err := r.newOnDemandStates(st); err != nil {
		return nil, err
	}
	r.newModelStates(st)
	return st, nil
}

func (r *Read) state() (*state, error) {
	if st, ok := r.states.Get().(*state); ok {
		return st, nil
	}
	return r.newState()
}

// maxPooledBytes is how much text a pooled state may hold on to.
const maxPooledBytes = 8 << 20

func (r *Read) release(st *state) {
	for i := range st.onDemand {
		clear(st.onDemand[i].columns) // some are the request's
	}
	for i := range st.models {
		st.models[i].release()
	}
	text := 0
	for i := range st.groups {
		text += st.groups[i].arena.Bytes()
		for j := range st.groups[i].loaded {
			text += st.groups[i].loaded[j].Arena.Bytes()
		}
	}
	if text <= maxPooledBytes {
		r.states.Put(st)
	}
}

// Lookup answers req into resp, which it releases first. It blocks on the store
// until the request's timeout or ctx ends it; beyond Limits.Concurrency it
// refuses at once. On error resp is empty.
func (s *Service) Lookup(ctx context.Context, req *Request, resp *Response) *Error {
	resp.Release()
	if err := req.check(&s.limits); err != nil {
		return err
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return Errorf(CodeOverloaded, "too many lookups are under way; retry later")
	}
	st, err := req.read.state()
	if err != nil {
		return s.fail(ctx, err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout(req))
	defer cancel()
	now := s.clock()
	whole, err := s.wholeness(ctx, req, st, now)
	if err != nil {
		return s.fail(ctx, err)
	}
	if err := s.read(ctx, req, st, now); err != nil {
		// The state is not pooled again: a store that broke its word may still
		// be writing into it.
		return s.fail(ctx, err)
	}
	resp.fill(req, st, now.UnixMicro(), whole)
	if err := s.predict(ctx, req, resp); err != nil {
		resp.Release()
		return err
	}
	s.countValues(resp)
	return nil
}

// wholeness returns what tells complete windows, if the request asks for it and
// reads any; else nil.
func (s *Service) wholeness(ctx context.Context, req *Request, st *state, now time.Time) (*sinceTable, error) {
	if req.Complete {
		for i := range st.groups {
			if len(st.groups[i].windows.ranges) > 0 {
				return s.sincesAt(ctx, now)
			}
		}
	}
	return nil, nil //nolint:nilnil // nothing is asked
}

func (s *Service) timeout(req *Request) time.Duration {
	if req.Timeout <= 0 {
		return s.limits.Timeout
	}
	return min(req.Timeout, s.limits.MaxTimeout)
}

// read answers all groups, concurrently when there are several.
func (s *Service) read(ctx context.Context, req *Request, st *state, now time.Time) error {
	if len(st.groups) == 1 {
		return s.readGroup(ctx, req, st, 0, now)
	}
	var wait sync.WaitGroup
	for i := range st.groups {
		wait.Go(func() { st.groups[i].err = s.readGroup(ctx, req, st, i, now) })
	}
	wait.Wait()
	var errs []error
	for i := range st.groups {
		errs = append(errs, st.groups[i].err)
	}
	return errors.Join(errs...)
}

func (s *Service) readGroup(ctx context.Context, req *Request, st *state, i int, now time.Time) error {
	g := &st.groups[i]
	if len(g.readers) == 0 && len(g.query.Views) == 0 {
		return nil // its on-demand views need nothing stored
	}
	g.collectKeys(req, req.read.groups[i].keys)
	if len(g.query.Keys) == 0 {
		return nil
	}
	g.windows.reset(len(g.query.Keys), now.UnixMicro(), req.noting)
	g.without.Reset(&feature.ViewQuery{}, len(g.query.Keys))
	if err := s.readStored(ctx, g); err != nil {
		return err
	}
	if fault := g.windows.fault; fault != nil && s.events.TileFailed != nil {
		s.events.TileFailed(fault)
	}
	for v, reader := range g.readers {
		reader.Run(g.rows[v], now.UnixMicro())
	}
	return nil
}

// readStored reads rows and tiles, at the same time when there are both.
func (s *Service) readStored(ctx context.Context, g *groupState) error {
	switch {
	case len(g.windows.ranges) == 0:
		return s.readRows(ctx, g)
	case len(g.query.Views) == 0:
		return s.readTiles(ctx, g)
	}
	var wait sync.WaitGroup
	wait.Go(func() { g.windows.err = s.readTiles(ctx, g) })
	err := s.readRows(ctx, g)
	wait.Wait()
	return errors.Join(err, g.windows.err)
}

func (s *Service) readRows(ctx context.Context, g *groupState) error {
	begin := s.clock()
	if err := s.store.Read(ctx, &g.query, g.loaded); err != nil {
		return fmt.Errorf("read entities of %s: %w", g.query.Entity, err)
	}
	g.took = s.clock().Sub(begin)
	if s.events.StoreRead != nil {
		s.events.StoreRead(len(g.query.Keys), g.took)
	}
	return nil
}

// collectKeys writes the keys of all rows, each distinct one once.
func (g *groupState) collectKeys(req *Request, keys []int) {
	g.arena.Reset()
	clear(g.index)
	g.query.Keys, g.slots, g.firsts = g.query.Keys[:0], g.slots[:0], g.firsts[:0]
	for i, k := range keys {
		g.columns[i] = req.Columns[k]
	}
	for row := range req.Rows {
		g.slots = append(g.slots, g.slot(row))
	}
	clear(g.columns)
}

func (g *groupState) slot(row int) int32 {
	for i := range g.columns {
		if g.columns[i].IsNull(row) {
			return -1
		}
	}
	g.scratch = feature.AppendKey(g.scratch[:0], g.columns, row)
	if len(g.scratch) > feature.MaxKeyBytes {
		return -1 // no such row can have been written
	}
	if at, ok := g.index[string(g.scratch)]; ok {
		return at
	}
	key, at := g.arena.Copy(g.scratch), int32(len(g.query.Keys))
	g.index[key] = at
	g.query.Keys, g.firsts = append(g.query.Keys, key), append(g.firsts, int32(row))
	return at
}

// fail turns an inner error into what the caller is told.
func (s *Service) fail(ctx context.Context, err error) *Error {
	e := &Error{Code: CodeInternal, Message: "the lookup failed inside; the server's log has the cause", cause: err}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Message = CodeDeadlineExceeded, "the store did not answer in time"
	case errors.Is(ctx.Err(), context.Canceled):
		e.Code, e.Message = CodeCanceled, "the caller went away"
	case s.unavailable(err):
		e.Code, e.Message = CodeUnavailable, "the store cannot be read now; retry later"
	}
	if e.Code != CodeCanceled {
		s.tellFailed(err)
	}
	return e
}

func (s *Service) countValues(r *Response) {
	if s.events.Values == nil {
		return
	}
	for status, n := range r.counts {
		if n > 0 {
			s.events.Values(Status(status), n)
		}
	}
}
