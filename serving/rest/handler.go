package rest

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fastjson"

	"millrace/feature"
	"millrace/serving"
)

// Settings are what Handler needs beside the service. The zero value is ready.
type Settings struct {
	Writer     serving.Writer     // nil: nothing can be written
	PushLimits serving.PushLimits // of what is read for it
	// Pushed is called once per request to write, or for a receipt, with its
	// end and duration; nil is left out. It must not block.
	Pushed func(endpoint string, code serving.Code, took time.Duration)
}

// Paths of the API.
const (
	pathFeast   = "/get-online-features"
	pathLookup  = "/v1/lookup"
	pathExplain = "/v1/explain"
	pathHealth  = "/health"
)

// Handler returns the API over svc. It is safe for concurrent use and adds no
// limits of its own to those of svc.
func Handler(svc *serving.Service, s Settings) http.Handler {
	s.PushLimits = s.PushLimits.WithDefaults()
	h := &handler{svc: svc, s: s, calls: sync.Pool{New: func() any { return new(call) }}}
	mux := http.NewServeMux()
	mux.Handle("POST "+pathFeast, h.serve(feast, failFeast))
	mux.Handle("POST "+pathLookup, h.serve(lookup, failNative))
	mux.Handle("POST "+pathExplain, h.serve(explain, failNative))
	mux.Handle("GET "+pathLookup+"/{name}", h.serve(lookupQuery, failNative))
	mux.HandleFunc("GET "+pathHealth, func(http.ResponseWriter, *http.Request) {})
	paths := []path{{pathFeast, "POST"}, {pathLookup, "POST"}, {pathLookup + "/{name}", "GET"}, {pathExplain, "POST"}, {pathHealth, "GET"}}
	if s.Writer != nil {
		paths = append(paths, h.handlePush(mux)...)
	}
	for _, p := range paths {
		mux.Handle(p.path, h.serve(func(c *call) *serving.Error {
			c.header.Set("Allow", p.allow)
			return serving.Errorf(serving.CodeMethodNotAllowed, "%s takes %s", p.path, p.allow)
		}, failNative))
	}
	mux.Handle("/", h.serve(noSuchPath, failNative))
	return mux
}

// path is one of the API's, and what it takes.
type path struct{ path, allow string }

func noSuchPath(c *call) *serving.Error {
	e := serving.Errorf(serving.CodeNotFound, "there is no such path")
	near := serving.Nearest(c.request.URL.Path, []string{pathFeast, pathLookup, pathExplain, pathHealth, pathFeastPush, pathFeastWrite, pathPush})
	e.Details = []serving.Detail{{Field: "path", Message: "unknown path", Suggestion: near}}
	return e
}

type handler struct {
	svc   *serving.Service
	s     Settings
	calls sync.Pool // *call
}

// call is the memory of one request, reused. Values of a request point into
// the parser and the arena until the answer is encoded.
type call struct {
	svc     *serving.Service
	request *http.Request
	header  http.Header // of the answer
	writer  http.ResponseWriter

	body     []byte
	parser   fastjson.Parser
	arena    feature.Arena
	scratch  []byte
	features []string
	places   []place // where request data may stand
	req      serving.Request
	resp     serving.Response
	enc      encoder
	schema   []schemaFault // faults of a Feast body
	include  include
	named    bool
	pushed   pushed
	limits   serving.PushLimits
}

// endpoint answers a call into c.enc, or says why not.
type endpoint func(c *call) *serving.Error

// failure encodes an error into c.enc and returns the HTTP status.
type failure func(c *call, e *serving.Error) int

func (h *handler) serve(answer endpoint, fail failure) http.HandlerFunc {
	return h.handle(answer, fail, func(c *call, code serving.Code, start time.Time) {
		h.svc.Unencodable(c.enc.unencodable)
		h.svc.Done(code, start)
	})
}

// handle answers calls; told is called once per call with its end.
func (h *handler) handle(answer endpoint, fail failure, told func(*call, serving.Code, time.Time)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := h.svc.Clock()
		c, _ := h.calls.Get().(*call)
		c.begin(h, w, r)
		code := serving.CodeOK
		err := answer(c)
		status := max(c.pushed.status, http.StatusOK)
		if err != nil {
			code = err.Code
			c.enc.reset(false)
			status = fail(c, err)
		}
		if c.pushed.pass != nil {
			c.pushed.pass.Leave()
		}
		c.write(w, status)
		told(c, code, start)
		if c.end() {
			h.calls.Put(c)
		}
	}
}

func (c *call) begin(h *handler, w http.ResponseWriter, r *http.Request) {
	c.svc, c.request, c.header, c.writer, c.limits = h.svc, r, w.Header(), w, h.s.PushLimits
	c.schema, c.include, c.named, c.pushed = c.schema[:0], 0, false, pushed{writer: h.s.Writer, nextRow: -1}
	c.enc.reset(false)
}

// maxPooledBytes is the most memory that a pooled call may hold on to.
const maxPooledBytes = 4 << 20

// end lets go of the request and reports whether c is worth keeping.
func (c *call) end() bool {
	c.resp.Release()
	c.svc, c.request, c.header, c.writer, c.pushed = nil, nil, nil, nil, pushed{}
	clear(c.features)
	clear(c.places)
	worth := cap(c.body) <= maxPooledBytes && cap(c.enc.out) <= maxPooledBytes && cap(c.scratch) <= maxPooledBytes && c.arena.Bytes() <= maxPooledBytes
	c.arena.Reset()
	return worth
}

func (c *call) write(w http.ResponseWriter, status int) {
	if len(c.enc.out) > 0 {
		c.header.Set("Content-Type", "application/json")
	}
	c.header.Set("Content-Length", strconv.Itoa(len(c.enc.out)))
	w.WriteHeader(status)
	_, _ = w.Write(c.enc.out) // a caller that went away is told nothing
}

// minBodyBytes is the first size of a body buffer.
const minBodyBytes = 4 << 10

// readBody reads the whole body, up to the service's limit.
func (c *call) readBody() *serving.Error { return c.readUpTo(c.svc.Limits().MaxBodyBytes) }

func (c *call) readUpTo(limit int64) *serving.Error {
	if c.request.ContentLength > limit {
		return tooLarge(limit)
	}
	c.body = slices.Grow(c.body[:0], minBodyBytes)
	for {
		n, err := c.request.Body.Read(c.body[len(c.body):cap(c.body)])
		c.body = c.body[:len(c.body)+n]
		switch {
		case int64(len(c.body)) > limit:
			return tooLarge(limit)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return serving.Errorf(serving.CodeInvalidRequest, "the body broke off")
		}
		c.body = slices.Grow(c.body, 1)
	}
}

func tooLarge(limit int64) *serving.Error {
	return serving.Errorf(serving.CodeTooLarge, "the body is larger than %d bytes", limit).At("body", "split the request")
}

// parse reads the body as JSON. ok is false, with the byte at which it stops
// being JSON, if it is not.
func (c *call) parse() (v *fastjson.Value, offset int, ok bool) {
	// The parser bounds the depth but lets some non-JSON through, the validator
	// the other way round.
	v, err := c.parser.ParseBytes(c.body)
	if err != nil || fastjson.ValidateBytes(c.body) != nil {
		return nil, faultOffset(c.body), false
	}
	return v, 0, true
}

// timeout reads the caller's own bound.
func (c *call) timeout() (time.Duration, *serving.Error) {
	text := c.request.Header.Get("X-Request-Timeout")
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, serving.Errorf(serving.CodeInvalidRequest, "X-Request-Timeout is not a duration").
			At("X-Request-Timeout", "write 250ms or 2s")
	}
	return d, nil
}

// run looks c.req up.
func (c *call) run() *serving.Error {
	timeout, err := c.timeout()
	if err != nil {
		return err
	}
	c.req.Timeout = timeout
	c.req.Complete = c.include&includeComplete != 0
	return c.svc.Lookup(c.request.Context(), &c.req, &c.resp)
}

func splitNames(texts []string) []string {
	names := make([]string, 0, len(texts))
	for _, t := range texts {
		names = append(names, strings.Split(t, ",")...)
	}
	return names
}
