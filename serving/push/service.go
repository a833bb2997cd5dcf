package push

import (
	"context"
	"errors"
	"slices"
	"time"

	"millrace/feature"
	"millrace/serving"
	"millrace/transforms"
)

// Events are told what happens; nil ones are left out. They are called on the
// request's goroutine and must not block.
type Events struct {
	// Rows is called once per view with rows that have their end.
	Rows func(source string, ends serving.PushEnds)
	// Published is called with the number of rows that are on a topic.
	Published func(source string, rows int)
	// InFlight is called with the bytes of all requests under way.
	InFlight func(bytes int64)
	// Limit is called with how many pushes that wait for the store are let in
	// at a time, by their way: direct or topic.
	Limit func(way string, pushes int)
	// Failed is called with the inner error of a push that failed; it names
	// sources and tables, never keys or values.
	Failed func(err error)
}

// Settings are what New needs.
type Settings struct {
	Catalog *feature.Catalog
	Plans   map[string]*transforms.Plan // by view name
	Applier Applier
	Topic   Topic // nil where there is none: what needs it is refused

	Models      map[string]*transforms.ModelPlan // by model name; those that are left out take no predictions
	Predictions PredictionStore                  // needed with Models
	NewDecoder  NewDecoder                       // needed with Models

	Limits serving.PushLimits
	Clock  func() time.Time // default time.Now
	Events Events
}

// Service implements serving.Writer. It is safe for concurrent use.
type Service struct {
	catalog *feature.Catalog
	plans   map[string]*transforms.Plan
	applier Applier
	topic   Topic
	limits  serving.PushLimits
	clock   func() time.Time
	events  Events
	room    room
	store   PredictionStore              // nil without models
	models  map[string]*predictionForm   // by model, written on its name
	also    map[string][]*predictionForm // by view, and by source of the view: of `as` names in it
	direct  *gate                        // to the store
	awaited *gate                        // through topics, until lanes have stored
}

var _ serving.Writer = (*Service)(nil)

// New returns a Service.
func New(s Settings) (*Service, error) {
	if s.Catalog == nil || s.Applier == nil {
		return nil, errors.New("take pushes: a part is missing in the settings")
	}
	if s.Clock == nil {
		s.Clock = time.Now
	}
	svc := &Service{
		catalog: s.Catalog, plans: s.Plans, applier: s.Applier, topic: s.Topic,
		limits: s.Limits.WithDefaults(), clock: s.Clock, events: s.Events,
	}
	svc.direct, svc.awaited = svc.newGate("direct", directQuick), svc.newGate("topic", topicQuick)
	svc.room.limits, svc.room.told = svc.limits, s.Events.InFlight
	if err := svc.takePredictions(&s); err != nil {
		return nil, err
	}
	return svc, nil
}

// What takes less is no sign of a queue: stores that make many writes durable at
// once take a little longer for more of them, and so do lanes, which batch, store
// and commit them.
const (
	directQuick = 5 * time.Millisecond
	topicQuick  = 20 * time.Millisecond
)

func (s *Service) newGate(way string, quick time.Duration) *gate {
	var told func(int)
	if s.events.Limit != nil {
		told = func(n int) { s.events.Limit(way, n) }
	}
	return newGate(s.limits.Concurrency, quick, s.clock, told)
}

func (s *Service) failed(err error) {
	if s.events.Failed != nil {
		s.events.Failed(err)
	}
}

// Push implements serving.Writer.
func (s *Service) Push(ctx context.Context, req *serving.PushRequest) (serving.PushAnswer, *serving.Error) {
	pass := req.Pass
	if pass == nil {
		var err *serving.Error
		n := int64(0)
		for _, r := range req.Rows {
			n += int64(len(r))
		}
		if pass, err = s.Admit(n); err != nil {
			return serving.PushAnswer{}, err
		}
		defer pass.Leave()
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout(req.Timeout))
	defer cancel()
	if f := s.predictionForm(req); f != nil {
		return s.pushPredictions(ctx, f, req)
	}
	t, err := s.target(req)
	if err != nil {
		return serving.PushAnswer{}, err
	}
	w := &write{s: s, target: t, req: req}
	err = w.run(ctx)
	return w.answer, err
}

func (s *Service) timeout(asked time.Duration) time.Duration {
	if asked <= 0 {
		return s.limits.Timeout
	}
	return min(asked, s.limits.MaxTimeout)
}

// target is who rows are for and what they are.
type target struct {
	name      string // of the source, or of the model; metrics carry it
	source    *feature.Source
	view      string // "" for all
	plans     []*transforms.Plan
	transform bool
}

// target finds what the request names and says what is wrong with it.
func (s *Service) target(req *serving.PushRequest) (*target, *serving.Error) {
	t := &target{view: req.View}
	name := req.Source
	if req.View != "" {
		v := s.catalog.View(req.View)
		if v == nil || name != "" && v.Source != name {
			return nil, s.unknownView(req)
		}
		name = v.Source
	}
	t.name, t.source = name, s.catalog.Source(name)
	if t.source == nil || t.source.Kind == feature.SourceRequest {
		return nil, s.unknownSource(name)
	}
	if !t.source.Pushed {
		return nil, serving.Errorf(serving.CodeNotPushable, "source %s takes no rows through the API", name).
			At("source", "write push: true in its definition, or publish to its topic "+t.source.Topic)
	}
	for _, v := range s.catalog.ViewsOf(name) {
		if req.View == "" || v.Name == req.View {
			t.plans = append(t.plans, s.plans[v.Name])
		}
	}
	if len(t.plans) == 0 {
		return nil, serving.Errorf(serving.CodeNotPushable, "no view reads source %s", name).At("source", "define a view of it first")
	}
	t.transform = t.source.TransformOnWrite
	if req.Transform != nil {
		t.transform = *req.Transform
	}
	if !t.transform && len(t.plans) > 1 {
		return nil, serving.Errorf(serving.CodeInvalidRequest, "finished rows are of one view, and source %s feeds %d", name, len(t.plans)).
			At("view", "name the view")
	}
	if err := checkTo(req); err != nil {
		return nil, err
	}
	return t, s.checkRows(req)
}

func checkTo(req *serving.PushRequest) *serving.Error {
	switch req.To {
	case "", serving.ToOnline, serving.ToOffline, serving.ToBoth:
		return nil
	}
	return serving.Errorf(serving.CodeInvalidRequest, "rows cannot go to %s", serving.Shown(string(req.To))).
		At("to", "write online, offline or online_and_offline")
}

// maxReceiptAnswered bounds the rows of an asynchronous push, whose receipt
// travels in a header: 1,000 rows are some 5 KiB.
const maxReceiptAnswered = 1000

func (s *Service) checkRows(req *serving.PushRequest) *serving.Error {
	switch n := len(req.Rows); {
	case n > s.limits.MaxRows:
		return serving.Errorf(serving.CodeTooLarge, "%d rows are given, the limit is %d", n, s.limits.MaxRows).
			At("rows", "split the request, or send newline-delimited JSON")
	case req.Async && n > maxReceiptAnswered:
		return serving.Errorf(serving.CodeTooLarge, "%d rows are pushed asynchronously, the limit is %d", n, maxReceiptAnswered).
			At("rows", "split the request")
	}
	return nil
}

func (s *Service) unknownView(req *serving.PushRequest) *serving.Error {
	var known []string
	for _, v := range s.catalog.Views {
		if req.Source == "" || v.Source == req.Source {
			known = append(known, v.Name)
		}
	}
	if req.Source == "" {
		known = append(known, s.modelNames()...)
	}
	message := "there is no view " + serving.Shown(req.View)
	if req.Source != "" {
		message += " of source " + serving.Shown(req.Source)
	}
	return unknown(serving.CodeUnknownView, "view", req.View, message, known)
}

func (s *Service) unknownSource(name string) *serving.Error {
	var known []string
	for _, src := range s.catalog.Sources {
		if src.Pushed {
			known = append(known, src.Name)
		}
	}
	known = append(known, s.modelNames()...)
	slices.Sort(known)
	return unknown(serving.CodeUnknownSource, "source", name, "there is no source "+serving.Shown(name), known)
}

func unknown(code serving.Code, field, name, message string, known []string) *serving.Error {
	e := serving.Errorf(code, "%s", message)
	e.Details = []serving.Detail{{Field: field, Name: serving.Shown(name), Message: "unknown " + field, Suggestion: serving.Nearest(name, known)}}
	return e
}
