package rest

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"millrace/serving"
)

// include is the set of things that an answer says beside values.
type include uint8

const (
	includeStatus include = 1 << iota
	includeEventTime
	includeAge
	includeOrigin
	includeComplete
)

var includeNames = []string{"status", "event_time", "age_ms", "origin", "complete"}

// lookup answers POST /v1/lookup.
func lookup(c *call) *serving.Error {
	if err := c.readLookup(members); err != nil {
		return err
	}
	if err := c.run(); err != nil {
		return err
	}
	c.encodeLookup()
	return nil
}

// parseObject reads the body as an object that may have the members known.
func (c *call) parseObject(known []string, hint string) (*fastjson.Value, *serving.Error) {
	body, offset, ok := c.parse()
	if !ok {
		return nil, serving.Errorf(serving.CodeInvalidRequest, "the body is not JSON").
			At("body", fmt.Sprintf("the fault is at byte %d", offset))
	}
	if body.Type() != fastjson.TypeObject {
		return nil, serving.Errorf(serving.CodeInvalidRequest, "the body is not an object").At("body", hint)
	}
	return body, refuseUnknown(body.GetObject(), known)
}

// readLookup fills c.req from the body, which may have the members known.
func (c *call) readLookup(known []string) *serving.Error {
	if err := c.readBody(); err != nil {
		return err
	}
	body, err := c.parseObject(known, `write {"service": …, "entities": …}`)
	if err != nil {
		return err
	}
	read, err := c.target(body)
	if err != nil {
		return err
	}
	c.req.Reset(read)
	if err := c.options(body); err != nil {
		return err
	}
	if err := c.entities(body.Get("entities")); err != nil {
		return err
	}
	return c.context(body)
}

var members = []string{"service", "features", "entities", "context", "contexts", "include", "named", "max_age"}

// refuseUnknown finds misspelt members, which would silently change nothing.
func refuseUnknown(o *fastjson.Object, members []string) *serving.Error {
	var fault *serving.Error
	o.Visit(func(key []byte, _ *fastjson.Value) {
		if slices.Contains(members, string(key)) {
			return
		}
		if fault == nil {
			name := serving.Shown(string(key))
			fault = serving.Errorf(serving.CodeInvalidRequest, "a request has no member %s", name)
			fault.Details = []serving.Detail{{Field: name, Message: "unknown member", Suggestion: serving.Nearest(name, members)}}
		}
	})
	return fault
}

func wrongMember(name, want string) *serving.Error {
	return serving.Errorf(serving.CodeInvalidRequest, "%s is not %s", name, want).At(name, "give "+want)
}

// target finds the read of service or features.
func (c *call) target(body *fastjson.Value) (*serving.Read, *serving.Error) {
	service, features := body.Get("service"), body.Get("features")
	if (service == nil) == (features == nil) {
		return nil, serving.Errorf(serving.CodeInvalidRequest, "a request names either a service or features").
			At("service", `give "service": "name" or "features": ["view:feature"]`)
	}
	if service != nil {
		name, err := service.StringBytes()
		if err != nil {
			return nil, wrongMember("service", "a name")
		}
		return c.svc.PrepareService(asString(name))
	}
	list, err := features.Array()
	if err != nil {
		return nil, wrongMember("features", "a list of names")
	}
	c.features = c.features[:0]
	for i, v := range list {
		name, err := v.StringBytes()
		if err != nil {
			return nil, wrongMember(fmt.Sprintf("features[%d]", i), "a name, view:feature")
		}
		c.features = append(c.features, asString(name))
	}
	return c.prepare()
}

// prepare compiles c.features, each of which may be asked for once.
func (c *call) prepare() (*serving.Read, *serving.Error) {
	read, err := c.svc.PrepareFeatures(c.features)
	if err != nil {
		return nil, err
	}
	if repeated := read.Repeated(true); len(repeated) > 0 {
		return nil, serving.Errorf(serving.CodeInvalidRequest, "feature %s is asked for twice", repeated[0]).
			At("features", "name each feature once")
	}
	return read, nil
}

// options reads everything that is neither target nor entities.
func (c *call) options(body *fastjson.Value) *serving.Error {
	if v := body.Get("named"); v != nil {
		named, err := v.Bool()
		if err != nil {
			return wrongMember("named", "true or false")
		}
		c.named = named
	}
	if v := body.Get("include"); v != nil {
		list, err := v.Array()
		if err != nil {
			return wrongMember("include", "a list of names")
		}
		for i, x := range list {
			name, _ := x.StringBytes() // what is no string is no known name
			if err := c.setInclude(fmt.Sprintf("include[%d]", i), string(name)); err != nil {
				return err
			}
		}
	}
	return c.maxAges(body.Get("max_age"))
}

func (c *call) setInclude(field, name string) *serving.Error {
	for i, known := range includeNames {
		if known == name {
			c.include |= 1 << i
			return nil
		}
	}
	e := serving.Errorf(serving.CodeInvalidRequest, "an answer cannot include %s", serving.Shown(name))
	d := serving.Detail{Field: field, Message: "one of " + strings.Join(includeNames, ", "), Suggestion: serving.Nearest(name, includeNames)}
	e.Details = []serving.Detail{d}
	return e
}

func (c *call) maxAges(v *fastjson.Value) *serving.Error {
	if v == nil {
		return nil
	}
	o, err := v.Object()
	if err != nil {
		return wrongMember("max_age", `an object such as {"view": "10m"}`)
	}
	var fault *serving.Error
	o.Visit(func(key []byte, v *fastjson.Value) {
		if fault == nil {
			text, _ := v.StringBytes() // what is no string is no duration
			fault = c.setMaxAge(string(key), string(text))
		}
	})
	return fault
}

func (c *call) setMaxAge(view, text string) *serving.Error {
	d, ok := parseAge(text)
	if !ok {
		return wrongMember("max_age."+serving.Shown(view), "a duration such as 30s, 10m or 7d")
	}
	return c.req.SetMaxAge(view, d)
}

const day = 24 * time.Hour

// parseAge reads a duration; days are allowed.
func parseAge(text string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 64)
		if err != nil || n > uint64(math.MaxInt64/day) {
			return 0, false
		}
		return time.Duration(n) * day, true
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// entities reads the entities in either form.
func (c *call) entities(v *fastjson.Value) *serving.Error {
	switch {
	case v == nil:
		return serving.Errorf(serving.CodeMissingEntity, "entities are missing").
			At("entities", `give rows [{"`+c.firstColumn()+`": …}] or columns {"`+c.firstColumn()+`": […]}`)
	case v.Type() == fastjson.TypeArray:
		return c.rows(v.GetArray())
	case v.Type() == fastjson.TypeObject:
		return c.columnar(v.GetObject())
	}
	return wrongMember("entities", "a list of objects or an object of lists")
}

func (c *call) firstColumn() string {
	if columns := c.req.Read().Columns(); len(columns) > 0 {
		return columns[0].Name
	}
	return "id"
}

// lookupQuery answers GET /v1/lookup/{name}: the named form for one service, or
// all of one view. Repeated parameters are rows.
func lookupQuery(c *call) *serving.Error {
	name := c.request.PathValue("name")
	read, err := c.svc.PrepareService(name)
	if err != nil {
		c.features = append(c.features[:0], name)
		if view, fault := c.prepare(); fault == nil {
			read, err = view, nil
		}
	}
	if err != nil {
		return err
	}
	query, fault := url.ParseQuery(c.request.URL.RawQuery)
	if fault != nil {
		return serving.Errorf(serving.CodeInvalidRequest, "the query string is malformed").At("query", "escape it")
	}
	c.req.Reset(read)
	c.named = true
	if err := c.queryOptions(query); err != nil {
		return err
	}
	if err := c.queryEntities(query); err != nil {
		return err
	}
	if err := c.run(); err != nil {
		return err
	}
	c.encodeLookup()
	return nil
}

func (c *call) queryOptions(query url.Values) *serving.Error {
	for _, name := range splitNames(query["include"]) {
		if err := c.setInclude("include", name); err != nil {
			return err
		}
	}
	for _, age := range splitNames(query["max_age"]) {
		view, text, _ := strings.Cut(age, ":")
		if err := c.setMaxAge(view, text); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) queryEntities(query url.Values) *serving.Error {
	rows := 1
	for _, f := range c.req.Read().Columns() {
		rows = max(rows, len(query[f.Name]))
	}
	for _, f := range c.req.Read().Context() {
		rows = max(rows, len(query[f.Name]))
	}
	if limit := c.svc.Limits().MaxEntities; rows > limit {
		return tooMany(rows, limit)
	}
	c.req.Rows = rows
	for i, f := range c.req.Read().Columns() {
		texts := query[f.Name]
		if len(texts) == 0 {
			given := slices.Sorted(maps.Keys(query))
			if c.req.Read().Renamed(i) && !slices.ContainsFunc(given, func(name string) bool { return c.meansColumn(i, name) }) {
				c.req.Columns[i].Resize(rows)
				continue
			}
			return missingAmong(given, f.Name, f.Name)
		}
		if err := countTexts(f.Name, len(texts), rows); err != nil {
			return err
		}
		c.req.Columns[i].Resize(rows)
		for row := range rows {
			if !c.setText(&c.req.Columns[i], row, texts[min(row, len(texts)-1)]) {
				return wrongType(f.Name, f)
			}
		}
	}
	return c.queryContext(query)
}

// countTexts refuses a parameter that is given neither once nor once per row.
func countTexts(name string, n, rows int) *serving.Error {
	if n == 1 || n == rows {
		return nil
	}
	return serving.Errorf(serving.CodeInvalidRequest, "parameter %s is given %d times, another one %d times", name, n, rows).
		At(name, "give one value, or as many as there are rows")
}
