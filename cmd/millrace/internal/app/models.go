package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"millrace/internal/telemetry"
	"millrace/serving"
	"millrace/serving/predict"
	"millrace/transforms"
)

// Waits between two tries to learn how a server wants its requests. One that is
// away does not hold anything up: requests are JSON until it is there.
const (
	learnWaitMin = time.Second
	learnWaitMax = time.Minute
	// doubtPause is from one failure that makes a server be asked anew to the next.
	doubtPause = 30 * time.Second
)

// Models is the clients of all models that have a server. It is safe for
// concurrent use.
type Models struct {
	clients  map[string]*predict.Client
	http     *http.Client // of the transport that all share
	stop     context.CancelFunc
	learning sync.WaitGroup
}

// NewModels makes a client for each of plans that has an endpoint. It asks
// nobody: what servers say about themselves is learned in the background, so
// that a dead model stops nothing. The caller closes it.
func NewModels(plans map[string]*transforms.ModelPlan, m *telemetry.Metrics, log *slog.Logger) (*Models, error) {
	return newModels(plans, predict.NewTransport(), m, log)
}

func newModels(plans map[string]*transforms.ModelPlan, transport http.RoundTripper, m *telemetry.Metrics, log *slog.Logger) (*Models, error) {
	ctx, stop := context.WithCancel(context.Background())
	all := &Models{clients: make(map[string]*predict.Client), http: &http.Client{Transport: transport}, stop: stop}
	for name, p := range plans {
		if p.Model.Endpoint == "" {
			continue
		}
		l := &learner{again: make(chan struct{}, 1), log: log.With("model", name)}
		c, err := predict.New(PredictModel(p), predict.Settings{Transport: transport, Events: l.events(m.Prediction(name))})
		if err != nil {
			all.Close()
			return nil, fmt.Errorf("make the client of a model: %w", err)
		}
		all.clients[name] = c
		all.learning.Go(func() { l.run(ctx, c) })
	}
	return all, nil
}

// Predictors are what serving asks, by model. They are of use until Close.
func (m *Models) Predictors() map[string]serving.Predictor {
	all := make(map[string]serving.Predictor, len(m.clients))
	for name, c := range m.clients {
		all[name] = predictor{c}
	}
	return all
}

// Close ends all calls, whose rows fail, and closes all connections. Close it
// after everybody who asks. It is safe to call twice.
func (m *Models) Close() {
	m.stop()
	for _, c := range m.clients {
		c.Close()
	}
	m.learning.Wait()
	m.http.CloseIdleConnections()
}

// learner keeps a client's knowledge of its server up to date.
type learner struct {
	again chan struct{} // the server may be another one
	last  atomic.Uint32 // predict.Reason of the last call that failed
	away  atomic.Bool   // it was said that the model does not answer
	doubt atomic.Int64  // when a failure last made it be asked anew, Unix nanoseconds
	said  string        // what the server last said of itself; run's
	log   *slog.Logger
}

// events counts what the client tells, and logs changes of state. Errors name no
// values; what a server said of its failure may, and is logged at debug.
func (l *learner) events(p *telemetry.Prediction) predict.Events {
	return predict.Events{
		Call: func(rows int, took time.Duration, r predict.Reason) {
			p.Call(rows, took, r.String())
			if r != predict.ReasonNone {
				l.last.Store(uint32(r))
			}
		},
		Rows:       func(r predict.Reason, n int) { p.Rows(r.String(), n) },
		Coalesced:  func(n int) { p.Saved(telemetry.SavedCoalesced, n) },
		Reused:     func(n int) { p.Saved(telemetry.SavedReused, n) },
		Remembered: p.Remembered,
		Retried:    func(r predict.Reason) { p.Retried(r.String()) },
		Breaker: func(s predict.BreakerState) {
			p.Breaker(int(s))
			l.breaker(s)
		},
		Failed: func(err *predict.Error) {
			l.log.Debug("a call of the model failed", "err", err, "said", err.Said)
			l.doubts(err.Reason)
		},
	}
}

// doubts has the server asked anew, now and then, when it cannot make anything of
// a request, or its answer makes no sense: it may be another one, that takes no
// binary tensors. Such calls do not close the breaker, nor open it all the time.
func (l *learner) doubts(r predict.Reason) {
	switch r {
	case predict.ReasonHTTP, predict.ReasonMalformed, predict.ReasonType, predict.ReasonShape, predict.ReasonRows:
	default:
		return
	}
	last, now := l.doubt.Load(), time.Now().UnixNano()
	if now-last >= int64(doubtPause) && l.doubt.CompareAndSwap(last, now) {
		l.relearn()
	}
}

func (l *learner) relearn() {
	select {
	case l.again <- struct{}{}:
	default: // it is about to
	}
}

// breaker is told of every change; it must not block or ask the client.
func (l *learner) breaker(s predict.BreakerState) {
	switch s {
	case predict.BreakerOpen:
		if !l.away.Swap(true) { // it opens again after each try
			l.log.Warn("calls of the model failed, so none is made but now and then", "reason", predict.Reason(l.last.Load()).String())
		}
	case predict.BreakerClosed:
		l.away.Store(false)
		l.log.Info("the model answers again")
		l.relearn()
	case predict.BreakerHalfOpen: // another one that cannot read the call would keep it from closing
		l.relearn()
	}
}

// run learns how c's server wants requests, and again when the server may have
// been exchanged, until ctx ends.
func (l *learner) run(ctx context.Context, c *predict.Client) {
	for {
		if !l.learn(ctx, c) {
			return
		}
		select {
		case <-l.again:
		case <-ctx.Done():
			return
		}
	}
}

// learn tries until it succeeds; false when ctx ended before.
func (l *learner) learn(ctx context.Context, c *predict.Client) bool {
	for try, wait := 1, learnWaitMin; ; try, wait = try+1, min(2*wait, learnWaitMax) {
		server, signature, err := c.Learn(ctx)
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil:
			l.tell(c, server, signature)
			return true
		case try == 1:
			l.log.Warn("the model's server does not tell of itself; predictions are asked for in JSON, and this is tried again until it does", "err", err)
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
			return false
		}
	}
}

// tell logs what a server says of itself, unless it said the same before.
func (l *learner) tell(c *predict.Client, server *predict.Server, signature *predict.Signature) {
	said := fmt.Sprint(*server, *signature)
	if said == l.said {
		return
	}
	l.said = said
	l.log.Info("the model's server is there", "server", server.Name, "server_version", server.Version)
	l.fits(c, signature)
}

// fits tells of a model that will not give what its definition says.
func (l *learner) fits(c *predict.Client, offered *predict.Signature) {
	if misfit, ok := errors.AsType[*predict.MisfitError](c.Fit(offered)); ok {
		l.log.Error("the model does not fit its definition, so that its predictions fail; millrace check --online shows both signatures", "problems", misfit.Problems)
	}
}
