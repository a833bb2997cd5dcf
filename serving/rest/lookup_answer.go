package rest

import (
	"slices"

	"millrace/feature"
	"millrace/serving"
)

// encodeLookup writes the native answer, row by row.
func (c *call) encodeLookup() {
	b, names := &c.enc, c.req.Read().Names()
	b.raw(`{"features":[`)
	for i, name := range names {
		b.comma(i)
		b.text(name)
	}
	b.raw(`],"rows":[`)
	for row := range c.resp.Rows {
		b.comma(row)
		b.raw(`{"entity":`)
		c.encodeEntity(row)
		c.encodePart("values", row, (*call).encodeValue)
		if c.include&includeStatus != 0 {
			c.encodePart("status", row, (*call).encodeStatus)
		}
		if c.include&includeEventTime != 0 {
			c.encodePart("event_time", row, (*call).encodeEventTime)
		}
		if c.include&includeAge != 0 {
			c.encodePart("age_ms", row, (*call).encodeAge)
		}
		if c.include&includeOrigin != 0 {
			c.encodePart("origin", row, (*call).encodeOrigin)
		}
		if c.include&includeComplete != 0 {
			c.encodePart("complete", row, (*call).encodeComplete)
		}
		b.raw(`}`)
	}
	b.raw(`]}`)
}

// encodeEntity repeats the join keys of a row, typed.
func (c *call) encodeEntity(row int) {
	b := &c.enc
	b.raw(`{`)
	columns := c.req.Read().Columns()
	for i := range columns {
		if nameIn(columns[:i], columns[i].Name) {
			continue
		}
		b.comma(i)
		b.text(columns[i].Name).raw(`:`)
		b.value(&c.req.Columns[i], row)
	}
	b.raw(`}`)
}

// encodePart writes one member of a row: a list, or an object when named.
func (c *call) encodePart(name string, row int, one func(*call, serving.Value)) {
	b, names := &c.enc, c.req.Read().Names()
	b.raw(`,"`).raw(name)
	if !c.named {
		b.raw(`":[`)
		for i := range names {
			b.comma(i)
			one(c, c.resp.Value(i, row))
		}
		b.raw(`]`)
		return
	}
	b.raw(`":{`)
	for i, name := range names {
		b.comma(i)
		b.text(name).raw(`:`)
		one(c, c.resp.Value(i, row))
	}
	b.raw(`}`)
}

func (c *call) encodeValue(v serving.Value) { c.enc.value(v.Column, v.Row) }

func (c *call) encodeStatus(v serving.Value) { c.enc.text(v.Status.String()) }

func (c *call) encodeEventTime(v serving.Value) {
	if !v.HasTime {
		c.enc.null()
		return
	}
	c.enc.time(v.EventMicros)
}

func (c *call) encodeAge(v serving.Value) {
	if !v.HasTime {
		c.enc.null()
		return
	}
	c.enc.int((c.resp.NowMicros - v.EventMicros) / 1000)
}

func (c *call) encodeOrigin(v serving.Value) {
	if v.Origin == serving.OriginNone {
		c.enc.null()
		return
	}
	if v.Detail == "" {
		c.enc.text(v.Origin.String())
		return
	}
	c.enc.joined(v.Origin.String(), v.Detail)
}

// encodeComplete: only windows can be incomplete.
func (c *call) encodeComplete(v serving.Value) {
	if v.Complete == serving.CompleteUnasked {
		c.enc.null()
		return
	}
	c.enc.bool(v.Complete == serving.CompleteYes)
}

// nameIn reports whether a column of that name is among columns: entities may
// want one column in two types.
func nameIn(columns []feature.Field, name string) bool {
	return slices.ContainsFunc(columns, func(f feature.Field) bool { return f.Name == name })
}
