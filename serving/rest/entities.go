package rest

import (
	"fmt"

	"github.com/valyala/fastjson"

	"millrace/feature"
	"millrace/serving"
)

// columnar fills c.req from entities written as columns. Natively a scalar is
// repeated for every row; Feast's schema has refused scalars before.
func (c *call) columnar(o *fastjson.Object) *serving.Error {
	rows, err := countRows(o)
	if err != nil {
		return err
	}
	if limit := c.svc.Limits().MaxEntities; rows > limit {
		c.req.Rows = rows
		return tooMany(rows, limit)
	}
	c.req.Rows = rows
	for i, f := range c.req.Read().Columns() {
		v := o.Get(f.Name)
		if v == nil {
			if c.mayLack(i, o) {
				c.req.Columns[i].Resize(rows)
				continue
			}
			return missingColumn(o, "entities."+f.Name, f.Name)
		}
		if err := c.column(&c.req.Columns[i], f, v); err != nil {
			return err
		}
	}
	return nil
}

func tooMany(rows, limit int) *serving.Error {
	return serving.Errorf(serving.CodeTooManyEntities, "%d entities are asked for, the limit is %d", rows, limit).
		At("entities", "split the request")
}

// countRows returns the common length of all arrays, used or not; 1 if there
// are none.
func countRows(o *fastjson.Object) (int, *serving.Error) {
	rows, first := -1, ""
	var fault *serving.Error
	o.Visit(func(key []byte, v *fastjson.Value) {
		if v.Type() != fastjson.TypeArray || fault != nil {
			return
		}
		n := len(v.GetArray())
		if rows >= 0 && n != rows {
			name := serving.Shown(string(key))
			fault = serving.Errorf(serving.CodeInvalidRequest, "entity columns have different lengths: %s has %d rows, %s has %d", first, rows, name, n).
				At("entities."+name, fmt.Sprintf("give %d values", rows))
			return
		}
		if rows < 0 {
			rows, first = n, serving.Shown(string(key))
		}
	})
	if rows < 0 {
		rows = 1
	}
	return rows, fault
}

func (c *call) column(dst *feature.Column, f feature.Field, v *fastjson.Value) *serving.Error {
	dst.Resize(c.req.Rows)
	if v.Type() != fastjson.TypeArray {
		for row := range c.req.Rows {
			if !c.setValue(dst, row, v) {
				return wrongType("entities."+f.Name, f)
			}
		}
		return nil
	}
	for row, x := range v.GetArray() {
		if !c.setValue(dst, row, x) {
			return wrongType(fmt.Sprintf("entities.%s[%d]", f.Name, row), f)
		}
	}
	return nil
}

// rows fills c.req from entities written as a list of objects.
func (c *call) rows(list []*fastjson.Value) *serving.Error {
	c.req.Rows = len(list)
	if limit := c.svc.Limits().MaxEntities; len(list) > limit {
		return tooMany(len(list), limit)
	}
	for i, f := range c.req.Read().Columns() {
		dst := &c.req.Columns[i]
		dst.Resize(len(list))
		for row, x := range list {
			o, err := x.Object()
			if err != nil {
				return serving.Errorf(serving.CodeInvalidRequest, "an entity is not an object").
					At(fmt.Sprintf("entities[%d]", row), "write {\""+f.Name+"\": …}")
			}
			v := o.Get(f.Name)
			if v == nil {
				if c.mayLack(i, o) {
					continue
				}
				return missingColumn(o, fmt.Sprintf("entities[%d].%s", row, f.Name), f.Name)
			}
			if !c.setValue(dst, row, v) {
				return wrongType(fmt.Sprintf("entities[%d].%s", row, f.Name), f)
			}
		}
	}
	return nil
}

// mayLack reports whether entity column i may be left out of o, which is null
// then. It may not if it seems to be there under a misspelt name.
func (c *call) mayLack(i int, o *fastjson.Object) bool {
	if !c.req.Read().Renamed(i) {
		return false
	}
	misspelt := false
	o.Visit(func(key []byte, _ *fastjson.Value) { misspelt = misspelt || c.meansColumn(i, asString(key)) })
	return !misspelt
}

// meansColumn reports whether a name that nothing wants is near to that of
// entity column i.
func (c *call) meansColumn(i int, name string) bool {
	columns := c.req.Read().Columns()
	return !nameIn(columns, name) && !c.svc.IsRequestField(name) && serving.Nearest(columns[i].Name, []string{name}) != ""
}

func wrongType(field string, f feature.Field) *serving.Error {
	return serving.Errorf(serving.CodeInvalidRequest, "a value of entity column %s is not of type %s", f.Name, f.Type).
		At(field, "give a value of type "+f.Type.String())
}

// missingColumn says which entity column is missing, and which one given
// instead was probably meant.
func missingColumn(o *fastjson.Object, field, name string) *serving.Error {
	var given []string
	o.Visit(func(key []byte, _ *fastjson.Value) { given = append(given, string(key)) })
	return missingAmong(given, field, name)
}

func missingAmong(given []string, field, name string) *serving.Error {
	e := serving.Errorf(serving.CodeMissingEntity, "entity column %s is missing", name)
	d := serving.Detail{Field: field, Name: name, Message: "missing"}
	if near := serving.Nearest(name, given); near != "" {
		d.Message, d.Suggestion = "missing; "+near+" was given", name
	}
	e.Details = []serving.Detail{d}
	return e
}
