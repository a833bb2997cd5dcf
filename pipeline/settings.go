// Package pipeline is the engine: it keeps order, pressure and progress. One
// lane per assigned partition turns records into stored rows; a committer
// tells the group how far every row has reached its end.
//
// Invariant: no offset is committed before every row below it was stored,
// filtered or dead-lettered, and none after its partition was given away.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sources"
	"millrace/transforms"
)

// Transformer is a view's write half: transforms.Writer. It belongs to one
// lane.
type Transformer interface {
	Apply(in *feature.Batch, nowMillis int64, out *feature.Rows)
}

// Epochs gives topic numbers, recoveries and adoptions: sinks.Epochs.
type Epochs interface {
	TopicNumber(ctx context.Context, source string, topic [16]byte, partition int32) (int64, error)
	SetPartitions(ctx context.Context, source string, partition, of int32) error
	Recovery(ctx context.Context, source string, partition int32) (sinks.Recovery, error)
	Epoch(ctx context.Context, source string, partition int32) (sinks.Epoch, error)
	Raise(ctx context.Context, source string, partition int32, version int64) (sinks.Epoch, error)
	Adopt(ctx context.Context, source string, partition int32, version, position int64) ([]sinks.Adoption, error)
	Kept(ctx context.Context, source string, partition int32, version int64) ([]sinks.Adoption, error)
}

// Tiles is the store of tiles.
type Tiles interface {
	sinks.TileSink
	sinks.TileLoader
}

// Sinces records from when on aggregates are complete: sinks.Sinces.
type Sinces interface {
	Raise(ctx context.Context, view string, partition int32, micros int64, aggregates ...uint64) error
}

// RouteView is one view that a source feeds.
type RouteView struct {
	View           *feature.View
	Shape          int                // index of the route's shape that it reads
	NewTransformer func() Transformer // one per lane
	Finished       FinishedRows

	Windows    *transforms.Windows // nil without windowed features
	Aggregates []Aggregate         // of Windows
	Changes    bool                // the changelog is told which keys change

	stored string // the view's stored name
}

// Aggregate is an aggregate over a window, and the catalog version that brought
// it to the view.
type Aggregate struct {
	ID      uint64 // transforms.Windowed.ID
	Version int64
}

// FinishedRows says how records that are finished rows of a view come in. What
// it makes, a lane makes when the first one arrives.
type FinishedRows struct {
	Fields         []feature.Field // layout of decoded batches
	NewDecoder     func() sources.Decoder
	NewTransformer func() Transformer
}

// Route says what becomes of the records of one topic.
type Route struct {
	Source   string
	Topic    string
	Shapes   []Shape
	Views    []RouteView
	Finished bool // records that do not say what they are, are finished rows
	Pushed   bool // records may be JSON of the source's fields by name, and say so in a header

	// WindowsVersion is the catalog version that last changed the aggregates of
	// the source's views, or which of their rows are refused; 0 without any.
	WindowsVersion int64

	Copies    *Copies  // nil for records that are no copies; a route of copies has one view
	Elsewhere []string // views of the source that have a route of their own; finished rows of theirs are not for this one
}

// Windowed reports whether a view of r has windows.
func (r *Route) Windowed() bool {
	return slices.ContainsFunc(r.Views, func(v RouteView) bool { return v.Windows != nil })
}

// Shape is one layout of batches that raw records are decoded into: a row per
// record, or per element of a list in it.
type Shape struct {
	Fields     []feature.Field
	NewDecoder func() sources.Decoder // one per lane
	// NewFields makes the decoder of JSON of the source's fields by name. A lane
	// makes it when the first such record arrives. Needed where Route.Pushed.
	NewFields func() sources.Decoder
}

// Settings is what a Pipeline works with. Zero limits take defaults.
type Settings struct {
	Source         sources.Source
	Routes         []Route
	NewEncoder     func() sinks.Encoder // one per lane
	Sink           sinks.Sink
	DeadLetter     sinks.DeadLetter
	Refusals       sinks.Refusals     // of DeadLetter's letters
	Tiles          Tiles              // needed with windows
	Together       sinks.TogetherSink // of Sink and Tiles, if they are one store that writes both at once; or nil
	Sinces         Sinces             // needed with windows
	Changes        sinks.Changes      // told what was stored of views that ask for it; nil is off
	Epochs         Epochs
	CatalogVersion int64
	LatestVersion  func(ctx context.Context) (int64, error) // newest applied catalog version

	MaxRows        int           // records of a micro-batch
	MaxBytes       int64         // bytes of a micro-batch
	LaneBytes      int64         // buffered per lane before its partition is paused
	TotalBytes     int64         // buffered by all lanes
	TileBytes      int64         // of tiles that all lanes hold
	InFlight       int           // micro-batches of one lane being stored
	Linger         time.Duration // how long a batch waits to fill
	CommitInterval time.Duration
	CommitTimeout  time.Duration
	DrainTimeout   time.Duration // most that a revoke takes for finishing and committing; a shutdown revokes everything
	BackoffMin     time.Duration
	BackoffMax     time.Duration
	MaxFutureSkew  time.Duration // how far ahead times may be; see begin in windows.go
	RecoveryPoll   time.Duration // how often a stopped lane looks for its recovery

	Clock  func() time.Time
	Events Events
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (s *Settings) fill() {
	orDefault(&s.MaxRows, 2048)
	orDefault(&s.MaxBytes, 1<<20)
	orDefault(&s.LaneBytes, 4<<20)
	orDefault(&s.TotalBytes, 48<<20)
	orDefault(&s.TileBytes, 256<<20)
	orDefault(&s.MaxFutureSkew, transforms.DefaultMaxFutureSkew)
	orDefault(&s.InFlight, 3)
	orDefault(&s.CommitInterval, 200*time.Millisecond)
	orDefault(&s.CommitTimeout, 5*time.Second)
	orDefault(&s.DrainTimeout, 4*time.Second)
	orDefault(&s.BackoffMin, 20*time.Millisecond)
	orDefault(&s.BackoffMax, 5*time.Second)
	orDefault(&s.RecoveryPoll, 2*time.Second)
	if s.Clock == nil {
		s.Clock = time.Now
	}
}

// ErrClosed is returned by Run after Shutdown, and when it ran before.
var ErrClosed = errors.New("pipeline is shut down")

// check says what wiring forgot.
func (s *Settings) check() error {
	if s.Source == nil || s.NewEncoder == nil || s.Sink == nil || s.DeadLetter == nil || s.Refusals == nil || s.Epochs == nil || s.LatestVersion == nil {
		return errors.New("make a pipeline: a part is missing in its settings")
	}
	topics := make(map[string]string)
	for _, r := range s.Routes {
		if other, taken := topics[r.Topic]; taken {
			return fmt.Errorf("make a pipeline: sources %s and %s both read topic %s", other, r.Source, r.Topic)
		}
		topics[r.Topic] = r.Source
		if err := s.checkRoute(&r); err != nil {
			return err
		}
	}
	return nil
}

func (s *Settings) checkRoute(r *Route) error {
	if r.Copies != nil && len(r.Views) != 1 {
		return fmt.Errorf("make a pipeline: source %s has copies for %d views, not one", r.Source, len(r.Views))
	}
	if r.Pushed && slices.ContainsFunc(r.Shapes, func(s Shape) bool { return s.NewFields == nil }) {
		return fmt.Errorf("make a pipeline: source %s can be pushed to, and a decoder of pushed rows is missing in its settings", r.Source)
	}
	for _, v := range r.Views {
		if v.Shape < 0 || v.Shape >= len(r.Shapes) {
			return fmt.Errorf("make a pipeline: view %s reads a shape that source %s does not have", v.View.Name, r.Source)
		}
		if v.NewTransformer == nil || v.Finished.NewDecoder == nil || v.Finished.NewTransformer == nil {
			return fmt.Errorf("make a pipeline: a part of view %s is missing in its settings", v.View.Name)
		}
		if v.Windows != nil && (s.Tiles == nil || s.Sinces == nil) {
			return fmt.Errorf("make a pipeline: view %s has windows, and there is no store of tiles in the settings", v.View.Name)
		}
	}
	return nil
}
