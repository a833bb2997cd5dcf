package transforms

import (
	"fmt"
	"slices"

	"millrace/feature"
)

// Shape is one layout of a source's batches: what a row is, and which fields it
// has. A source has one for its records, and one for each list of records that
// a view makes rows of.
type Shape struct {
	Unnest *feature.Unnest // nil: a row per record
	Fields []feature.Field
	Plans  []int // which of the plans read it
}

// Shapes returns the layouts to decode records of src into, so that each of
// plans has one: in the order of the first plan that reads them.
func Shapes(src *feature.Source, plans []*Plan) []Shape {
	var shapes []Shape
	for i, p := range plans {
		at := slices.IndexFunc(shapes, func(s Shape) bool { return sameUnnest(s.Unnest, p.View.Unnest) })
		if at < 0 {
			at = len(shapes)
			shapes = append(shapes, Shape{Unnest: p.View.Unnest})
		}
		shapes[at].Plans = append(shapes[at].Plans, i)
	}
	for i := range shapes {
		var mine []*Plan
		for _, p := range shapes[i].Plans {
			mine = append(mine, plans[p])
		}
		shapes[i].Fields = Fields(src, mine)
	}
	return shapes
}

func sameUnnest(a, b *feature.Unnest) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// rowFields are the fields of a view's rows: those of its source, and behind
// them, by qualified names, those of an element.
func rowFields(src *feature.Source, u *feature.Unnest) []feature.SourceField {
	if u == nil {
		return src.Fields
	}
	fields := slices.Clone(src.Fields)
	list, _ := src.Field(u.Field)
	for _, f := range list.Of {
		f.Name = u.As + "." + f.Name
		fields = append(fields, f)
	}
	return fields
}

// Field returns what is declared of a field of the rows that the write half
// reads, under the name that expressions give it.
func (p *Plan) Field(name string) (feature.SourceField, bool) { return p.rows.Field(name) }

// unnest checks what the view makes rows of, and lets expressions name it.
func (c *compiler) unnest() {
	u := c.view.Unnest
	if u == nil {
		return
	}
	list, ok := c.src.Field(u.Field)
	switch {
	case !ok:
		c.problem("unnest.field", 0, fmt.Sprintf("source %s has no field %s", c.src.Name, u.Field), "name a list of records: a field with `of`")
	case len(list.Of) == 0:
		c.problem("unnest.field", 0, fmt.Sprintf("field %s of source %s is not a list of records", u.Field, c.src.Name),
			"declare the fields of its elements with `of`")
	case u.As == "":
		c.problem("unnest.as", -1, "an element has no name", "write as: item, and name its fields item."+list.Of[0].Name)
	default:
		rows := *c.src
		rows.Fields = rowFields(c.src, u)
		c.src = &rows
	}
}

// hint is the next step for a name that is unknown: it may be an element's, or
// a field of one.
func (c *compiler) hint(name string) string {
	u := c.view.Unnest
	if u == nil {
		return ""
	}
	list, _ := c.src.Field(u.Field)
	for _, f := range list.Of {
		if name == u.As {
			return "name a field of the element, for example " + u.As + "." + f.Name
		}
		if f.Name == name {
			return "for the field of an element write " + u.As + "." + name
		}
	}
	return ""
}

// Hint implements expr.Hinter.
func (s writeScope) Hint(name string) string { return s.c.hint(name) }

// Hint implements expr.Hinter.
func (s *storedColumns) Hint(name string) string { return s.c.hint(name) }
