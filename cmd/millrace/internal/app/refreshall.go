package app

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/cespare/xxhash/v2"

	"millrace/feature/definition"
	"millrace/internal/telemetry"
	"millrace/serving"
	"millrace/sinks"
	"millrace/sinks/rowcodec"
	"millrace/transforms"
)

// Refreshes computes and keeps predictions for whoever names keys, and answers
// no lookups. It is safe for concurrent use.
type Refreshes struct {
	*serving.Service

	models *Models
}

// NewRefreshes makes Refreshes over a store. The caller closes it, before the
// store.
func NewRefreshes(p *definition.Project, store Store, m *telemetry.Metrics, log *slog.Logger) (*Refreshes, error) {
	models, err := NewModels(p.Models, m, log)
	if err != nil {
		return nil, err
	}
	svc, err := serving.New(serving.Settings{
		Catalog: p.Catalog, Plans: p.Plans, OnDemand: p.OnDemand, Models: p.Models, Predictors: models.Predictors(),
		Store:       rowcodec.NewReader(store, sinks.NewSchemas(store)),
		Tiles:       sinks.NewWindows(store, store),
		Predictions: rowcodec.NewWriter(store),
		Clock:       time.Now,
		Events:      servingEvents(m, log),
	})
	if err != nil {
		models.Close()
		return nil, fmt.Errorf("make what refreshes predictions: %w", err)
	}
	return &Refreshes{svc, models}, nil
}

// Close ends what is under way.
func (r *Refreshes) Close() {
	r.Service.Close()
	r.models.Close()
}

// RefreshWork names what the predictions of a model are made of: predictions of
// one work need not be computed again for it.
func RefreshWork(p *transforms.ModelPlan) string {
	h := xxhash.New()
	fmt.Fprintf(h, "%x\n", p.Shape())
	for _, s := range p.Sources() {
		fmt.Fprintf(h, "%s %d %x\n", s.Name, s.Generation, s.Read)
	}
	return fmt.Sprintf("%s %s %016x", p.Model.Entity, p.Model.Version, h.Sum64())
}
