package serving

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"millrace/feature"
	"millrace/transforms"
)

// Limits bound what one request, and all of them together, may ask for. Zero
// values take the defaults.
type Limits struct {
	MaxEntities  int           // rows per request; default 1,000
	MaxFeatures  int           // features per request; default 5,000
	MaxBodyBytes int64         // default 4 MiB
	Concurrency  int           // lookups at a time, beyond which they are refused; an eighth of it never waits for models; default 512
	Timeout      time.Duration // of a lookup that does not set its own; default 1 s
	MaxTimeout   time.Duration // of a lookup that sets its own; default 30 s
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.MaxEntities, 1000)
	orDefault(&l.MaxFeatures, 5000)
	orDefault(&l.MaxBodyBytes, 4<<20)
	orDefault(&l.Concurrency, 512)
	orDefault(&l.Timeout, time.Second)
	orDefault(&l.MaxTimeout, 30*time.Second)
	return l
}

func orDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Events are told what happens; nil ones are left out. They are called on the
// request's goroutine and must not block.
type Events struct {
	// Done is called once per request with its end and duration.
	Done func(code Code, took time.Duration)
	// Values is called once per lookup and status that occurred, with the number
	// of values of distinct entities, and of rows for on-demand views.
	Values func(status Status, n int)
	// StoreRead is called once per store read with the number of distinct
	// entities and its duration; concurrently when a lookup makes several.
	StoreRead func(entities int, took time.Duration)
	// TileRead is called once per read of windows with the number of tiles and
	// its duration; concurrently when a lookup makes several.
	TileRead func(tiles int, took time.Duration)
	// TileFailed is called once per read in which windows have failed because a
	// tile is damaged or there are too many; it names view and hop. It may be
	// called concurrently.
	TileFailed func(err error)
	// Predicted is called once per lookup, model, origin and detail that occurred,
	// with the number of distinct keys: Value.Origin and Value.Detail.
	Predicted func(model string, origin Origin, detail string, n int)
	// PredictionAge is called with the age of every stored prediction that is
	// served, once per lookup and distinct key.
	PredictionAge func(model string, age time.Duration)
	// Kept is called with what became of n predictions that were to be stored.
	Kept func(model string, end KeepEnd, n int)
	// Refreshed is called by Refresh, and by what goes on behind lookups.
	Refreshed func(model, by string, end RefreshEnd, n int)
	// Unencodable is called with the number of values that were answered as null
	// because JSON cannot hold them: NaN, infinities, times beyond year 9999.
	Unencodable func(n int)
	// Failed is called with the inner error of a lookup that failed inside; it
	// names views and tables, never keys or values.
	Failed func(err error)
}

// Served is a catalog and what was compiled from it.
type Served struct {
	Catalog    *feature.Catalog
	Plans      map[string]*transforms.Plan         // by view name
	OnDemand   map[string]*transforms.OnDemandPlan // by on-demand view name
	Models     map[string]*transforms.ModelPlan    // by model name
	Predictors map[string]Predictor                // by model name, of those with an endpoint
}

// Settings are what New needs.
type Settings struct {
	Catalog    *feature.Catalog // this and what follows are Served
	Plans      map[string]*transforms.Plan
	OnDemand   map[string]*transforms.OnDemandPlan
	Models     map[string]*transforms.ModelPlan
	Predictors map[string]Predictor

	Store       Store
	Tiles       Tiles            // what windows are merged from; without it, lookups of windowed features fail
	Predictions PredictionWriter // where predictions are kept; needed by models with an endpoint whose cache is on
	Limits      Limits
	Clock       func() time.Time // "now" of ages and read expressions; default time.Now
	Events      Events
	// Unavailable tells a store that cannot answer now, which is worth a retry,
	// from a fault inside; nil takes every error of the store for the former.
	Unavailable func(error) bool
	// Damaged tells a row that cannot be read, whatever the store does, from other
	// errors of it; nil takes none for that.
	Damaged func(error) bool
}

// Service answers lookups. It is safe for concurrent use.
type Service struct {
	store       Store
	tiles       Tiles
	predictions PredictionWriter
	behind      *behind // what lookups leave to be done
	sinces      sinceCache
	limits      Limits
	clock       func() time.Time
	events      Events
	unavailable func(error) bool
	damaged     func(error) bool
	slots       chan struct{} // one per lookup under way
	waiting     chan struct{} // one per lookup that waits for models
	current     atomic.Pointer[snapshot]
}

// snapshot is a catalog and all that was compiled from it; a request works
// with one of them to its end.
type snapshot struct {
	Served

	services  map[string]*Read
	adhoc     *otter.Cache[string, *Read]
	request   map[string]bool  // names of fields of request sources
	refreshes map[string]*Read // all outputs, by model that is computed and stored
}

// maxCachedFeatures bounds the compiled reads of ad-hoc feature lists, by the
// features in them, those included that on-demand views are computed from.
const maxCachedFeatures = 100_000

// New returns a service over a catalog, or why the catalog cannot be served.
func New(s Settings) (*Service, error) {
	if s.Store == nil {
		return nil, errors.New("make a service: it has no store")
	}
	if s.Clock == nil {
		s.Clock = time.Now
	}
	if s.Tiles == nil {
		s.Tiles = noTiles{}
	}
	if s.Unavailable == nil {
		s.Unavailable = func(error) bool { return true }
	}
	if s.Damaged == nil {
		s.Damaged = func(error) bool { return false }
	}
	svc := &Service{
		store: s.Store, tiles: s.Tiles, predictions: s.Predictions,
		limits: s.Limits.withDefaults(), clock: s.Clock, events: s.Events, unavailable: s.Unavailable, damaged: s.Damaged,
	}
	svc.slots = make(chan struct{}, svc.limits.Concurrency)
	svc.waiting = make(chan struct{}, svc.limits.Concurrency-svc.limits.Concurrency/8)
	svc.behind = newBehind(svc)
	if err := svc.Swap(Served{s.Catalog, s.Plans, s.OnDemand, s.Models, s.Predictors}); err != nil {
		return nil, err
	}
	return svc, nil
}

// Close ends what lookups have left to be done, and waits for it. Lookups after
// it compute predictions and keep none. It is safe to call twice.
func (s *Service) Close() { s.behind.close() }

// Swap makes what is served what later requests are answered from; those under
// way finish with what they began with. On error nothing changed.
func (s *Service) Swap(served Served) error {
	if served.Catalog == nil {
		return errors.New("serve a catalog: there is none")
	}
	snap, err := newSnapshot(served)
	if err == nil && s.predictions == nil && len(snap.refreshes) > 0 {
		err = errors.New("it has models whose predictions are to be stored, and nothing stores them")
	}
	if err != nil {
		return fmt.Errorf("serve catalog version %d: %w", served.Catalog.Version, err)
	}
	s.current.Store(snap)
	return nil
}

func newSnapshot(served Served) (*snapshot, error) {
	c := served.Catalog
	snap := &snapshot{Served: served, services: make(map[string]*Read, len(c.Services))}
	for _, v := range c.Views {
		if served.Plans[v.Name] == nil {
			return nil, fmt.Errorf("view %s has no plan", v.Name)
		}
	}
	for _, v := range c.OnDemandViews {
		if served.OnDemand[v.Name] == nil {
			return nil, fmt.Errorf("on-demand view %s has no plan", v.Name)
		}
	}
	if err := snap.addModels(); err != nil {
		return nil, err
	}
	snap.request = make(map[string]bool)
	for _, src := range c.Sources {
		for _, f := range src.Fields {
			snap.request[f.Name] = snap.request[f.Name] || src.Kind == feature.SourceRequest
		}
	}
	for _, svc := range c.Services {
		r, err := snap.compile(svc.Features)
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", svc.Name, err)
		}
		snap.services[svc.Name] = r
	}
	cache, err := otter.New(&otter.Options[string, *Read]{
		MaximumWeight: maxCachedFeatures,
		Weigher:       func(_ string, r *Read) uint32 { return uint32(len(r.outputs) + len(r.hidden) + len(r.models)) },
	})
	if err != nil {
		return nil, fmt.Errorf("make the cache of reads: %w", err)
	}
	snap.adhoc = cache
	return snap, nil
}

// Limits returns the limits in force, defaults filled in.
func (s *Service) Limits() Limits { return s.limits }

// Catalog returns the catalog that is served now.
func (s *Service) Catalog() *feature.Catalog { return s.current.Load().Catalog }

// Clock returns the service's time.
func (s *Service) Clock() time.Time { return s.clock() }

// Done reports the end of a request that began at start. A transport calls it
// once per request.
func (s *Service) Done(code Code, start time.Time) {
	if s.events.Done != nil {
		s.events.Done(code, s.clock().Sub(start))
	}
}

// Unencodable reports values that a transport had to answer as null.
func (s *Service) Unencodable(n int) {
	if n > 0 && s.events.Unencodable != nil {
		s.events.Unencodable(n)
	}
}

// PrepareService returns the compiled read of a service.
func (s *Service) PrepareService(name string) (*Read, *Error) {
	snap := s.current.Load()
	if r := snap.services[name]; r != nil {
		return r, nil
	}
	var known []string
	for _, svc := range snap.Catalog.Services {
		known = append(known, svc.Name)
	}
	e := Errorf(CodeUnknownService, "there is no service %s", Shown(name))
	e.Details = []Detail{{Field: "service", Name: strings.Clone(name), Message: "unknown service", Suggestion: Nearest(name, known)}}
	return nil, e
}

// PrepareFeatures returns the compiled read of features, each written
// "view:feature", or "view" for all features of a view. features may be reused
// after the call.
func (s *Service) PrepareFeatures(features []string) (*Read, *Error) {
	if len(features) == 0 {
		return nil, Errorf(CodeInvalidRequest, "no features are asked for").
			At("features", "name a service, or at least one feature as view:feature")
	}
	if len(features) > s.limits.MaxFeatures {
		return nil, s.tooManyFeatures(len(features))
	}
	snap := s.current.Load()
	key := strings.Join(features, "\n")
	if r, ok := snap.adhoc.GetIfPresent(key); ok {
		return r, nil
	}
	refs, err := snap.resolve(features)
	if err != nil {
		return nil, err
	}
	if len(refs) > s.limits.MaxFeatures {
		return nil, s.tooManyFeatures(len(refs))
	}
	r, fault := snap.compile(refs)
	if fault != nil {
		return nil, &Error{Code: CodeInvalidRequest, Message: fault.Error(), cause: fault}
	}
	snap.adhoc.Set(strings.Clone(key), r) // of one feature, Join returns the caller's string
	return r, nil
}

func (s *Service) tooManyFeatures(n int) *Error {
	return Errorf(CodeTooManyFeatures, "%d features are asked for, the limit is %d", n, s.limits.MaxFeatures).
		At("features", "split the request")
}
