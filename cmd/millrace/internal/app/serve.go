package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"millrace/cmd/millrace/internal/config"
	"millrace/feature/definition"
	"millrace/internal/telemetry"
	"millrace/serving"
	"millrace/serving/push"
	"millrace/serving/rest"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
)

// Service answers lookups and refreshes predictions.
type Service struct {
	*serving.Service

	models *Models
}

// NewService makes the service of a store, with clients of the models that have
// a server. The caller closes it.
func NewService(c *config.Config, p *definition.Project, store Store, m *telemetry.Metrics, log *slog.Logger) (*Service, error) {
	models, err := NewModels(p.Models, m, log)
	if err != nil {
		return nil, err
	}
	return newService(c, p, store, models, m, log)
}

// newService makes the service over clients that are its to close.
func newService(c *config.Config, p *definition.Project, store Store, models *Models, m *telemetry.Metrics, log *slog.Logger) (*Service, error) {
	svc, err := serving.New(serving.Settings{
		Catalog: p.Catalog, Plans: p.Plans, OnDemand: p.OnDemand, Models: p.Models,
		Predictors: models.Predictors(), Predictions: rowcodec.NewWriter(store),
		Store:   rowcodec.NewReader(store, sinks.NewSchemas(store)),
		Tiles:   sinks.NewWindows(store, store),
		Limits:  serving.Limits{MaxEntities: c.Serve.MaxEntities, MaxBodyBytes: int64(c.Serve.MaxBody), Concurrency: c.Serve.Concurrency, Timeout: c.Serve.Timeout.Std()},
		Clock:   time.Now,
		Events:  servingEvents(m, log),
		Damaged: damagedRow,
	})
	if err != nil {
		models.Close()
		return nil, fmt.Errorf("make the read API: %w", err)
	}
	return &Service{svc, models}, nil
}

// damagedRow tells a row that nobody wrote, or only a later version can read, or
// whose schema is lost, from a store that cannot be read.
func damagedRow(err error) bool {
	return errors.Is(err, rowcodec.ErrCorrupt) || errors.Is(err, rowcodec.ErrFormat) || errors.Is(err, sinks.ErrNoEntry)
}

// Close ends what lookups have left to be done, and all calls of models. Close
// it after everybody who asks, and before the store.
func (s *Service) Close() {
	s.Service.Close()
	s.models.Close()
}

// Server is the API over HTTP.
type Server struct {
	http.Handler

	Service *Service
}

// Close ends what requests have left to be done. Close it when no more come, and
// before the store.
func (s *Server) Close() { s.Service.Close() }

// NewServer makes the API over a store: reading, and writing. topic and changes
// may be nil; they are the caller's to close, as is the server.
func NewServer(c *config.Config, p *definition.Project, store Store, topic Topic, changes sinks.Changes, m *telemetry.Metrics, log *slog.Logger) (*Server, error) {
	svc, err := NewService(c, p, store, m, log)
	if err != nil {
		return nil, err
	}
	writes, err := newPush(c, p, store, topic, changes, m, log)
	if err != nil {
		svc.Close()
		return nil, err
	}
	return newServer(c, svc, writes, m), nil
}

func newServer(c *config.Config, svc *Service, writes *push.Service, m *telemetry.Metrics) *Server {
	return &Server{Service: svc, Handler: rest.Handler(svc.Service, rest.Settings{
		Writer: writes, PushLimits: pushLimits(c),
		Pushed: func(endpoint string, code serving.Code, took time.Duration) {
			m.PushRequest(endpoint, code.HTTPStatus(), took)
		},
	})}
}

// Listen opens a port; a taken one is named with the flag that changes it.
func Listen(ctx context.Context, what, addr, flag string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen for %s on %s: the port is taken; choose another with %s", what, addr, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("listen for %s on %s: %w", what, addr, err)
	}
	return l, nil
}

const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	closeTimeout  = 3 * time.Second
)

// ServeHTTP answers on l until ctx ends, then finishes what is under way.
func ServeHTTP(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := s.Shutdown(closing); err != nil {
		return fmt.Errorf("end serving on %s: %w", l.Addr(), errors.Join(err, s.Close()))
	}
	return nil
}
