package transforms

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/feature"
)

// FinishedColumns lists what a finished row carries beside join keys and event
// time: every stored column. Those that were added after the generation began
// are optional, because whoever writes finished rows may not know them yet.
func (p *Plan) FinishedColumns() []feature.SourceField {
	columns := make([]feature.SourceField, len(p.Stored.Columns))
	for i, c := range p.Stored.Columns {
		columns[i].Name, columns[i].Type = c.Name, c.Type
		columns[i].Optional = c.Since > max(p.View.Began, 1)
	}
	return columns
}

// FinishedFields is the layout of batches of finished rows: the join keys, then
// the stored columns.
func (p *Plan) FinishedFields() []feature.Field {
	fields := append([]feature.Field(nil), p.Entity.JoinKeys...)
	for _, c := range p.Stored.Columns {
		fields = append(fields, feature.Field{Name: c.Name, Type: c.Type})
	}
	return fields
}

// NewFinishedWriter makes a Writer for finished rows in batches of
// FinishedFields. It computes nothing and leaves `where` out; times, null keys
// and the lengths of lists end a row as they do in any Writer. Windows count none of them.
func (p *Plan) NewFinishedWriter(skew time.Duration) *Writer {
	w := &Writer{plan: p, skew: skew, windows: newWindowsWriter(p.Windows)}
	w.outs = make([]*feature.Column, len(p.Entity.JoinKeys)+len(p.Stored.Columns))
	return w
}

// finishedExample is a finished row as JSON text. A name that is a join key and
// a stored column is one member.
func finishedExample(p *Plan) string {
	fields := slices.Insert(p.FinishedFields(), len(p.Entity.JoinKeys),
		feature.Field{Name: feature.EventTimestamp, Type: feature.Of(feature.KindTimestamp)})
	seen := make(map[string]bool)
	var members []string
	for _, f := range fields {
		if !seen[f.Name] {
			members = append(members, strconv.Quote(f.Name)+": "+exampleValue(f.Type))
		}
		seen[f.Name] = true
	}
	return "{" + strings.Join(members, ", ") + "}"
}

// exampleValue is a JSON value that a decoder takes for t.
func exampleValue(t feature.Type) string {
	if t.IsList() {
		elems := slices.Repeat([]string{exampleValue(t.Elem())}, int(min(max(t.Length, 1), maxExampleElems)))
		if t.Length > maxExampleElems {
			elems = append(elems, "…")
		}
		return "[" + strings.Join(elems, ", ") + "]"
	}
	switch t.Kind {
	case feature.KindBool:
		return "true"
	case feature.KindInt32, feature.KindInt64:
		return "1"
	case feature.KindFloat32, feature.KindFloat64:
		return "1.5"
	case feature.KindString:
		return `"text"`
	case feature.KindBytes:
		return `"Ynl0ZXM="`
	case feature.KindTimestamp:
		return `"2026-01-31T12:00:00Z"`
	case feature.KindJSON:
		return `{"any": "JSON"}`
	case feature.KindInvalid:
	}
	return "null"
}

// maxExampleElems bounds how much of an embedding is printed.
const maxExampleElems = 16
