package serving

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// Explanation says where each value of an answer for one entity came from. It
// points into the Response and lives as long.
type Explanation struct {
	Values []ExplainedValue // parallel to Read.Outputs
	Rows   []ExplainedRow   // stored rows that were read, or looked for
	Took   time.Duration    // the whole lookup
}

// ExplainedValue is a value and its history.
type ExplainedValue struct {
	Value

	Row     int           // in Explanation.Rows; -1 when no row was looked for, and on demand
	Rows    []int         // the same, of all rows that an on-demand value is computed from
	Phase   feature.Phase // which half computes the feature
	Expr    string
	Inputs  []ExplainedInput  // what a computed value was made from: stored columns and windows; on demand features, times and request data
	Windows []ExplainedWindow // that the value is or is computed from
	Why     string            // why the status is not PRESENT; "" if it is

	Prediction *ExplainedPrediction // of an output of a model; then Inputs are the model's, and Row is where predictions are stored
}

// ExplainedPrediction is a prediction that was read, or looked for.
type ExplainedPrediction struct {
	Model, Version string // as they are wanted
	Found          bool   // one is stored, of which the rest tells
	StoredVersion  string
	By             string // what had it computed
	Catalog        int64  // version of the catalog of the process that stored it
	Stale          transforms.StaleRule
	Changed        string // the view of the input that made it stale, if one did
}

// ExplainedInput is a stored column of the entity's row, or an input of an
// on-demand view.
type ExplainedInput struct {
	Name   string
	Column *feature.Column
	Row    int
}

// ExplainedRow is the stored row of one view.
type ExplainedRow struct {
	View   *feature.View
	Source string
	Key    string // entity key
	Found  bool   // it is there, deleted or not; Origin is zero otherwise
	Origin feature.StoredOrigin
	Took   time.Duration // of the store read that brought it; rows of one entity share one
}

// Deleted reports whether the row stands for a deletion.
func (r *ExplainedRow) Deleted() bool { return r.Origin.Flags&feature.RowDeleted != 0 }

// Record names the record that the row came from, "trips/3@81234": source,
// partition, offset; and "#2" after it for an element of an unnested record.
// One that came through the API is "trips/push@" and a number.
func (r *ExplainedRow) Record() string {
	seq := r.Origin.Sequence
	partition := strconv.Itoa(int(r.Origin.Partition))
	if r.Origin.Partition == feature.PushedPartition {
		partition = "push"
	}
	name := fmt.Sprintf("%s/%s@%d", r.Source, partition, seq.Offset())
	if seq.Element() > 0 {
		name += "#" + strconv.Itoa(seq.Element())
	}
	return name
}

// Explain answers req, which has one row, into resp as Lookup does, and says
// where the values came from. It makes garbage and is for people.
func (s *Service) Explain(ctx context.Context, req *Request, resp *Response) (*Explanation, *Error) {
	resp.Release()
	switch {
	case req.Rows == 0:
		return nil, Errorf(CodeMissingEntity, "no entity is given").At("entities", "give one entity")
	case req.Rows > 1:
		return nil, Errorf(CodeTooManyEntities, "%d entities are given, one can be explained at a time", req.Rows).
			At("entities", "give one entity")
	}
	begin, complete := s.clock(), req.Complete
	req.noting, req.Complete = true, true
	defer func() { req.noting, req.Complete = false, complete }()
	if err := s.Lookup(ctx, req, resp); err != nil {
		return nil, err
	}
	e := &Explanation{Took: s.clock().Sub(begin)}
	for i := range resp.read.outputs {
		e.Values = append(e.Values, e.value(req, resp, i))
	}
	return e, nil
}

func (e *Explanation) value(req *Request, resp *Response, output int) ExplainedValue {
	o := &resp.read.outputs[output]
	if o.model >= 0 {
		return e.prediction(req, resp, o, resp.Value(output, 0))
	}
	if o.onDemand >= 0 {
		return e.onDemand(req, resp, o)
	}
	return e.stored(req, resp, o, resp.Value(output, 0), o.limit(req.maxAge[o.alias]))
}

// stored explains a feature of a view, which has value.
func (e *Explanation) stored(req *Request, resp *Response, o *Output, value Value, limit ageLimit) ExplainedValue {
	plan, g := resp.read.groups[o.group].views[o.view].plan, &resp.st.groups[o.group]
	f := &plan.View.Features[featureIndex(plan.View, o.Feature)]
	v := ExplainedValue{Value: value, Row: -1, Phase: f.At, Expr: exprOf(plan, o.Feature)}
	key := int(g.slots[0])
	if key < 0 {
		v.Why = req.whyNoKey(resp.read.groups[o.group].keys)
		return v
	}
	v.Windows, v.Inputs = e.windows(resp, o, key), windowInputs(g, o, key)
	if o.rowless {
		v.Why = whyWindows(&v)
		e.failure(&v, g, o, key)
		return v
	}
	l := g.rows[o.view]
	v.Row = e.row(plan, g, l, key)
	if f.At == feature.PhaseRead && l.Found.Get(key) {
		for _, c := range plan.Inputs(o.Feature) {
			at := slices.Index(g.readers[o.view].Columns(), c)
			v.Inputs = append(v.Inputs, ExplainedInput{Name: c.Name, Column: &l.Columns[at], Row: key})
		}
	}
	v.Why = e.why(&v, limit)
	e.failure(&v, g, o, key)
	return v
}

// failure explains a value that could not be computed.
func (e *Explanation) failure(v *ExplainedValue, g *groupState, o *Output, key int) {
	if message, failed := g.readers[o.view].Failure(o.nth, key); failed && v.Status == StatusError {
		v.Why = "computing it failed: " + message
	}
}

// row returns the place in Rows of the row of a view under a key: it is one row,
// however many values come from it.
func (e *Explanation) row(plan *transforms.Plan, g *groupState, l *feature.Loaded, key int) int {
	source := ""
	if plan.Source != nil {
		source = plan.Source.Name
	}
	return e.rowOf(plan.View, source, g, l, key)
}

func (e *Explanation) rowOf(view *feature.View, source string, g *groupState, l *feature.Loaded, key int) int {
	r := ExplainedRow{
		View: view, Source: source, Key: g.query.Keys[key],
		Found: l.Found.Get(key) || l.Origins[key].Flags&feature.RowDeleted != 0, Origin: l.Origins[key], Took: g.took,
	}
	at := slices.IndexFunc(e.Rows, func(x ExplainedRow) bool { return x.View == r.View && x.Key == r.Key })
	if at < 0 {
		at = len(e.Rows)
		e.Rows = append(e.Rows, r)
	}
	return at
}

// why explains a status in words.
func (e *Explanation) why(v *ExplainedValue, limit ageLimit) string {
	switch row := &e.Rows[v.Row]; v.Status {
	case StatusNull:
		if v.Phase == feature.PhaseRead {
			return "the expression is null"
		}
		return "null was stored"
	case StatusNotFound:
		switch {
		case !row.Found:
			return "nothing is stored for the entity"
		case row.Deleted():
			return "the row was deleted"
		default:
			return "the row was stored before the feature existed"
		}
	case StatusOutsideMaxAge:
		return fmt.Sprintf("the event is older than %s", limit.age)
	case StatusError, StatusPresent:
	}
	return ""
}

// whyNoKey says why the first row has no entity key of these columns.
func (r *Request) whyNoKey(keys []int) string {
	if r.isNull(keys, 0) {
		return "a join key is null"
	}
	return fmt.Sprintf("the entity key exceeds %d bytes, so nothing can be stored for it", feature.MaxKeyBytes)
}
