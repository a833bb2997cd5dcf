package sample

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"millrace/feature"
	"millrace/pipeline"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
	"millrace/sources"
	"millrace/transforms"
)

// The ends that `millrace try` shows.
const (
	EndRow      = "row"        // it would be stored
	EndDeleted  = "deleted"    // it would take its entity's row away
	EndFiltered = "filtered"   // the view does not want it
	EndReject   = "reject"     // it would be a dead letter
	EndNone     = "no row"     // the record has none: an empty list, an ignored tombstone
	EndOther    = "other view" // it is for another view
)

// Outcome is what would become of one row of a record.
type Outcome struct {
	Record    string `json:"record"` // trips/3@81234, with #element beyond the first
	End       string `json:"end"`
	EventTime string `json:"event_time,omitempty"`
	Keys      Values `json:"keys,omitempty"`
	Features  Values `json:"features,omitempty"`

	Stage   feature.Stage  `json:"stage,omitempty"`
	Reason  feature.Reason `json:"reason,omitempty"`
	Message string         `json:"message,omitempty"`
}

// View runs records through one view as a lane would, and stores nothing.
type View struct {
	route  *pipeline.Route
	view   int
	plan   *transforms.Plan
	reader *transforms.Reader
	loaded feature.Loaded
	now    time.Time
	lanes  map[int32]*lane
}

// lane is what a partition has of its own: decoders remember what came before.
type lane struct {
	raw, finished half
	fields        half // raw, by the fields' names; made when it is needed
	encoder       sinks.Encoder
	buffer        sinks.Buffer
	batch         feature.Batch
	rows          feature.Rows
}

// half is a decoder and the write half behind it.
type half struct {
	fields      []feature.Field
	decoder     sources.Decoder
	transformer pipeline.Transformer
}

// NewView makes what tries records of route on the view of plan at time now.
func NewView(route *pipeline.Route, plan *transforms.Plan, now time.Time) (*View, error) {
	i := slices.IndexFunc(route.Views, func(v pipeline.RouteView) bool { return v.View.Name == plan.View.Name })
	if i < 0 {
		return nil, fmt.Errorf("try view %s: source %s does not feed it", plan.View.Name, route.Source)
	}
	names := make([]string, len(plan.View.Features))
	for j, f := range plan.View.Features {
		names[j] = f.Name
	}
	r, err := plan.NewReader(names)
	if err != nil {
		return nil, fmt.Errorf("try view %s: %w", plan.View.Name, err)
	}
	return &View{route: route, view: i, plan: plan, reader: r, now: now, lanes: make(map[int32]*lane)}, nil
}

func (v *View) lane(partition int32) *lane {
	l := v.lanes[partition]
	if l == nil {
		of := &v.route.Views[v.view]
		shape := &v.route.Shapes[of.Shape]
		l = &lane{
			raw:      half{shape.Fields, shape.NewDecoder(), of.NewTransformer()},
			finished: half{of.Finished.Fields, of.Finished.NewDecoder(), of.Finished.NewTransformer()},
			encoder:  rowcodec.NewEncoder(),
		}
		v.lanes[partition] = l
	}
	return l
}

func (v *View) fields(l *lane) *half {
	if l.fields.decoder == nil {
		l.fields = l.raw
		l.fields.decoder = v.route.Shapes[v.route.Views[v.view].Shape].NewFields()
	}
	return &l.fields
}

// Try says what would become of a record: one outcome, or one per element. The
// records of a partition are to be given in their order.
func (v *View) Try(ctx context.Context, r *Record) ([]Outcome, error) {
	at := Outcome{Record: r.Position()}
	course, refused := v.route.Course(&r.Record)
	switch {
	case refused != nil:
		return []Outcome{at.rejected(refused)}, nil
	case course.View != pipeline.EveryView && course.View != v.view:
		at.End = EndOther
		return []Outcome{at}, nil
	case course.Offline:
		at.End = EndFiltered
		return []Outcome{at}, nil
	}
	l := v.lane(r.Number)
	h := &l.raw
	switch {
	case course.Finished:
		h = &l.finished
	case course.Fields:
		h = v.fields(l)
	}
	l.batch.Reset(h.fields, r.Number)
	if err := h.decoder.Decode(ctx, &l.batch, []sources.Record{r.Record}); err != nil {
		return nil, fmt.Errorf("decode record %s: %w", at.Record, err)
	}
	elements := make([]int32, l.batch.Rows())
	for i := range elements {
		elements[i] = l.batch.Origins[i].Element
	}
	h.transformer.Apply(&l.batch, v.now.UnixMilli(), &l.rows)
	l.buffer.Reset()
	l.encoder.Encode(&l.buffer, &l.rows)
	return v.outcomes(l, at, elements), nil
}

// outcomes lists the ends of the rows of one record.
func (v *View) outcomes(l *lane, at Outcome, elements []int32) []Outcome {
	var all []Outcome
	ended := make(map[int32]bool)
	add := func(element int32, o Outcome) {
		ended[element] = true
		if element > 0 {
			o.Record += "#" + strconv.Itoa(int(element))
		}
		all = append(all, o)
	}
	for _, rejects := range [][]feature.Reject{l.batch.Rejects, l.rows.Rejects} {
		for i := range rejects {
			add(rejects[i].Origin.Element, at.rejected(&rejects[i]))
		}
	}
	for row, o := range l.rows.Origins {
		if !ended[o.Element] { // not refused by the encoder
			add(o.Element, v.row(l, at, row))
		}
	}
	for _, e := range elements {
		if !ended[e] {
			o := at
			o.End = EndFiltered
			add(e, o)
		}
	}
	if len(all) == 0 {
		at.End = EndNone
		return []Outcome{at}
	}
	return all
}

func (o Outcome) rejected(r *feature.Reject) Outcome {
	o.End, o.Stage, o.Reason, o.Message = EndReject, r.Stage, r.Reason, string([]byte(r.Message))
	return o
}

// row shows a row with all of the view's features, as a read at this moment
// would answer them, defaults aside.
func (v *View) row(l *lane, o Outcome, row int) Outcome {
	origin := l.rows.Origins[row]
	o.EventTime = time.UnixMicro(origin.EventMicros).UTC().Format(time.RFC3339Nano)
	for i, k := range v.plan.Entity.JoinKeys {
		o.Keys = append(o.Keys, Value{Name: k.Name, JSON: jsonOf(&l.rows.Keys[i], row)})
	}
	if o.End = EndRow; origin.Deleted {
		o.End = EndDeleted
		return o
	}
	v.load(&l.rows, row)
	v.reader.Run(&v.loaded, v.now.UnixMicro())
	for i, f := range v.plan.View.Features {
		x := Value{Name: f.Name, JSON: null}
		if why, failed := v.reader.Failure(i, 0); failed {
			x.Why = why
		} else {
			x.JSON = jsonOf(v.reader.Column(i), 0)
		}
		o.Features = append(o.Features, x)
	}
	return o
}

// load gives the read half a row as if it came out of the store.
func (v *View) load(rows *feature.Rows, row int) {
	q := feature.ViewQuery{View: v.plan.View.Name, Columns: v.reader.Columns()}
	v.loaded.Reset(&q, 1)
	for i, c := range q.Columns {
		v.loaded.Columns[i].CopyRow(0, &rows.Columns[rows.Stored.Index(c)], row)
	}
	v.loaded.Found.Set(0)
	v.loaded.Origins[0].EventMicros = rows.Origins[row].EventMicros
}
