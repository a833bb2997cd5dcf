package rest

import (
	"slices"
	"strings"

	"github.com/valyala/fastjson"

	"millrace/serving"
)

// feast answers POST /get-online-features.
func feast(c *call) *serving.Error {
	c.enc.reset(true)
	if err := c.readBody(); err != nil {
		return err
	}
	body, offset, ok := c.parse()
	if !ok {
		return c.refuseAt("json_invalid", "JSON decode error", offset)
	}
	if body.Type() != fastjson.TypeObject {
		return c.refuse("model_attributes_type", "Input should be a valid dictionary or object to extract fields from")
	}
	entities, full, err := c.feastBody(body)
	if err != nil {
		return err
	}
	read, err := c.feastRead(body, full)
	if err != nil {
		return err
	}
	c.req.Reset(read)
	if err := c.columnar(entities); err != nil {
		return err
	}
	if c.req.Rows == 0 {
		return serving.Errorf(serving.CodeInvalidRequest, "the entity columns are empty").At("entities", "give at least one row")
	}
	if err := c.feastContext(entities, body); err != nil {
		return err
	}
	if err := c.run(); err != nil {
		return err
	}
	c.encodeFeast(entities, full)
	return nil
}

// feastBody checks the schema, collecting every fault as Feast does, and
// returns entities and full_feature_names.
func (c *call) feastBody(body *fastjson.Value) (entities *fastjson.Object, full bool, err *serving.Error) {
	switch v := body.Get("entities"); {
	case v == nil:
		err = c.refuse("missing", "Field required", "entities")
	case v.Type() != fastjson.TypeObject:
		err = c.refuse("dict_type", "Input should be a valid dictionary", "entities")
	default:
		entities = v.GetObject()
		entities.Visit(func(key []byte, v *fastjson.Value) {
			if v.Type() != fastjson.TypeArray {
				err = c.refuse("list_type", "Input should be a valid list", "entities", serving.Shown(string(key)))
			}
		})
	}
	switch v := body.Get("full_feature_names"); {
	case v == nil, v.Type() == fastjson.TypeFalse:
	case v.Type() == fastjson.TypeTrue:
		full = true
	default:
		err = c.refuse("bool_type", "Input should be a valid boolean", "full_feature_names")
	}
	if fault := c.feastNames(body); fault != nil {
		err = fault
	}
	return entities, full, err
}

// feastNames reads features into c.features.
func (c *call) feastNames(body *fastjson.Value) *serving.Error {
	c.features = c.features[:0]
	if v := body.Get("feature_service"); v != nil && v.Type() != fastjson.TypeString && v.Type() != fastjson.TypeNull {
		return c.refuse("string_type", "Input should be a valid string", "feature_service")
	}
	v := body.Get("features")
	if v == nil || v.Type() == fastjson.TypeNull {
		return nil
	}
	if v.Type() != fastjson.TypeArray {
		return c.refuse("list_type", "Input should be a valid list", "features")
	}
	for i, x := range v.GetArray() {
		name, err := x.StringBytes()
		if err != nil {
			return c.refuseAt("string_type", "Input should be a valid string", i, "features")
		}
		c.features = append(c.features, asString(name))
	}
	return nil
}

// feastRead finds what is asked for; a service wins over features.
func (c *call) feastRead(body *fastjson.Value, full bool) (*serving.Read, *serving.Error) {
	read, err := c.feastTarget(body)
	if err != nil {
		return nil, err
	}
	if repeated := read.Repeated(full); len(repeated) > 0 {
		return nil, c.collision(repeated, full)
	}
	return read, nil
}

func (c *call) feastTarget(body *fastjson.Value) (*serving.Read, *serving.Error) {
	if v := body.Get("feature_service"); v != nil && v.Type() == fastjson.TypeString {
		return c.svc.PrepareService(asString(v.GetStringBytes()))
	}
	for i, name := range c.features {
		view, feat, ok := strings.Cut(name, ":")
		if !ok {
			return nil, serving.Errorf(serving.CodeInvalidRequest,
				"Invalid feature reference '%s'. Expected format: '<feature_view>:<feature>'", serving.Shown(name))
		}
		if plain, ok := strings.CutSuffix(view, "@latest"); ok {
			c.features[i] = plain + ":" + feat
		}
	}
	return c.svc.PrepareFeatures(c.features)
}

// errCollision marks the error that has a class of its own in Feast.
const errCollision = "FeatureNameCollisionError"

func (c *call) collision(names []string, full bool) *serving.Error {
	message := "The following feature name(s) have overlap: ['" + strings.Join(names, "', '") + "']. Specify only one of them."
	if !full {
		message = "The following feature name(s) have overlap: ['" + strings.Join(names, "', '") +
			"']. To resolve this collision, please use the full feature name by setting 'full_feature_names=True'."
	}
	e := serving.Errorf(serving.CodeInvalidRequest, "%s", message)
	e.Details = []serving.Detail{{Field: "features", Name: errCollision, Message: message}}
	return e
}

// encodeFeast writes the answer: join keys in request order, then features
// view by view; one column each.
func (c *call) encodeFeast(entities *fastjson.Object, full bool) {
	b, read := &c.enc, c.req.Read()
	b.raw(`{"metadata":{"feature_names":[`)
	keys := keyOrder(entities, read)
	n := 0
	for _, k := range keys {
		b.comma(n)
		b.text(read.Columns()[k].Name)
		n++
	}
	for _, i := range read.ByView() {
		b.comma(n)
		b.feastName(&read.Outputs()[i], full)
		n++
	}
	b.raw(`]},"results":[`)
	n = 0
	for _, k := range keys {
		b.comma(n)
		c.feastKey(k)
		n++
	}
	for _, i := range read.ByView() {
		b.comma(n)
		c.feastColumn(i)
		n++
	}
	b.raw(`]}`)
}

// keyOrder lists the columns of a read, each name once, in request order.
func keyOrder(entities *fastjson.Object, read *serving.Read) []int {
	var order []int
	entities.Visit(func(key []byte, _ *fastjson.Value) {
		for i, f := range read.Columns() {
			if f.Name != string(key) {
				continue
			}
			if !slices.Contains(order, i) {
				order = append(order, i)
			}
			return
		}
	})
	return order
}

func (e *encoder) feastName(o *serving.Output, full bool) {
	if !full {
		e.text(o.Feature)
		return
	}
	e.text(o.View + "__" + o.Feature)
}

const feastEpoch = `"1970-01-01T00:00:00Z"`

func (c *call) feastKey(k int) {
	b := &c.enc
	b.raw(`{"values":[`)
	for row := range c.resp.Rows {
		b.comma(row)
		b.value(&c.req.Columns[k], row)
	}
	b.raw(`],"statuses":[`)
	for row := range c.resp.Rows {
		b.comma(row)
		b.raw(`"PRESENT"`)
	}
	b.raw(`],"event_timestamps":[`)
	for row := range c.resp.Rows {
		b.comma(row)
		b.raw(feastEpoch)
	}
	b.raw(`]}`)
}

func (c *call) feastColumn(output int) {
	b := &c.enc
	b.raw(`{"values":[`)
	for row := range c.resp.Rows {
		b.comma(row)
		v := c.resp.Value(output, row)
		b.value(v.Column, v.Row)
	}
	b.raw(`],"statuses":[`)
	for row := range c.resp.Rows {
		b.comma(row)
		b.feastStatus(c.resp.Value(output, row).Status)
	}
	b.raw(`],"event_timestamps":[`)
	for row := range c.resp.Rows {
		b.comma(row)
		v := c.resp.Value(output, row)
		if !v.HasTime || v.EventMicros < minTimeMicros || v.EventMicros > maxTimeMicros {
			b.raw(feastEpoch)
			continue
		}
		b.time(v.EventMicros)
	}
	b.raw(`]}`)
}

func (e *encoder) feastStatus(s serving.Status) {
	if s == serving.StatusError {
		e.raw(`"INVALID"`)
		return
	}
	e.out = append(e.out, '"')
	e.raw(s.String())
	e.out = append(e.out, '"')
}
