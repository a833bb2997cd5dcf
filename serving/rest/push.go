package rest

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"millrace/serving"
)

// Paths of writing.
const (
	pathPush       = "/v1/push"
	pathReceipts   = "/v1/receipts"
	pathFeastPush  = "/push"
	pathFeastWrite = "/write-to-online-store"
)

// pushed is what a call that writes has beside others.
type pushed struct {
	writer  serving.Writer
	pass    serving.Pass // nil before there is room for it
	req     serving.PushRequest
	answer  serving.PushAnswer
	status  int // of the answer; 0 is 200
	nextRow int // line from which a stream is to be sent again; -1 for none
}

// handlePush adds what writes.
func (h *handler) handlePush(mux *http.ServeMux) []path {
	mux.Handle("POST "+pathPush+"/{source}", h.servePush("push", pushNative, failNative))
	mux.Handle("GET "+pathReceipts+"/{id}", h.servePush("receipts", receipt, failNative))
	mux.Handle("POST "+pathFeastPush, h.servePush("feast_push", feastPush, failFeastPush))
	mux.Handle("POST "+pathFeastWrite, h.servePush("feast_write", feastWrite, failFeastPush))
	return []path{{pathPush + "/{source}", "POST"}, {pathReceipts + "/{id}", "GET"}, {pathFeastPush, "POST"}, {pathFeastWrite, "POST"}}
}

func (h *handler) servePush(name string, answer endpoint, fail failure) http.HandlerFunc {
	return h.handle(answer, fail, func(_ *call, code serving.Code, start time.Time) {
		if h.s.Pushed != nil {
			h.s.Pushed(name, code, h.svc.Clock().Sub(start))
		}
	})
}

// readTimeout bounds how long a caller may take to send a body, or a part of a
// streamed one.
const readTimeout = 30 * time.Second

// readPush reads a body that is not streamed, into room that it has.
func (c *call) readPush() *serving.Error {
	limit := c.limits.MaxBodyBytes
	announced := c.request.ContentLength
	if announced > limit {
		return tooLarge(limit)
	}
	if announced < 0 {
		announced = limit
	}
	if err := c.admit(announced); err != nil {
		return err
	}
	c.readWithin(readTimeout)
	defer c.readWithin(0)
	if err := c.readUpTo(limit); err != nil {
		return err
	}
	return c.pushed.pass.Hold(int64(cap(c.body)))
}

// readWithin bounds how long the caller may take to send; 0 lifts the bound,
// which would otherwise end the answer, too.
func (c *call) readWithin(d time.Duration) {
	var deadline time.Time
	if d > 0 {
		deadline = time.Now().Add(d)
	}
	_ = http.NewResponseController(c.writer).SetReadDeadline(deadline) // not every writer has one
}

// admit takes room for a request that holds so many bytes.
func (c *call) admit(bytes int64) (err *serving.Error) {
	c.pushed.pass, err = c.pushed.writer.Admit(bytes)
	c.pushed.req.Pass = c.pushed.pass
	return err
}

// pushNative answers POST /v1/push/{source}.
func pushNative(c *call) *serving.Error {
	req := &c.pushed.req
	req.Source = c.request.PathValue("source")
	if err := c.pushQuery(); err != nil {
		return err
	}
	var err *serving.Error
	if req.Timeout, err = c.timeout(); err != nil {
		return err
	}
	if c.isLines() {
		return c.pushLines()
	}
	if err := c.pushBody(); err != nil {
		return err
	}
	return c.pushRows()
}

func (c *call) pushRows() *serving.Error {
	var err *serving.Error
	if c.pushed.answer, err = c.pushed.writer.Push(c.request.Context(), &c.pushed.req); err != nil {
		return err
	}
	c.encodePush()
	return nil
}

var (
	pushMembers = []string{"rows", "view", "transform_on_write", "to", "on_error"}
	pushQueries = []string{"view", "transform_on_write", "to", "on_error", "mode"}
)

// pushQuery reads the query parameters, and the Prefer header.
func (c *call) pushQuery() *serving.Error {
	req := &c.pushed.req
	for preference := range strings.SplitSeq(strings.Join(c.request.Header.Values("Prefer"), ","), ",") {
		if strings.EqualFold(strings.TrimSpace(preference), "respond-async") {
			req.Async = true
		}
	}
	query := c.request.URL.Query()
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names) // so that of several faults the same one is told
	for _, name := range names {
		if err := c.pushOption(name, query.Get(name), "query."+name); err != nil {
			return err
		}
	}
	return nil
}

// pushOption takes one option.
func (c *call) pushOption(name, value, field string) *serving.Error {
	req := &c.pushed.req
	wrong := func(want string) *serving.Error {
		return serving.Errorf(serving.CodeInvalidRequest, "%s is not %s", field, want).At(field, "write "+want)
	}
	switch name {
	case "view":
		req.View = value
	case "to":
		req.To = serving.PushTo(value)
	case "transform_on_write":
		flag := value == "true"
		if !flag && value != "false" {
			return wrong("true or false")
		}
		req.Transform = &flag
	case "on_error":
		if value != "reject_row" && value != "reject_request" {
			return wrong("reject_request or reject_row")
		}
		req.RejectRows = value == "reject_row"
	case "mode":
		if value != "async" && value != "sync" {
			return wrong("async or sync")
		}
		req.Async = value == "async"
	default:
		e := serving.Errorf(serving.CodeInvalidRequest, "there is no parameter %s", serving.Shown(name))
		e.Details = []serving.Detail{{Field: field, Message: "unknown parameter", Suggestion: serving.Nearest(name, pushQueries)}}
		return e
	}
	return nil
}

// pushBody reads {"rows": […], …}.
func (c *call) pushBody() *serving.Error {
	if err := c.readPush(); err != nil {
		return err
	}
	body, err := c.parseObject(pushMembers, `write {"rows": [{…}]}, or one row per line with Content-Type: application/x-ndjson`)
	if err != nil {
		return err
	}
	rows := body.Get("rows")
	if rows == nil || rows.Type() != fastjson.TypeArray {
		return serving.Errorf(serving.CodeInvalidRequest, "rows is not a list").At("rows", `write "rows": [{…}]`)
	}
	for _, name := range pushMembers[1:] {
		v := body.Get(name)
		if v == nil || v.Type() == fastjson.TypeNull {
			continue
		}
		if err := c.pushOption(name, scalarText(v), name); err != nil {
			return err
		}
	}
	c.rowsOf(rows.GetArray())
	return nil
}

// scalarText is what a query parameter of that value would be.
func scalarText(v *fastjson.Value) string {
	if v.Type() == fastjson.TypeString {
		return string(v.GetStringBytes())
	}
	return v.String()
}

// rowsOf makes the request's rows of values, as text in c.scratch.
func (c *call) rowsOf(values []*fastjson.Value) {
	ends := make([]int, len(values))
	c.scratch = c.scratch[:0]
	for i, v := range values {
		c.scratch = v.MarshalTo(c.scratch)
		ends[i] = len(c.scratch)
	}
	c.setRows(ends)
}

// setRows makes the request's rows of the texts in c.scratch that end there.
func (c *call) setRows(ends []int) {
	rows := make([][]byte, len(ends))
	at := 0
	for i, end := range ends {
		rows[i] = c.scratch[at:end:end]
		at = end
	}
	c.pushed.req.Rows = rows
}

// encodePush writes the answer.
func (c *call) encodePush() {
	a, b := &c.pushed.answer, &c.enc
	b.reset(false)
	if a.Receipt != "" {
		at := pathReceipts + "/" + a.Receipt
		c.pushed.status = http.StatusAccepted
		c.header.Set("Location", at)
		c.header.Set("Preference-Applied", "respond-async")
		b.raw(`{"receipt":`).text(a.Receipt).raw(`,"accepted":`).int(int64(a.Published))
		b.raw(`,"rejected":`).int(int64(a.Rejected))
		b.raw(`,"errors":`)
		b.rowFaults(a.Errors)
		b.raw(`}`)
		return
	}
	b.written(a)
}

// written is what became of rows that are written.
func (b *encoder) written(a *serving.PushAnswer) {
	b.raw(`{"stored":`).int(int64(a.Stored))
	b.raw(`,"filtered":`).int(int64(a.Filtered))
	b.raw(`,"rejected":`).int(int64(a.Rejected))
	if a.Published > 0 {
		b.raw(`,"published":`).int(int64(a.Published))
	}
	b.raw(`,"views":{`)
	for i, v := range a.Views {
		b.comma(i)
		b.text(v.View).raw(`:{"stored":`).int(int64(v.Stored))
		b.raw(`,"filtered":`).int(int64(v.Filtered))
		b.raw(`,"rejected":`).int(int64(v.Rejected))
		b.raw(`}`)
	}
	b.raw(`},"errors":`)
	b.rowFaults(a.Errors)
	b.raw(`}`)
}

func (e *encoder) rowFaults(faults []serving.RowFault) {
	e.raw(`[`)
	for i := range faults {
		f := &faults[i]
		e.comma(i)
		e.raw(`{"row":`).int(int64(f.Row))
		if f.Element > 0 {
			e.raw(`,"element":`).int(int64(f.Element))
		}
		if f.View != "" {
			e.raw(`,"view":`).text(f.View)
		}
		e.raw(`,"reason":`).text(string(f.Reason)).raw(`,"message":`).text(f.Message).raw(`}`)
	}
	e.raw(`]`)
}

// pushFault adds to an error what a writer needs to go on.
func (c *call) pushFault() {
	if c.pushed.nextRow >= 0 {
		c.enc.raw(`,"next_row":`).int(int64(c.pushed.nextRow))
		c.enc.raw(`,"written":`).written(&c.pushed.answer)
	}
	if c.pushed.answer.Receipt != "" {
		c.enc.raw(`,"receipt":`).text(c.pushed.answer.Receipt)
	}
}

// receipt answers GET /v1/receipts/{id}.
func receipt(c *call) *serving.Error {
	timeout, err := c.timeout()
	if err != nil {
		return err
	}
	id := c.request.PathValue("id")
	st, err := c.pushed.writer.Receipt(c.request.Context(), id, timeout)
	if err != nil {
		return err
	}
	b := &c.enc
	b.raw(`{"id":`).text(id).raw(`,"state":`).text(string(st.State)).raw(`,"rows":`).int(int64(st.Rows))
	b.raw(`,"finished":`).int(int64(st.Finished))
	b.raw(`,"errors":`)
	b.rowFaults(st.Errors)
	b.raw(`}`)
	return nil
}
