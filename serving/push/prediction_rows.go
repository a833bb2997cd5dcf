package push

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"

	"millrace/feature"
	"millrace/serving"
)

// predictionReader makes records of rows that hold predictions.
type predictionReader struct {
	form   *predictionForm
	others []*predictionForm // beside form, those that a row could be of
	frame  bool
	marks  []mark // of the records that were made
}

// mark is a float that JSON has no form for. In its record there is null.
type mark struct {
	record, output int
	element        int  // of a list; -1 of a scalar
	bare           bool // it may be a bare word
	value          float64
}

// columnFault is what is wrong with the columns of a row.
type columnFault struct {
	reason  feature.Reason
	columns []string // the first maxNamed
	more    int      // that are not listed
	message string   // without the columns
}

// maxNamed bounds how many columns a message lists.
const maxNamed = 20

func (f *columnFault) text() string {
	names := strings.Join(f.columns, ", ")
	if f.more > 0 {
		names += fmt.Sprintf(" and %d more", f.more)
	}
	return names + ": " + f.message
}

// columnFaults lists all that is wrong with the columns of o: a prediction is
// whole, and has nothing else beside it.
func (r *predictionReader) columnFaults(o *fastjson.Object) []columnFault {
	model := r.form.plan.Model.Name
	var faults []columnFault
	add := func(reason feature.Reason, columns []string, format string, args ...any) {
		if n := min(len(columns), maxNamed); n > 0 {
			faults = append(faults, columnFault{reason, columns[:n], len(columns) - n, fmt.Sprintf(format, args...)})
		}
	}
	strange, foreign := r.strange(o)
	for i, f := range r.others {
		add(feature.ReasonForeign, foreign[i], "of model %s, by its name in view %s, where others are of model %s; write predictions of one model at a time",
			f.plan.Model.Name, f.view, model)
	}
	keys := make([]string, 0, len(r.form.plan.Entity.JoinKeys))
	for _, k := range r.form.plan.Entity.JoinKeys {
		keys = append(keys, k.Name)
	}
	outputs := r.form.names()
	add(feature.ReasonForeign, strange, "no part of a prediction of model %s; write %s, %s and %s alone%s",
		model, strings.Join(keys, ", "), feature.EventTimestamp, strings.Join(outputs, ", "), r.form.besides())
	present := func(name string) bool { return o.Get(name) != nil }
	add(feature.ReasonNullKey, slices.DeleteFunc(keys, present), "missing, a join key of the prediction")
	add(feature.ReasonMissing, slices.DeleteFunc(outputs, present), "missing; a prediction of model %s is stored whole, and null is a value", model)
	return faults
}

// strange lists columns that are no part of the prediction: those that nobody
// knows, and, parallel to r.others, those of another form.
func (r *predictionReader) strange(o *fastjson.Object) (unknown []string, foreign [][]string) {
	foreign = make([][]string, len(r.others))
	o.Visit(func(key []byte, _ *fastjson.Value) {
		name := string(key)
		_, known := r.form.form.fields[name]
		if known || name == r.form.form.alias || name == created {
			return
		}
		i := slices.IndexFunc(r.others, func(f *predictionForm) bool { return slices.Contains(f.columns, name) })
		if i >= 0 {
			foreign[i] = append(foreign[i], serving.Shown(name))
			return
		}
		unknown = append(unknown, serving.Shown(name))
	})
	return unknown, foreign
}

// besides says what to do with other columns.
func (f *predictionForm) besides() string {
	if f.view == "" {
		return ""
	}
	return ", and features by themselves"
}

// record appends o, the next record, as the decoder takes it: with the names and
// forms of a finished row, and null for what it marks. It says whether that
// differs from o.
func (r *predictionReader) record(dst []byte, record int, o *fastjson.Object) (_ []byte, differs bool) {
	f := &r.form.form
	renamed := f.alias != "" && o.Get(f.alias) != nil && o.Get(f.time) == nil
	differs = renamed || r.frame
	first := len(r.marks)
	start := len(dst)
	dst = append(dst, '{')
	o.Visit(func(key []byte, v *fastjson.Value) {
		name := string(key)
		if renamed && name == f.alias {
			name = f.time
		}
		if len(dst) > start+1 {
			dst = append(dst, ',')
		}
		dst = append(appendName(dst, name), ':')
		output := slices.Index(r.form.columns, name)
		if output >= 0 { // of several members of one name the last one counts
			r.marks = slices.DeleteFunc(r.marks, func(m mark) bool { return m.record == record && m.output == output })
		}
		dst = r.value(dst, v, f.fields[name], mark{record: record, output: output, element: -1})
	})
	return append(dst, '}'), differs || len(r.marks) > first
}

// value appends v, which is of a type, and marks at m what is not finite.
func (r *predictionReader) value(dst []byte, v *fastjson.Value, f field, m mark) []byte {
	if m.output >= 0 && f.Layout() == feature.LayoutFloat {
		if x, ok := notFinite(v, m.bare); ok {
			m.value = x
			r.marks = append(r.marks, m)
			return append(dst, "null"...)
		}
	}
	if m.output >= 0 && f.IsList() && f.Elem().Layout() == feature.LayoutFloat {
		var list []*fastjson.Value
		if list, m.bare = r.listOf(v); list != nil {
			dst = append(dst, '[')
			for i, e := range list {
				if i > 0 {
					dst = append(dst, ',')
				}
				m.element = i
				dst = r.value(dst, e, field{f.Elem(), f.unit}, m)
			}
			return append(dst, ']')
		}
	}
	if r.frame && f.Kind != feature.KindInvalid {
		return appendLenient(dst, v, f)
	}
	return v.MarshalTo(dst)
}

// listOf is the elements of a list, in a data frame also of the text of one, as
// Python writes it; nil if v is none.
func (r *predictionReader) listOf(v *fastjson.Value) (list []*fastjson.Value, printed bool) {
	if text := textOf(v); r.frame && text != "" {
		if inner, err := fastjson.Parse(text); err == nil {
			v, printed = inner, true
		}
	}
	if v.Type() != fastjson.TypeArray {
		return nil, printed
	}
	return v.GetArray(), printed
}

// notFinite reads NaN and the infinities, which are text in JSON: bare words are
// no JSON, and are taken in printed lists only.
func notFinite(v *fastjson.Value, bare bool) (float64, bool) {
	text := textOf(v)
	if bare && v.Type() == fastjson.TypeNumber {
		text = v.String()
	}
	if text == "" || len(text) > len("-Infinity") {
		return 0, false
	}
	x, err := strconv.ParseFloat(text, 64)
	return x, err == nil && (math.IsNaN(x) || math.IsInf(x, 0))
}
