package rest

import (
	"millrace/serving"
)

// explainMembers are a lookup's, without what shapes its answer.
var explainMembers = []string{"service", "features", "entities", "context", "contexts", "max_age"}

// explain answers POST /v1/explain: for one entity, where each value came from.
func explain(c *call) *serving.Error {
	if err := c.readLookup(explainMembers); err != nil {
		return err
	}
	timeout, err := c.timeout()
	if err != nil {
		return err
	}
	c.req.Timeout = timeout
	e, err := c.svc.Explain(c.request.Context(), &c.req, &c.resp)
	if err != nil {
		return err
	}
	c.encodeExplanation(e)
	return nil
}

func (c *call) encodeExplanation(e *serving.Explanation) {
	b := &c.enc
	b.raw(`{"entity":`)
	c.encodeEntity(0)
	b.raw(`,"now":`).time(c.resp.NowMicros)
	b.raw(`,"values":[`)
	for i := range e.Values {
		b.comma(i)
		c.encodeExplained(e, i)
	}
	b.raw(`],"rows":[`)
	for i := range e.Rows {
		b.comma(i)
		c.encodeStoredRow(&e.Rows[i])
	}
	b.raw(`],"took_us":`).int(e.Took.Microseconds())
	b.raw(`}`)
}

func (c *call) encodeExplained(e *serving.Explanation, output int) {
	b, v := &c.enc, &e.Values[output]
	b.raw(`{"feature":`).text(c.req.Read().Names()[output])
	b.raw(`,"value":`)
	c.encodeValue(v.Value)
	b.raw(`,"status":`)
	c.encodeStatus(v.Value)
	if v.Why != "" {
		b.raw(`,"why":`).text(v.Why)
	}
	b.raw(`,"origin":`)
	c.encodeOrigin(v.Value)
	b.raw(`,"at":`).text(v.Phase.String()).raw(`,"expr":`).text(v.Expr)
	if len(v.Inputs) > 0 {
		b.raw(`,"inputs":{`)
		for i, in := range v.Inputs {
			b.comma(i)
			b.text(in.Name).raw(`:`)
			b.value(in.Column, in.Row)
		}
		b.raw(`}`)
	}
	if v.Prediction != nil {
		c.encodePrediction(v.Prediction)
	}
	if len(v.Windows) > 0 {
		c.encodeWindows(v.Windows)
	}
	if len(v.Rows) > 0 { // computed on demand
		b.raw(`,"rows":[`)
		for i, row := range v.Rows {
			b.comma(i)
			b.int(int64(row))
		}
		b.raw(`]`)
		c.encodeTimes(v.Value)
		return
	}
	if v.Row < 0 {
		b.raw(`,"row":null`)
		if len(v.Windows) > 0 {
			c.encodeTimes(v.Value)
			return
		}
		b.raw(`}`)
		return
	}
	b.raw(`,"row":`).int(int64(v.Row))
	if v.Prediction != nil {
		c.encodeTimes(v.Value)
		return
	}
	if r := &e.Rows[v.Row]; r.Found {
		b.raw(`,"record":`).text(r.Record()).raw(`,"event_time":`).time(r.Origin.EventMicros)
		b.raw(`,"age_ms":`).int((c.resp.NowMicros - r.Origin.EventMicros) / 1000)
	}
	b.raw(`}`)
}

func (c *call) encodePrediction(p *serving.ExplainedPrediction) {
	b := &c.enc
	b.raw(`,"model":{"name":`).text(p.Model).raw(`,"version":`).text(p.Version)
	if p.Found {
		b.raw(`,"stored_version":`).text(p.StoredVersion).raw(`,"by":`).text(p.By).raw(`,"catalog":`).int(p.Catalog)
	}
	if p.Stale != "" {
		b.raw(`,"stale":`).text(string(p.Stale))
	}
	if p.Changed != "" {
		b.raw(`,"changed":`).text(p.Changed)
	}
	b.raw(`}`)
}

// encodeTimes ends a value that comes of no one record.
func (c *call) encodeTimes(v serving.Value) {
	c.enc.raw(`,"event_time":`)
	c.encodeEventTime(v)
	c.enc.raw(`,"age_ms":`)
	c.encodeAge(v)
	c.enc.raw(`}`)
}

func (c *call) encodeWindows(windows []serving.ExplainedWindow) {
	b := &c.enc
	b.raw(`,"windows":[`)
	for i := range windows {
		w := &windows[i]
		b.comma(i)
		b.raw(`{"feature":`).text(w.View + ":" + w.Feature)
		if w.Hop > 0 {
			b.raw(`,"from":`).time(w.Span.From)
			b.raw(`,"to":`).time(w.Span.To)
			b.raw(`,"hop_s":`).int(int64(w.Hop.Seconds()))
		}
		b.raw(`,"complete":`).bool(w.Complete)
		if w.Partly {
			b.raw(`,"since":`).time(w.Since)
		}
		if w.Pending {
			b.raw(`,"pending":true`)
		}
		b.raw(`,"partitions":[`)
		for k, t := range w.Tiles {
			b.comma(k)
			b.raw(`{"partition":`).int(int64(t.Source))
			b.raw(`,"tiles":`).int(int64(t.Tiles))
			if w.Hop > 0 {
				b.raw(`,"first":`).time(t.First)
				b.raw(`,"last":`).time(t.Last)
			}
			b.raw(`}`)
		}
		b.raw(`],"read_us":`).int(w.Took.Microseconds())
		b.raw(`}`)
	}
	b.raw(`]`)
}

func (c *call) encodeStoredRow(r *serving.ExplainedRow) {
	b := &c.enc
	b.raw(`{"view":`).text(r.View.Name).raw(`,"stored_as":`).text(r.View.StoredName())
	b.raw(`,"source":`).text(r.Source).raw(`,"entity":`).text(r.View.Entity).raw(`,"key":`).text(r.Key)
	if !r.Found {
		b.raw(`,"found":false,"read_us":`).int(r.Took.Microseconds())
		b.raw(`}`)
		return
	}
	b.raw(`,"found":true`)
	if r.Deleted() {
		b.raw(`,"deleted":true`)
	}
	if r.Source != "" { // a prediction comes of no record
		b.raw(`,"record":`).text(r.Record())
	}
	b.raw(`,"event_time":`).time(r.Origin.EventMicros)
	b.raw(`,"record_time":`).time(r.Origin.Sequence.RecordMillis() * 1000)
	b.raw(`,"revision":`).int(int64(r.Origin.Sequence.Revision()))
	b.raw(`,"schema":`).int(int64(r.Origin.SchemaID))
	b.raw(`,"read_us":`).int(r.Took.Microseconds())
	b.raw(`}`)
}
