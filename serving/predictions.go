package serving

import (
	"strings"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// Details of origins that are neither a rule of staleness nor a fault's reason.
const (
	detailMissing  = "missing"  // nothing was stored
	detailUncached = "uncached" // nothing is ever stored

	reasonInput      = "input" // an input could not be computed
	reasonOverloaded = "overloaded"
	reasonCanceled   = "canceled"
	reasonMalformed  = "malformed"
)

// purpose is what predictions are judged for.
type purpose uint8

const (
	forAnswer  purpose = iota // of a lookup: what may be served is not computed
	forRefresh                // what is not fresh is computed, if no client wrote it
	forAll                    // whatever is not of these inputs is computed
)

// judge decides what is known of every unit of a model, and which are to be
// inferred.
func (r *Response) judge(req *Request, i int, p purpose) {
	m, s := &r.read.models[i], &r.st.models[i]
	s.units, s.lacking, s.prints, s.later = s.units[:0], s.lacking[:0], s.prints[:0], s.later[:0]
	if m.stored < 0 {
		r.judgeRows(req, m, s)
		return
	}
	g, maxAge := &r.st.groups[m.group], m.maxAge(req.maxAge)
	if s.printer != nil && m.plan.Model.Fingerprint == feature.FingerprintValues {
		r.gatherInputs(req, m, s)
	}
	for key := range g.query.Keys {
		stored := m.plan.Prediction(g.stored[m.stored], key)
		r.fingerprint(m, s, key)
		u := unit{inferred: -1, at: stored.AtMicros, stamp: stored.Stamp}
		u.ahead = stored.AtMicros > r.NowMicros
		u.verdict = m.plan.Judge(&stored, s.printed, r.read.catalog, r.NowMicros, maxAge)
		u.decide(&stored, p)
		switch {
		case u.wanted(m, p):
			s.lacking, s.prints = append(s.lacking, int32(key)), append(s.prints, string(s.printed))
		case u.origin == OriginStale && m.plan.Model.RefreshOnRead:
			s.later = append(s.later, strings.Clone(g.query.Keys[key]))
		case u.origin == OriginNone && stored.Found:
			u.outdated(m, r.NowMicros, maxAge)
		}
		s.units = append(s.units, u)
	}
}

// judgeRows makes a unit of every row: nothing is stored of them.
func (r *Response) judgeRows(req *Request, m *modelRead, s *modelState) {
	for row := range r.Rows {
		u := unit{inferred: -1, status: StatusNotFound}
		if !req.isNull(r.read.groups[m.group].keys, row) {
			s.lacking = append(s.lacking, int32(row))
		}
		s.units = append(s.units, u)
	}
}

// isNull reports whether one of the key columns is null in a row.
func (r *Request) isNull(keys []int, row int) bool {
	for _, k := range keys {
		if r.Columns[k].IsNull(row) {
			return true
		}
	}
	return false
}

// fingerprint leaves the one of a key's inputs in s.printed; empty if clients
// write the predictions.
func (r *Response) fingerprint(m *modelRead, s *modelState, key int) {
	s.printed = s.printed[:0]
	if s.printer == nil {
		return
	}
	row := int(r.st.groups[m.group].firsts[key])
	if m.plan.Model.Fingerprint == feature.FingerprintValues {
		s.printed = s.printer.AppendValues(s.printed, s.columns, row, r.inputFailed(m, s, row))
		return
	}
	s.printer.Begin()
	for i, src := range m.sources {
		if src.view < 0 {
			s.printer.Add(i, nil, nil, 0)
			continue
		}
		g := &r.st.groups[src.group]
		s.printer.Add(i, g.rows[src.view], g.windows.readers[src.view], int(g.slots[row]))
	}
	s.printed = s.printer.Append(s.printed)
}

// decide says what of the stored prediction is served, if anything is.
func (u *unit) decide(stored *transforms.StoredPrediction, p purpose) {
	u.status = StatusNotFound
	if !u.verdict.Serve || p != forAnswer {
		return
	}
	u.status = StatusPresent
	switch u.verdict.State {
	case transforms.PredictionFresh:
		u.origin, u.detail = OriginFresh, stored.By
	case transforms.PredictionClient:
		u.origin = OriginClient
	case transforms.PredictionStale:
		u.origin, u.detail = OriginStale, string(u.verdict.Rule)
	case transforms.PredictionMissing:
	}
}

// wanted reports whether a prediction is to be computed.
func (u *unit) wanted(m *modelRead, p purpose) bool {
	switch {
	case m.predict == nil:
		return false
	case p == forAnswer:
		return u.origin == OriginNone && m.plan.Model.RefreshOnRead
	case u.verdict.State == transforms.PredictionClient:
		return p == forAll
	case p == forRefresh && u.ahead:
		return false
	default:
		return u.verdict.State != transforms.PredictionFresh && !u.verdict.Newer
	}
}

// outdated is what becomes of a stored prediction that is not fresh and that
// reads do not compute.
func (u *unit) outdated(m *modelRead, nowMicros int64, maxAge time.Duration) {
	u.status = StatusOutsideMaxAge
	if m.servesLast(u.at, nowMicros, maxAge) {
		u.status, u.origin, u.detail = StatusPresent, OriginLastValue, string(u.verdict.Rule)
	}
}

// cause is why a prediction is computed.
func (u *unit) cause(m *modelRead) string {
	switch {
	case m.stored < 0:
		return detailUncached
	case u.verdict.State == transforms.PredictionMissing:
		return detailMissing
	default:
		return string(u.verdict.Rule)
	}
}

// gatherInputs makes the inputs of a model, a row for every row of the request.
func (r *Response) gatherInputs(req *Request, m *modelRead, s *modelState) {
	for n := range m.inputs {
		in := &m.inputs[n]
		if in.onDemand >= 0 {
			s.columns[n] = r.gatherOnDemand(&s.own[n], in)
			continue
		}
		h := &r.read.hidden[in.index]
		g := &r.st.groups[h.group]
		s.cells[n] = h.cells(s.cells[n][:0], g, h.limit(req.maxAge), r.NowMicros)
		s.columns[n] = h.gather(&s.own[n], g, s.cells[n])
	}
}

// gatherOnDemand copies a feature of an on-demand view as it would be served.
func (r *Response) gatherOnDemand(dst *feature.Column, in *modelInput) *feature.Column {
	s := &r.st.onDemand[in.onDemand]
	dst.Reset(dst.Type)
	dst.Resize(r.Rows)
	for row := range r.Rows {
		switch s.cells[in.index*r.Rows+row].origin {
		case OriginComputed:
			dst.CopyRow(row, s.reader.Column(in.index), row)
		case OriginDefault:
			dst.CopyRow(row, in.dflt, 0)
		default:
		}
	}
	return dst
}

// inputFailed reports whether an input of a row could not be computed: a failure
// is not an absence, so nothing is inferred from it.
func (r *Response) inputFailed(m *modelRead, s *modelState, row int) bool {
	for n := range m.inputs {
		in := &m.inputs[n]
		if in.onDemand >= 0 {
			if r.st.onDemand[in.onDemand].cells[in.index*r.Rows+row].status == StatusError {
				return true
			}
			continue
		}
		h := &r.read.hidden[in.index]
		if h.at(s.cells[n], r.st.groups[h.group].slots[row]).status == StatusError {
			return true
		}
	}
	return false
}

// prediction is the value of an output for a row of the request.
func (r *Response) prediction(o *Output, row int) Value {
	at := r.read.models[o.model].unitOf(r, row)
	if at < 0 {
		return Value{Status: StatusNotFound}
	}
	return r.unitValue(o, at)
}

// unitValue is the value of an output for a unit.
func (r *Response) unitValue(o *Output, at int) Value {
	m, s := &r.read.models[o.model], &r.st.models[o.model]
	u := &s.units[at]
	v := Value{Status: u.status, Origin: u.origin, Detail: u.detail, Row: at}
	switch {
	case u.status != StatusPresent:
		return v
	case u.inferred >= 0:
		v.Column, v.Row = &s.result.Outputs[o.nth], int(u.inferred)
	default:
		v.Column = &r.st.groups[m.group].stored[m.stored].Columns[o.nth]
	}
	v.HasTime, v.EventMicros = true, u.at
	if v.Column.IsNull(v.Row) {
		v.Status = StatusNull
	}
	return v
}

// countPredictions takes outputs of models into the counts, and tells of them.
func (s *Service) countPredictions(r *Response) {
	for i := range r.read.outputs {
		o := &r.read.outputs[i]
		if o.model < 0 {
			continue
		}
		for at := range r.st.models[o.model].units {
			r.counts[r.unitValue(o, at).Status]++
		}
	}
	for i := range r.read.models {
		s.tellPredictions(r, i)
	}
}

func (s *Service) tellPredictions(r *Response, i int) {
	type ending struct {
		origin Origin
		detail string
	}
	name := r.read.models[i].plan.Model.Name
	units := r.st.models[i].units
	var ends []ending
	var counts []int
	for n := range units {
		u := &units[n]
		at := indexOrAppend(&ends, ending{u.origin, u.detail})
		if at == len(counts) {
			counts = append(counts, 0)
		}
		counts[at]++
		if u.status == StatusPresent && u.inferred < 0 && s.events.PredictionAge != nil {
			s.events.PredictionAge(name, time.Duration(max(r.NowMicros-u.at, 0))*time.Microsecond)
		}
	}
	if s.events.Predicted == nil {
		return
	}
	for at, e := range ends {
		s.events.Predicted(name, e.origin, e.detail, counts[at])
	}
}
