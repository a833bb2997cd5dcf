package rest

import (
	"fmt"
	"maps"
	"net/url"
	"slices"

	"github.com/valyala/fastjson"

	"millrace/feature"
	"millrace/serving"
)

// place is somewhere in a request where data for on-demand views may stand.
// One of its values is set.
type place struct {
	path    string
	all     *fastjson.Object  // one value for all rows
	columns *fastjson.Object  // a list of one value per row, or one for all
	rows    []*fastjson.Value // an object per row
}

// value returns the value of a field for a row, nil if it is not there. The
// rows of columns were counted.
func (p *place) value(name string, row int) *fastjson.Value {
	switch {
	case p.all != nil:
		return p.all.Get(name)
	case p.columns != nil:
		v := p.columns.Get(name)
		if v != nil && v.Type() == fastjson.TypeArray {
			return v.GetArray()[row]
		}
		return v
	case p.rows != nil:
		return p.rows[row].Get(name)
	}
	return nil
}

// at is the path of a field for a row.
func (p *place) at(name string, row int) string {
	switch {
	case p.rows != nil:
		return fmt.Sprintf("%s[%d].%s", p.path, row, name)
	case p.columns != nil && row >= 0:
		if v := p.columns.Get(name); v != nil && v.Type() == fastjson.TypeArray {
			return fmt.Sprintf("%s.%s[%d]", p.path, name, row)
		}
	}
	return p.path + "." + name
}

// context reads request data: of `context` or `contexts`, and what they lack
// beside the join keys in `entities`.
func (c *call) context(body *fastjson.Value) *serving.Error {
	c.places = c.places[:0]
	one, many := body.Get("context"), body.Get("contexts")
	if one != nil && many != nil {
		return serving.Errorf(serving.CodeInvalidRequest, "a request has either context or contexts").
			At("contexts", "give context for all rows, or contexts with one per row")
	}
	if one != nil {
		o, err := one.Object()
		if err != nil {
			return wrongMember("context", `an object such as {"field": value}`)
		}
		if err := c.refuseUnknownData("context.", o); err != nil {
			return err
		}
		c.places = append(c.places, place{path: "context", all: o})
	}
	if many != nil {
		if err := c.contexts(many); err != nil {
			return err
		}
	}
	switch entities := body.Get("entities"); entities.Type() { //nolint:exhaustive // there are two forms, which was checked
	case fastjson.TypeArray:
		c.places = append(c.places, place{path: "entities", rows: entities.GetArray()})
	case fastjson.TypeObject:
		c.places = append(c.places, place{path: "entities", columns: entities.GetObject()})
	}
	return c.fillContext()
}

func (c *call) contexts(v *fastjson.Value) *serving.Error {
	list, err := v.Array()
	if err != nil {
		return wrongMember("contexts", "a list of objects, one per entity")
	}
	if len(list) != c.req.Rows {
		return serving.Errorf(serving.CodeInvalidRequest, "there are %d contexts for %d entities", len(list), c.req.Rows).
			At("contexts", "give one per entity, or context for all of them")
	}
	for row, x := range list {
		o, err := x.Object()
		if err != nil {
			return wrongMember(fmt.Sprintf("contexts[%d]", row), `an object such as {"field": value}`)
		}
		if fault := c.refuseUnknownData("", o); fault != nil {
			fault.Details[0].Field = fmt.Sprintf("contexts[%d].%s", row, fault.Details[0].Field)
			return fault
		}
	}
	c.places = append(c.places, place{path: "contexts", rows: list})
	return nil
}

// refuseUnknownData finds misspelt fields, which would silently change nothing.
// A field that only other features need is no mistake.
func (c *call) refuseUnknownData(path string, o *fastjson.Object) *serving.Error {
	var fault *serving.Error
	o.Visit(func(key []byte, _ *fastjson.Value) {
		if fault != nil || c.svc.IsRequestField(asString(key)) {
			return
		}
		name := serving.Shown(string(key))
		var known []string
		for _, f := range c.req.Read().Context() {
			known = append(known, f.Name)
		}
		fault = serving.Errorf(serving.CodeInvalidRequest, "no request source has a field %s", name)
		fault.Details = []serving.Detail{{Field: path + name, Name: name, Message: "unknown field", Suggestion: serving.Nearest(name, known)}}
	})
	return fault
}

// feastContext reads request data as Feast's servers take it: as columns among
// the entities, or in an object of its own. What nothing needs is ignored.
func (c *call) feastContext(entities *fastjson.Object, body *fastjson.Value) *serving.Error {
	c.places = append(c.places[:0], place{path: "entities", columns: entities})
	for _, member := range []string{"request_context", "context"} {
		o := body.GetObject(member)
		if o == nil {
			continue
		}
		c.places = append(c.places, place{path: member, columns: o})
		for _, f := range c.req.Read().Context() {
			if v := o.Get(f.Name); v != nil && v.Type() == fastjson.TypeArray && len(v.GetArray()) != c.req.Rows {
				return serving.Errorf(serving.CodeInvalidRequest, "request field %s has %d values for %d rows", f.Name, len(v.GetArray()), c.req.Rows).
					At(member+"."+f.Name, "give one value per row")
			}
		}
	}
	return c.fillContext()
}

// fillContext reads every field that the request needs from the first place
// that has it.
func (c *call) fillContext() *serving.Error {
	var missing *serving.Error
	for i, f := range c.req.Read().Context() {
		dst := &c.req.Context[i]
		dst.Resize(c.req.Rows)
		if first := c.firstPlace(); first.all != nil && c.req.Rows > 0 {
			if v := first.all.Get(f.Name); v != nil {
				if !c.setValue(dst, 0, v) {
					return wrongData(first.at(f.Name, 0), f)
				}
				repeatFirst(dst)
				continue
			}
		}
		for row := range c.req.Rows {
			p, v := c.find(f.Name, row)
			if v == nil && !f.Optional {
				missing = c.missingData(missing, f.Name, row)
				break
			}
			if v != nil && !c.setValue(dst, row, v) {
				return wrongData(p.at(f.Name, row), f)
			}
		}
	}
	return missing
}

func (c *call) firstPlace() *place {
	if len(c.places) == 0 {
		return new(place)
	}
	return &c.places[0]
}

func (c *call) find(name string, row int) (*place, *fastjson.Value) {
	for i := range c.places {
		if v := c.places[i].value(name, row); v != nil {
			return &c.places[i], v
		}
	}
	return nil, nil
}

// repeatFirst gives every row the value of the first. Lists share elements.
func repeatFirst(c *feature.Column) {
	for row := 1; row < c.Len(); row++ {
		if c.Type.IsList() && !c.IsNull(0) {
			c.Spans[row] = c.Spans[0]
			c.Valid.Set(row)
			continue
		}
		c.CopyRow(row, c, 0)
	}
}

// missingData adds to e that a field is missing, and which one given instead
// was probably meant.
func (c *call) missingData(e *serving.Error, name string, row int) *serving.Error {
	var given []string
	for i := range c.places {
		p := &c.places[i]
		o := p.all
		if o == nil {
			o = p.columns
		}
		if p.rows != nil {
			o = p.rows[row].GetObject()
		}
		o.Visit(func(key []byte, _ *fastjson.Value) { given = append(given, string(key)) })
	}
	field := "context." + name
	if first := c.firstPlace(); c.enc.feast || first.path == "contexts" {
		field = first.at(name, row)
	}
	return missingField(e, given, field, name)
}

func missingField(e *serving.Error, given []string, field, name string) *serving.Error {
	if e == nil {
		e = serving.Errorf(serving.CodeMissingContext, "request field %s is missing", name)
	}
	d := serving.Detail{Field: field, Name: name, Message: "missing"}
	if near := serving.Nearest(name, given); near != "" {
		d.Message, d.Suggestion = "missing; "+near+" was given", name
	}
	e.Details = append(e.Details, d)
	return e
}

func wrongData(field string, f serving.ContextField) *serving.Error {
	want := f.Type.String()
	if f.Type.Length > 0 {
		want += fmt.Sprintf(" with %d elements", f.Type.Length)
	}
	return serving.Errorf(serving.CodeInvalidRequest, "a value of request field %s is not of type %s", f.Name, want).
		At(field, "give a value of type "+want)
}

// queryContext reads request data from parameters: lists and json as JSON.
func (c *call) queryContext(query url.Values) *serving.Error {
	var missing *serving.Error
	for i, f := range c.req.Read().Context() {
		dst, texts := &c.req.Context[i], query[f.Name]
		dst.Resize(c.req.Rows)
		if len(texts) == 0 {
			if !f.Optional {
				missing = missingField(missing, slices.Sorted(maps.Keys(query)), f.Name, f.Name)
			}
			continue
		}
		if err := countTexts(f.Name, len(texts), c.req.Rows); err != nil {
			return err
		}
		for row := range c.req.Rows {
			if !c.setParameter(dst, row, texts[min(row, len(texts)-1)]) {
				return wrongData(f.Name, f)
			}
		}
	}
	return missing
}

func (c *call) setParameter(dst *feature.Column, row int, text string) bool {
	if !dst.Type.IsList() && dst.Type.Kind != feature.KindJSON {
		return c.setText(dst, row, text)
	}
	v, err := fastjson.Parse(text)
	return err == nil && fastjson.Validate(text) == nil && c.setValue(dst, row, v)
}
