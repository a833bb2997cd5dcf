package predict

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"millrace/feature"
)

// Events are told what happens; nil ones are left out. They may be called
// concurrently, from any goroutine, and must not block or call the client.
type Events struct {
	// Call is told of every HTTP call of a batch, retries included: its rows, its
	// duration, and how it ended.
	Call func(rows int, took time.Duration, reason Reason)
	// Rows is told once per Predict and reason that occurred, how many rows ended so.
	Rows func(reason Reason, n int)
	// Coalesced is told how many rows of a Predict joined one that was asked for already.
	Coalesced func(n int)
	// Reused is told how many rows of a Predict got a prediction whose call had
	// ended shortly before.
	Reused func(n int)
	// Remembered is told how many rows of a Predict failed by what is remembered.
	Remembered func(n int)
	// Retried is told of every retry, by the reason of the first failure.
	Retried func(reason Reason)
	// Breaker is told of every change of the circuit breaker.
	Breaker func(state BreakerState)
	// Failed is told of every batch that failed. The error names no keys or
	// values; its Said may.
	Failed func(err *Error)
}

// BreakerState is what the circuit breaker lets through.
type BreakerState uint8

// The states.
const (
	BreakerClosed   BreakerState = iota // everything
	BreakerHalfOpen                     // one call, which decides
	BreakerOpen                         // nothing
)

// String returns the name that metrics carry.
func (s BreakerState) String() string {
	return [...]string{"closed", "half_open", "open"}[min(s, BreakerOpen)]
}

// Settings are what New needs besides the model. Zero values take the defaults.
type Settings struct {
	// Transport makes the calls; default is a NewTransport() of its own, which
	// Close closes. Clients may share one, which is their owner's to close.
	// It must not follow redirects or retry by itself.
	Transport http.RoundTripper

	Window          time.Duration // how long a batch waits for more rows; default 1 ms, negative does not wait
	MaxPendingRows  int           // rows that wait or are being inferred; default 16,384
	MaxRequestBytes int           // of values, beyond which a batch takes no more rows; default 1 MiB
	MaxAnswerBytes  int64         // default 4 MiB

	Remember time.Duration // how long a row that failed is not tried again; default 2 s, negative forgets at once
	// Reuse is for how long after its call a prediction is given to whoever asks
	// for the same key, so that a read that looked at the store before it was
	// stored makes no second call; default 500 ms, negative ends with the call.
	Reuse time.Duration

	BreakerFailures int           // failures in a row that open the breaker; default 5
	BreakerPause    time.Duration // how long it stays open before one call is tried; default 5 s

	Events Events
}

func (s *Settings) prepare() {
	s.Window = cmp.Or(s.Window, time.Millisecond)
	s.MaxPendingRows = cmp.Or(s.MaxPendingRows, 16_384)
	s.MaxRequestBytes = cmp.Or(s.MaxRequestBytes, 1<<20)
	s.MaxAnswerBytes = cmp.Or(s.MaxAnswerBytes, 4<<20)
	s.Remember = cmp.Or(s.Remember, 2*time.Second)
	s.Reuse = cmp.Or(s.Reuse, 500*time.Millisecond)
	s.BreakerFailures = cmp.Or(s.BreakerFailures, 5)
	s.BreakerPause = cmp.Or(s.BreakerPause, 5*time.Second)
}

// NewTransport returns a transport fit for model servers: connections are kept,
// and answers come as they are, never unpacked to more than was read.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 5 * time.Second,
		DisableCompression:  true,
	}
}

// Client calls one version of one model. It is safe for concurrent use.
type Client struct {
	model    Model
	settings Settings
	base     *url.URL
	http     *http.Client
	own      *http.Transport // that nobody else uses; nil if there is none
	breaker  *gobreaker.CircuitBreaker[struct{}]
	wire     atomic.Pointer[wire]
	slots    chan struct{} // one per call at a time
	decoders sync.Pool
	encoders sync.Pool

	ctx  context.Context //nolint:containedctx // the life of the client, which calls of several callers share
	stop context.CancelCauseFunc
	done sync.WaitGroup // batches

	mu struct {
		sync.Mutex

		closed   bool
		open     *batch         // takes rows; nil if none does
		flights  map[Key]place  // rows that wait or are being inferred
		failures memory[*Error] // of rows, lately
		recent   memory[place]  // predictions whose calls ended lately
		company  memory[int]    // of rows that failed with others: with how many they are tried next
		pending  int            // rows of all batches
		answered time.Time      // when a call was last answered in full
	}
}

// New returns a client for m. It makes no call: see Learn. The caller closes it.
func New(m Model, s Settings) (*Client, error) {
	base, err := m.prepare()
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	c := &Client{model: m, base: base, slots: make(chan struct{}, m.Concurrency)}
	if s.Transport == nil {
		c.own = NewTransport()
		s.Transport = c.own
	}
	s.prepare()
	c.settings = s
	c.http = &http.Client{Transport: s.Transport, CheckRedirect: checkRedirect}
	c.breaker = newBreaker(&c.settings)
	c.wire.Store(&wire{})
	c.mu.failures.keep, c.mu.recent.keep, c.mu.company.keep = s.Remember, s.Reuse, keepCompany
	c.mu.flights = make(map[Key]place)
	c.decoders.New = func() any { return new(decoder) }
	c.encoders.New = func() any { return new(encoder) }
	c.ctx, c.stop = context.WithCancelCause(context.Background())
	return c, nil
}

// Close ends the calls that are being made, whose rows fail as canceled, and
// waits until they have ended. It is safe to call twice.
func (c *Client) Close() {
	c.mu.Lock()
	c.mu.closed = true
	c.mu.Unlock()
	c.stop(ErrClosed)
	c.done.Wait()
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// Key names what a row is a prediction of. Rows of one Key that are asked for
// at the same time, or shortly after, share one result, so the fingerprint must
// tell inputs apart.
type Key struct{ Entity, Fingerprint string }

// Request is rows to infer.
type Request struct {
	Inputs []*feature.Column // parallel to Model.Inputs, of their types, Rows long
	Rows   int
	Keys   []Key // one per row; nil shares nothing and remembers nothing
}

// Result is what became of the rows of a Request. It may be used again.
type Result struct {
	Outputs []feature.Column // parallel to Model.Outputs; null where there is a fault
	Faults  []*Error         // one per row; nil where there is a prediction
	// Shared rows have a prediction that another row of their key was given first,
	// of this Predict or another one. Of all rows that get one prediction exactly
	// one is not shared: whoever keeps predictions keeps that.
	Shared feature.Bitmap
}

func (r *Result) reset(m *Model, rows int) {
	if len(r.Outputs) != len(m.Outputs) {
		r.Outputs = make([]feature.Column, len(m.Outputs))
	}
	for i := range r.Outputs {
		r.Outputs[i].Reset(m.Outputs[i].Type)
		r.Outputs[i].Resize(rows)
	}
	r.Faults = append(r.Faults[:0], make([]*Error, rows)...)
	r.Shared = r.Shared[:0].Resize(rows)
}

// Predict infers the rows of q and fills dst: for each row either all outputs
// or a fault. It blocks until all are known or ctx ends, whose rows then fail
// as timeout or canceled; a call that other callers wait for goes on. q and
// what its columns and keys point to are the caller's again on return. The
// error is for a q that does not fit the model, or ErrClosed.
//
// Strings of dst are nobody else's to change and live as long as dst.
func (c *Client) Predict(ctx context.Context, q *Request, dst *Result) error {
	if err := c.model.accepts(q); err != nil {
		return fmt.Errorf("predict with model %q: %w", c.model.Name, err)
	}
	dst.reset(&c.model, q.Rows)
	if ctx.Err() != nil {
		fault := c.ended(ctx)
		for row := range dst.Faults {
			dst.Faults[row] = fault
		}
		c.tell(dst)
		return nil
	}
	w := waiter{client: c, places: make([]place, q.Rows)}
	if err := w.enter(q, dst); err != nil {
		return err
	}
	w.collect(ctx, dst)
	c.tell(dst)
	return nil
}

// accepts checks that q's columns are those of m.
func (m *Model) accepts(q *Request) error {
	if len(q.Inputs) != len(m.Inputs) {
		return fmt.Errorf("there are %d columns, want %d", len(q.Inputs), len(m.Inputs))
	}
	if q.Keys != nil && len(q.Keys) != q.Rows {
		return fmt.Errorf("there are %d keys for %d rows", len(q.Keys), q.Rows)
	}
	for i, c := range q.Inputs {
		want := m.Inputs[i].Type
		switch {
		case c.Type.Kind != want.Kind || c.Type.Depth != want.Depth:
			return fmt.Errorf("column %q is %s, want %s", m.Inputs[i].Name, c.Type, want)
		case c.Len() != q.Rows:
			return fmt.Errorf("column %q has %d rows, want %d", m.Inputs[i].Name, c.Len(), q.Rows)
		}
	}
	return nil
}

// tell counts the rows of a result for the events.
func (c *Client) tell(dst *Result) {
	if c.settings.Events.Rows == nil {
		return
	}
	var counts [Reasons]int
	for _, f := range dst.Faults {
		if f == nil {
			counts[ReasonNone]++
		} else {
			counts[f.Reason]++
		}
	}
	for r, n := range counts {
		if n > 0 {
			c.settings.Events.Rows(Reason(r), n)
		}
	}
}

// fail makes an error of the model.
func (c *Client) fail(r Reason, err error) *Error {
	return &Error{Model: c.model.Name, Version: c.model.Version, Reason: r, Err: err}
}

// path joins the endpoint and elements of a path, each of which is escaped.
func (c *Client) path(elements ...string) string {
	var b strings.Builder
	b.WriteString(c.base.String())
	for _, e := range elements {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(e))
	}
	return b.String()
}

// modelPath is the path of the model's version, and of what lies below.
func (c *Client) modelPath(below ...string) string {
	elements := []string{"v2", "models", c.model.Name}
	if c.model.Version != "" {
		elements = append(elements, "versions", c.model.Version)
	}
	return c.path(append(elements, below...)...)
}

var errRedirect = errors.New("the server redirects to another host or method, which is not followed")

// checkRedirect follows a server to another path of its own, with the same
// method and body, three times at most.
func checkRedirect(r *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 3 || r.URL.Host != first.URL.Host || r.URL.Scheme != first.URL.Scheme || r.Method != first.Method {
		return errRedirect
	}
	return nil
}
