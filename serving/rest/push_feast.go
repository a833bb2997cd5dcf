package rest

import (
	"net/http"

	"github.com/valyala/fastjson"

	"millrace/serving"
)

// feastPush answers POST /push.
func feastPush(c *call) *serving.Error {
	body, err := c.feastWriteBody("push_source_name")
	if err != nil {
		return err
	}
	c.pushed.req.Source = string(body.GetStringBytes("push_source_name"))
	c.pushed.req.To = serving.PushTo(body.GetStringBytes("to"))
	return c.feastFrame(body)
}

// feastWrite answers POST /write-to-online-store.
func feastWrite(c *call) *serving.Error {
	body, err := c.feastWriteBody("feature_view_name")
	if err != nil {
		return err
	}
	c.pushed.req.View = string(body.GetStringBytes("feature_view_name"))
	if err := c.feastFrame(body); err != nil {
		return err
	}
	c.enc.raw("null")
	return nil
}

// feastWriteBody reads a body and checks its schema, collecting every fault as
// Feast does.
func (c *call) feastWriteBody(target string) (*fastjson.Value, *serving.Error) {
	if err := c.readPush(); err != nil {
		return nil, err
	}
	body, offset, ok := c.parse()
	if !ok {
		return nil, c.refuseAt("json_invalid", "JSON decode error", offset)
	}
	if body.Type() != fastjson.TypeObject {
		return nil, c.refuse("model_attributes_type", "Input should be a valid dictionary or object to extract fields from")
	}
	var err *serving.Error
	check := func(name string, needed bool, kind, message string, fits func(*fastjson.Value) bool) {
		switch v := body.Get(name); {
		case v == nil && needed:
			err = c.refuse("missing", "Field required", name)
		case v != nil && !fits(v):
			err = c.refuse(kind, message, name)
		}
	}
	isText := func(v *fastjson.Value) bool { return v.Type() == fastjson.TypeString }
	isBool := func(v *fastjson.Value) bool { return v.Type() == fastjson.TypeTrue || v.Type() == fastjson.TypeFalse }
	check(target, true, "string_type", "Input should be a valid string", isText)
	check("df", true, "dict_type", "Input should be a valid dictionary", func(v *fastjson.Value) bool { return v.Type() == fastjson.TypeObject })
	check("allow_registry_cache", false, "bool_type", "Input should be a valid boolean", isBool)
	check("transform_on_write", false, "bool_type", "Input should be a valid boolean", isBool)
	if target == "push_source_name" {
		check("to", false, "string_type", "Input should be a valid string", isText)
	}
	if v := body.Get("transform_on_write"); v != nil && err == nil {
		flag := v.Type() == fastjson.TypeTrue
		c.pushed.req.Transform = &flag
	}
	return body, err
}

// feastFrame writes the rows of a data frame. Of an empty one the names are
// checked all the same.
func (c *call) feastFrame(body *fastjson.Value) *serving.Error {
	req := &c.pushed.req
	req.Frame = true
	var err *serving.Error
	if req.Timeout, err = c.timeout(); err != nil {
		return err
	}
	columns, rows, err := c.frameColumns(body.GetObject("df"))
	if err != nil {
		return err
	}
	c.frameRows(columns, rows)
	c.pushed.answer, err = c.pushed.writer.Push(c.request.Context(), req)
	return err
}

// frameColumn is one column of a data frame: a value per row, or one for all.
type frameColumn struct {
	name   string
	values []*fastjson.Value
	scalar *fastjson.Value // of all rows
}

func (f *frameColumn) at(row int) *fastjson.Value {
	if f.scalar != nil {
		return f.scalar
	}
	return f.values[row]
}

// frameColumns reads a frame's columns and finds how many rows it has.
func (c *call) frameColumns(df *fastjson.Object) (columns []frameColumn, rows int, err *serving.Error) {
	df.Visit(func(key []byte, v *fastjson.Value) {
		f := frameColumn{name: string(key)}
		switch v.Type() {
		case fastjson.TypeArray:
			f.values = v.GetArray()
		case fastjson.TypeObject: // values by the names of rows
			v.GetObject().Visit(func(_ []byte, v *fastjson.Value) { f.values = append(f.values, v) })
		default:
			f.scalar = v
		}
		columns = append(columns, f)
	})
	if len(columns) == 0 {
		return nil, 0, nil
	}
	rows = -1
	for i := range columns {
		if f := &columns[i]; f.scalar == nil && (rows < 0 || len(f.values) < rows) {
			rows = len(f.values)
		}
	}
	if rows < 0 {
		return nil, 0, serving.Errorf(serving.CodeInvalidRequest, "If using all scalar values, you must pass an index")
	}
	for i := range columns {
		f := &columns[i]
		fits := f.scalar != nil || len(f.values) == rows || c.isJoinKey(f.name) && f.halve(rows)
		if !fits {
			return nil, 0, serving.Errorf(serving.CodeInvalidRequest, "All arrays must be of the same length")
		}
	}
	return columns, rows, nil
}

func (c *call) isJoinKey(name string) bool {
	for _, e := range c.svc.Catalog().Entities {
		for _, k := range e.JoinKeys {
			if k.Name == name {
				return true
			}
		}
	}
	return false
}

// halve takes every second value of a column that has each twice: Feast's
// client sends join keys so with views that it computes at write.
func (f *frameColumn) halve(rows int) bool {
	if len(f.values) != 2*rows {
		return false
	}
	var half []*fastjson.Value
	for i := 0; i < len(f.values); i += 2 {
		if f.values[i].String() != f.values[i+1].String() {
			return false
		}
		half = append(half, f.values[i])
	}
	f.values = half
	return true
}

// frameRows turns columns into rows.
func (c *call) frameRows(columns []frameColumn, rows int) {
	ends := make([]int, rows)
	out := c.scratch[:0]
	for row := range rows {
		out = append(out, '{')
		for i := range columns {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendString(out, columns[i].name)
			out = append(out, ':')
			out = columns[i].at(row).MarshalTo(out)
		}
		out = append(out, '}')
		ends[row] = len(out)
	}
	c.scratch = out
	c.setRows(ends)
}

// failFeastPush encodes e as Feast's server would.
func failFeastPush(c *call, e *serving.Error) int {
	if len(c.schema) > 0 {
		return failFeast(c, e)
	}
	switch {
	case e.Code == serving.CodeUnknownSource:
		c.feastError("feast.errors", "PushSourceNotFoundException", "Unable to find push source '"+firstName(e)+"'.")
		return http.StatusUnprocessableEntity
	case e.Code == serving.CodeUnknownView:
		c.feastError("feast.errors", "FeastObjectNotFoundException", "Can't recognize feast object with a name "+firstName(e))
		return http.StatusNotFound
	case e.Code == serving.CodeInvalidRequest && len(e.Details) == 1 && e.Details[0].Field == "to":
		c.feastError("builtins", "ValueError", serving.Shown(string(c.pushed.req.To))+
			" is not a supported push format. Please specify one of these ['online', 'offline', 'online_and_offline'].")
		return http.StatusUnprocessableEntity
	}
	return failFeast(c, e)
}
