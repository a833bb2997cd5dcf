package push

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fastjson"

	"millrace/feature"
	"millrace/serving"
	"millrace/transforms"
)

// parsers are reused; a parser holds the values of one row.
var parsers = sync.Pool{New: func() any { return new(fastjson.Parser) }}

// reader makes records of the rows of a request.
type reader struct {
	target  *target
	frame   bool
	now     int64 // record time of rows that tell none
	raw     *form
	done    *form // nil when rows may be of several views
	headers [2][]Header
}

// form is what the members of raw or of finished rows are.
type form struct {
	time   string           // name of the event time; "" when it is the record's
	unit   time.Duration    // of it; 0 is RFC 3339 text
	alias  string           // another name of it; "" without one
	fields map[string]field // by name, the event time included
	needs  []string         // names without which a row is not of this form
	stores bool             // of finished rows: there are columns to store
}

// field is what one member is.
type field struct {
	feature.Type
	unit time.Duration
}

// read makes w.rows of the request's rows and returns those that cannot be
// records at all.
func (w *write) read() ([]serving.RowFault, *serving.Error) {
	r := &reader{target: w.target, frame: w.req.Frame, now: w.s.clock().UnixMilli(), raw: rawForm(w.target)}
	if len(w.target.plans) == 1 {
		r.done = finishedForm(w.target.source, w.target.plans[0])
	}
	for i, flag := range []string{"true", "false"} {
		r.headers[i] = []Header{{HeaderTransformOnWrite, []byte(flag)}}
		if w.target.view != "" {
			r.headers[i] = append(r.headers[i], Header{HeaderView, []byte(w.target.view)})
		}
	}
	parser, _ := parsers.Get().(*fastjson.Parser)
	defer parsers.Put(parser)
	var faults []serving.RowFault
	for i, text := range w.req.Rows {
		row := Row{Value: text, Millis: r.now, Headers: r.headers[0]}
		if !r.target.transform {
			row.Headers = r.headers[1]
		}
		if v, err := parser.ParseBytes(text); err == nil && v.Type() == fastjson.TypeObject {
			if i == 0 && r.frame {
				if missing := r.missing(v.GetObject()); len(missing) > 0 {
					return nil, missingColumns(missing)
				}
			}
			if why := r.object(v.GetObject(), &row); why != "" {
				faults = append(faults, fault(w.numberOf(i), feature.ReasonWrongType, why))
				continue
			}
		}
		w.raw = w.raw || string(row.Headers[0].Value) == "true"
		w.rows, w.at = append(w.rows, row), append(w.at, w.numberOf(i))
	}
	return faults, nil
}

// formOf says what a row is. One that lacks what the write half reads and has
// all that would be stored was transformed already, whatever the flag says.
func (r *reader) formOf(o *fastjson.Object) (f *form, finished bool) {
	if !r.target.transform {
		return r.done, true
	}
	if r.done != nil && r.done.stores && len(lacking(o, r.raw)) > 0 && len(lacking(o, r.done)) == 0 {
		return r.done, true
	}
	return r.raw, false
}

func lacking(o *fastjson.Object, f *form) []string {
	var names []string
	for _, n := range f.needs {
		if o.Get(n) == nil {
			names = append(names, n)
		}
	}
	return names
}

func (r *reader) missing(o *fastjson.Object) []string {
	f, _ := r.formOf(o)
	return lacking(o, f)
}

func missingColumns(names []string) *serving.Error {
	e := serving.Errorf(serving.CodeInvalidRequest, "['%s'] not in index", strings.Join(names, "', '"))
	for _, n := range names {
		e.Details = append(e.Details, serving.Detail{Field: "df." + n, Name: n, Message: "the column is missing"})
	}
	return e
}

// object makes row the record of o, or says why it cannot be one.
func (r *reader) object(o *fastjson.Object, row *Row) (why string) {
	f, finished := r.formOf(o)
	if finished {
		row.Headers = r.headers[1]
	}
	renamed := f.alias != "" && o.Get(f.alias) != nil && (f.time == "" || o.Get(f.time) == nil)
	if !renamed && !r.frame {
		return ""
	}
	if f.time == "" && renamed {
		return r.recordTime(o.Get(f.alias), row)
	}
	out := make([]byte, 0, len(row.Value)+16)
	out = append(out, '{')
	o.Visit(func(key []byte, v *fastjson.Value) {
		name := string(key)
		kind, known := f.fields[name]
		if renamed && name == f.alias {
			name, kind, known = f.time, field{feature.Of(feature.KindTimestamp), f.unit}, true
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(appendName(out, name), ':')
		switch {
		case r.frame && known:
			out = appendLenient(out, v, kind)
		case renamed && name == f.time:
			out = appendTime(out, v, f.unit)
		default:
			out = v.MarshalTo(out)
		}
	})
	out = append(out, '}')
	row.Value = out
	return ""
}

// recordTime makes the event time the record's own, which is what it is where
// the source names no field for it.
func (r *reader) recordTime(v *fastjson.Value, row *Row) string {
	micros, ok := timeOf(v, r.frame)
	switch {
	case v.Type() == fastjson.TypeNull:
		return ""
	case !ok:
		return "field " + feature.EventTimestamp + ": is not RFC 3339 text"
	}
	row.Millis = floorDiv(micros, 1000)
	return ""
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// rawForm describes rows of the source's fields.
func rawForm(t *target) *form {
	src := t.source
	f := &form{time: src.EventTime, fields: make(map[string]field, len(src.Fields)+1)}
	for _, x := range src.Fields {
		f.fields[x.Name] = field{x.Type, x.Unit}
	}
	if at, ok := src.Field(src.EventTime); ok {
		f.unit = at.Unit
	}
	if _, taken := f.fields[feature.EventTimestamp]; !taken && src.EventTime != feature.EventTimestamp {
		f.alias = feature.EventTimestamp
	}
	if src.EventTime != "" {
		f.fields[src.EventTime] = field{feature.Of(feature.KindTimestamp), f.unit}
	}
	for _, p := range t.plans {
		for _, x := range p.Fields {
			name := x.Name
			if u := p.View.Unnest; u != nil && strings.HasPrefix(name, u.As+".") {
				name = u.Field
			}
			if name != src.EventTime && !slices.Contains(f.needs, name) {
				f.needs = append(f.needs, name)
			}
		}
	}
	return f
}

// finishedForm describes finished rows of a view.
func finishedForm(src *feature.Source, p *transforms.Plan) *form {
	f := &form{time: feature.EventTimestamp, fields: make(map[string]field), stores: len(p.Stored.Columns) > 0}
	for _, k := range p.Entity.JoinKeys {
		f.fields[k.Name] = field{k.Type, 0}
		f.needs = append(f.needs, k.Name)
	}
	for _, c := range p.FinishedColumns() {
		f.fields[c.Name] = field{c.Type, 0}
		if !c.Optional && !slices.Contains(f.needs, c.Name) {
			f.needs = append(f.needs, c.Name)
		}
	}
	if _, taken := f.fields[src.EventTime]; !taken && src.EventTime != f.time {
		f.alias = src.EventTime
	}
	f.fields[f.time] = field{feature.Of(feature.KindTimestamp), 0}
	return f
}
