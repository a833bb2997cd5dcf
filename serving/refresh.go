package serving

import (
	"context"
	"fmt"

	"millrace/feature"
	"millrace/transforms"
)

// maxWrites is how often a refresh writes one key before it leaves it.
const maxWrites = 3

// Refresh brings the stored predictions of entity keys up to date and returns
// what became of each, in dst, parallel to keys. It reads inputs and
// predictions, infers and stores those that are not fresh, and looks again: a
// key is done when the stored prediction is that of its inputs, whoever wrote it.
// by is one of transforms.By…, of which ByWrite and ByAll also take the place of
// what clients wrote. It blocks until all have their end, or ctx ends. An error
// is for all keys: there is no such model, the store failed, or ctx ended.
//
// A key that is written by others at the same time costs a few calls, never a
// wrong prediction: which one is served is decided at every read.
func (s *Service) Refresh(ctx context.Context, model string, keys []string, by string, dst []RefreshEnd) ([]RefreshEnd, error) {
	return s.refresh(ctx, model, keys, nil, by, dst)
}

// refreshing is one Refresh. Its slices are parallel to keys.
type refreshing struct {
	service *Service
	read    *Read
	model   *modelRead
	by      string
	keys    []string
	ends    []RefreshEnd
	writes  []int
	stamps  []int64 // of what was written last; 0 if nothing was
	pending []int
}

// refresh is Refresh; stamps, if any, are those of predictions that the caller
// has just stored.
//
// A row that cannot be read fails the read of all keys. They are refreshed in
// halves then, and again, until its key is alone: those beside it are not to fail
// with it at every try.
func (s *Service) refresh(ctx context.Context, model string, keys []string, stamps []int64, by string, dst []RefreshEnd) ([]RefreshEnd, error) {
	f, err := s.newRefreshing(model, keys, stamps, by, dst)
	if err != nil {
		return dst[:0], err
	}
	for len(f.pending) > 0 && err == nil {
		err = f.round(ctx)
	}
	if err != nil && s.damaged(err) && len(keys) > 1 {
		return f.ends, f.halves(ctx)
	}
	f.tell()
	if err != nil {
		return f.ends, fmt.Errorf("refresh predictions of model %s: %w", model, err)
	}
	return f.ends, nil
}

// halves begins anew with half of the keys and then with the others. What fails
// of a single key is its end.
func (f *refreshing) halves(ctx context.Context) error {
	name, half := f.model.plan.Model.Name, len(f.keys)/2
	for _, of := range [...][2]int{{0, half}, {half, len(f.keys)}} {
		keys, stamps := f.keys[of[0]:of[1]], f.stamps[of[0]:of[1]]
		ends, err := f.service.refresh(ctx, name, keys, stamps, f.by, nil)
		switch {
		case err == nil:
			copy(f.ends[of[0]:of[1]], ends)
		case len(keys) == 1 && f.service.damaged(err):
			f.service.tellFailed(err)
			f.ends[of[0]] = RefreshFailed
		default:
			return err
		}
	}
	return nil
}

func (s *Service) newRefreshing(model string, keys []string, stamps []int64, by string, dst []RefreshEnd) (*refreshing, error) {
	read := s.current.Load().refreshes[model]
	if read == nil {
		return nil, fmt.Errorf("refresh predictions of model %s: none of its predictions are computed and stored", model)
	}
	f := &refreshing{
		service: s, read: read, model: &read.models[0], by: by, keys: keys,
		ends: append(dst[:0], make([]RefreshEnd, len(keys))...), writes: make([]int, len(keys)), stamps: make([]int64, len(keys)),
	}
	for i := range keys {
		f.ends[i] = RefreshFailed
		f.pending = append(f.pending, i)
		if stamps != nil && stamps[i] != 0 {
			f.stamps[i], f.writes[i] = stamps[i], 1
		}
	}
	return f, nil
}

func (f *refreshing) tell() {
	if f.service.events.Refreshed == nil {
		return
	}
	var counts [Refreshes]int
	for _, e := range f.ends {
		counts[e]++
	}
	for e, n := range counts {
		if n > 0 {
			f.service.events.Refreshed(f.model.plan.Model.Name, f.by, RefreshEnd(e), n)
		}
	}
}

// round looks at all pending keys once, and leaves those pending that it wrote.
func (f *refreshing) round(ctx context.Context) error {
	s := f.service
	req, err := f.request()
	if err != nil {
		return err
	}
	if req.Rows == 0 {
		return nil
	}
	st, err := f.read.state()
	if err != nil {
		return err
	}
	resp := new(Response)
	now := s.clock()
	if err := s.read(ctx, req, st, now); err != nil {
		return err // the state is not pooled again, as in Lookup
	}
	resp.fill(req, st, now.UnixMicro(), nil)
	defer resp.Release()
	lacking := f.judge(req, resp)
	if len(lacking) == 0 {
		f.pending = f.pending[:0]
		return nil
	}
	s.infer(ctx, req, resp, 0)
	return f.keep(ctx, resp)
}

// request makes the lookup of the pending keys. Those that no key of the entity
// reads as have their end.
func (f *refreshing) request() (*Request, error) {
	e := f.model.plan.Entity
	columns := emptyKeys(e)
	pending := f.pending[:0]
	for _, i := range f.pending {
		if feature.ParseKey(f.keys[i], columns) != nil {
			f.ends[i] = RefreshRefused
			continue
		}
		pending = append(pending, i)
	}
	f.pending = pending
	req := new(Request)
	req.Reset(f.read)
	req.Rows = len(pending)
	for i, k := range f.read.groups[f.model.group].keys {
		req.Columns[k] = columns[i]
	}
	for i := range req.Columns {
		if req.Columns[i].Len() != req.Rows {
			return nil, fmt.Errorf("its inputs ask for %s, which is no join key of entity %s", f.read.columns[i].Name, e.Name)
		}
	}
	return req, nil
}

// judge gives the pending keys their end that have one, and returns the units
// to infer.
func (f *refreshing) judge(req *Request, resp *Response) []int32 {
	p := forRefresh
	if f.by != transforms.ByRead {
		p = forAll
	}
	resp.judge(req, 0, p)
	st, slots := &resp.st.models[0], resp.st.groups[f.model.group].slots
	for row, i := range f.pending {
		if slots[row] < 0 {
			f.ends[i] = RefreshRefused
			continue
		}
		f.ends[i] = f.end(&st.units[slots[row]], i)
	}
	lacking := st.lacking[:0]
	for at, u := range st.lacking {
		if f.ends[f.pending[resp.st.groups[f.model.group].firsts[u]]] == RefreshFailed {
			st.prints[len(lacking)] = st.prints[at]
			lacking = append(lacking, u)
		}
	}
	st.lacking, st.prints = lacking, st.prints[:len(lacking)]
	return lacking
}

// end is the end of key i, whose prediction is u; RefreshFailed if it is yet to
// come.
func (f *refreshing) end(u *unit, i int) RefreshEnd {
	wrote := f.stamps[i] != 0
	switch state := u.verdict.State; {
	case state == transforms.PredictionFresh, state == transforms.PredictionClient && (wrote || f.by == transforms.ByRead):
		if !wrote {
			return RefreshFresh
		}
		if u.stamp != f.stamps[i] {
			f.service.tellKept(f.model.plan.Model.Name, KeptLost, 1)
		}
		return RefreshStored
	case u.verdict.Newer:
		return RefreshNewer
	case u.ahead && f.by == transforms.ByRead:
		return RefreshMoving
	case f.writes[i] >= maxWrites:
		return RefreshMoving
	}
	return RefreshFailed
}

// keep stores what was inferred, gives those that were not their end, and leaves
// the others pending.
func (f *refreshing) keep(ctx context.Context, resp *Response) error {
	st, g := &resp.st.models[0], &resp.st.groups[f.model.group]
	endOf := make([]RefreshEnd, len(g.query.Keys)) // by unit; of those that are done, whatever
	stamps := make([]int64, len(g.query.Keys))     // of what is written, by unit; 0 of others
	for u := range st.units {
		if st.units[u].origin == OriginFailed { // an input failed
			endOf[u] = RefreshRefused
		}
	}
	k := &keeping{plan: f.model.plan, outputs: st.result.Outputs, at: resp.NowMicros, catalog: f.read.catalog, by: f.by}
	for at, u := range st.lacking {
		if fault := st.result.Faults[at]; fault.Reason != "" {
			endOf[u] = RefreshFailed
			if fault.Lasting {
				endOf[u] = RefreshRefused
			}
			continue
		}
		stamps[u] = k.add(g.query.Keys[u], st.prints[at], at, &st.units[u])
	}
	refused, err := f.service.keep(ctx, k)
	if err != nil {
		return err
	}
	for _, n := range refused {
		u := g.index[k.keys[n]]
		stamps[u], endOf[u] = 0, RefreshRefused
	}
	pending := f.pending[:0]
	for row, i := range f.pending {
		u := g.slots[row]
		if u < 0 || f.ends[i] != RefreshFailed {
			continue
		}
		f.ends[i] = endOf[u]
		if stamps[u] != 0 {
			f.ends[i] = RefreshFailed
			f.stamps[i], f.writes[i] = stamps[u], f.writes[i]+1
			pending = append(pending, i)
		}
	}
	f.pending = pending
	return nil
}
