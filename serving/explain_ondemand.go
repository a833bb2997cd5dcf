package serving

import (
	"slices"
	"strings"

	"millrace/feature"
	"millrace/transforms"
)

// onDemand explains an on-demand feature: what it was computed from, and where
// that came from.
func (e *Explanation) onDemand(req *Request, resp *Response, o *Output) ExplainedValue {
	d, s := &resp.read.onDemand[o.onDemand], &resp.st.onDemand[o.onDemand]
	f := &d.plan.View.Features[indexOf(d.plan.View.Features, o.Feature)]
	v := ExplainedValue{Value: resp.onDemandValue(o, 0), Row: -1, Phase: feature.PhaseRead, Expr: f.Expr}
	var whys strings.Builder
	for _, at := range d.of[o.nth] {
		in := s.reader.Inputs()[at]
		v.Inputs = append(v.Inputs, ExplainedInput{Name: in.String(), Column: s.columns[at], Row: 0})
		if in.Kind == transforms.InputRequest {
			continue
		}
		x := e.input(req, resp, o.onDemand, at)
		if x.Row >= 0 && !slices.Contains(v.Rows, x.Row) {
			v.Rows = append(v.Rows, x.Row)
		}
		v.Windows = append(v.Windows, x.Windows...)
		if x.Why != "" {
			whys.WriteString("; " + in.String() + ": " + x.Why)
		}
	}
	message, failed := s.reader.Failure(o.nth, 0)
	switch {
	case failed:
		v.Why = "computing it failed: " + message
	case v.Status == StatusError:
		v.Why = "the expression is null, and an input failed" + whys.String()
	case v.Status == StatusNull:
		v.Why = "the expression is null" + whys.String()
	}
	return v
}

// input explains input at of on-demand view n, which is of a view.
func (e *Explanation) input(req *Request, resp *Response, n, at int) ExplainedValue {
	d := &resp.read.onDemand[n]
	in, g := d.inputs[at], &resp.st.groups[d.group]
	key := g.slots[0]
	if in.kind == transforms.InputFeature {
		h := &resp.read.hidden[in.index]
		c := h.at(resp.st.onDemand[n].keys[at], key)
		return e.stored(req, resp, &h.Output, Value{Status: c.status, Origin: c.origin}, h.limit(req.maxAge))
	}
	x := ExplainedValue{Row: -1}
	if key < 0 {
		x.Why = "a join key is null"
		return x
	}
	l := g.rows[in.view]
	x.Row = e.row(resp.read.groups[d.group].views[in.view].plan, g, l, int(key))
	if !l.Found.Get(int(key)) {
		x.Why = "nothing is stored for the entity"
	}
	return x
}
