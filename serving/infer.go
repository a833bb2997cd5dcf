package serving

import (
	"context"
	"fmt"
	"sync"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// predict decides the outputs of models of a response: stored ones that may be
// served are; others are computed within the deadline, kept, and served.
func (s *Service) predict(ctx context.Context, req *Request, resp *Response) *Error {
	if len(resp.read.models) == 0 {
		return nil
	}
	lacking := 0
	for i := range resp.read.models {
		resp.judge(req, i, forAnswer)
		lacking += len(resp.st.models[i].lacking)
	}
	if lacking > 0 {
		select {
		case s.waiting <- struct{}{}:
			s.compute(ctx, req, resp)
			<-s.waiting
		default: // a model that is slow is not to keep lookups out that do not need it
			resp.refuse(req)
		}
	}
	s.countPredictions(resp)
	for i := range resp.read.models {
		m, st := &resp.read.models[i], &resp.st.models[i]
		s.behind.later(m.plan.Model.Name, st.later, nil)
		if err := resp.failed(m, st); err != nil {
			return err
		}
	}
	return nil
}

// refuse makes faults of the predictions that a lookup lacks.
func (r *Response) refuse(req *Request) {
	for i := range r.st.models {
		st := &r.st.models[i]
		st.result = failedWith(reasonOverloaded, len(st.lacking))
		r.serve(req, i)
	}
}

// failedWith is what became of n rows that all failed for one reason.
func failedWith(reason string, n int) *Inferred {
	r := &Inferred{Faults: make([]InferenceFault, n)}
	for at := range r.Faults {
		r.Faults[at].Reason = reason
	}
	return r
}

// compute infers what the models of a lookup lack, of all at the same time.
func (s *Service) compute(ctx context.Context, req *Request, resp *Response) {
	ctx, cancel := early(ctx)
	defer cancel()
	var wait sync.WaitGroup
	for i := range resp.read.models {
		if len(resp.st.models[i].lacking) > 0 {
			wait.Go(func() { s.inferAndKeep(ctx, req, resp, i) })
		}
	}
	wait.Wait()
}

// early returns a context that ends soon enough before ctx for what could not
// be computed to be answered.
func early(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	margin := min(max(time.Until(end)/10, 2*time.Millisecond), 50*time.Millisecond)
	return context.WithDeadline(ctx, end.Add(-margin))
}

// failed is the request's end if a model says that it fails with it.
func (r *Response) failed(m *modelRead, st *modelState) *Error {
	if m.plan.Model.OnError != feature.ModelErrorFail {
		return nil
	}
	for i := range st.units {
		if u := &st.units[i]; u.origin == OriginFailed {
			name := m.plan.Model.Name
			return Errorf(CodePredictionFailed, "model %s has computed no prediction: %s", name, u.detail).
				At("features", "retry later, or ask without "+name)
		}
	}
	return nil
}

// inferAndKeep computes the predictions of a model that a lookup lacks. It
// returns when they are stored, or ctx ends: then they are stored behind it.
func (s *Service) inferAndKeep(ctx context.Context, req *Request, resp *Response, i int) {
	s.infer(ctx, req, resp, i)
	resp.serve(req, i)
	if k := resp.kept(i); k != nil {
		s.behind.keep(ctx, k)
	}
}

// infer fills the result of a model for its units to do. Units whose inputs
// have failed are taken out of these.
func (s *Service) infer(ctx context.Context, req *Request, resp *Response, i int) {
	m, st := &resp.read.models[i], &resp.st.models[i]
	if m.stored < 0 || m.plan.Model.Fingerprint != feature.FingerprintValues {
		resp.gatherInputs(req, m, st)
	}
	resp.dropFailed(m, st)
	n := len(st.lacking)
	st.result = &Inferred{}
	if n == 0 {
		return
	}
	for c := range st.inputs {
		st.inputs[c].Reset(m.plan.Inputs[c].Type)
		st.inputs[c].Resize(n)
		for at, u := range st.lacking {
			st.inputs[c].CopyRow(at, st.columns[c], resp.rowOf(m, u))
		}
	}
	q := &Inference{Inputs: st.asked, Rows: n}
	if m.stored >= 0 {
		q.Keys = make([]InferenceKey, n)
		for at, u := range st.lacking {
			q.Keys[at] = InferenceKey{Entity: resp.st.groups[m.group].query.Keys[u], Fingerprint: st.prints[at]}
		}
	}
	if err := m.predict.Predict(ctx, q, st.result); err != nil {
		s.tellFailed(fmt.Errorf("infer %d rows: %w", n, err))
		st.result = failedWith(reasonCanceled, n)
	}
	st.result.Shared = st.result.Shared.Resize(n)
	st.result.refuseGaps()
}

// refuseGaps makes faults of predictions that lack an output: a Predictor that
// does not keep its word stores nothing.
func (r *Inferred) refuseGaps() {
	for at := range r.Faults {
		for i := range r.Outputs {
			if r.Faults[at].Reason == "" && r.Outputs[i].IsNull(at) {
				r.Faults[at].Reason = reasonMalformed
			}
		}
	}
}

// rowOf is a row of the request that a unit is of.
func (r *Response) rowOf(m *modelRead, u int32) int {
	if m.stored < 0 {
		return int(u)
	}
	return int(r.st.groups[m.group].firsts[u])
}

// dropFailed takes units out of those to do whose inputs have failed.
func (r *Response) dropFailed(m *modelRead, st *modelState) {
	kept := 0
	for at, u := range st.lacking {
		if r.inputFailed(m, st, r.rowOf(m, u)) {
			st.units[u].origin, st.units[u].detail = OriginFailed, reasonInput
			continue
		}
		st.lacking[kept] = u
		if m.stored >= 0 {
			st.prints[kept] = st.prints[at]
		}
		kept++
	}
	st.lacking = st.lacking[:kept]
	if m.stored >= 0 {
		st.prints = st.prints[:kept]
	}
}

// serve makes what was inferred, or failed, part of the answer.
func (r *Response) serve(req *Request, i int) {
	m, st := &r.read.models[i], &r.st.models[i]
	for at, u := range st.lacking {
		x := &st.units[u]
		if f := &st.result.Faults[at]; f.Reason != "" {
			x.origin, x.detail = OriginFailed, f.Reason
			continue
		}
		x.status, x.origin, x.detail = StatusPresent, OriginPredicted, x.cause(m)
		x.at, x.inferred = r.NowMicros, int32(at)
	}
	maxAge := m.maxAge(req.maxAge)
	for u := range st.units {
		x := &st.units[u]
		if x.origin != OriginFailed {
			continue
		}
		x.status = StatusError
		if m.stored >= 0 && x.verdict.State == transforms.PredictionStale && m.servesLast(x.at, r.NowMicros, maxAge) {
			x.status, x.origin = StatusPresent, OriginLastValue
		}
	}
}

// kept is what of a model's result is to be stored; nil if nothing is. What is
// shared others store.
func (r *Response) kept(i int) *keeping {
	m, st := &r.read.models[i], &r.st.models[i]
	if m.stored < 0 {
		return nil
	}
	k := &keeping{plan: m.plan, outputs: st.result.Outputs, at: r.NowMicros, catalog: r.read.catalog, by: transforms.ByRead}
	for at, u := range st.lacking {
		switch {
		case st.result.Faults[at].Reason != "" || st.result.Shared.Get(at):
		case st.units[u].verdict.Newer:
			k.newer++
		case st.units[u].ahead:
			k.lost++
		default:
			k.add(r.st.groups[m.group].query.Keys[u], st.prints[at], at, &st.units[u])
		}
	}
	if len(k.keys)+k.newer+k.lost == 0 {
		return nil
	}
	return k
}
