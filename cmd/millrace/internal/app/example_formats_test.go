package app_test

import (
	"testing"

	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/feature/definition"
)

// TestTheExampleOfFormatsCanBeIngested: its tests read all events as YAML, so
// this holds the real decoders to its schemas.
func TestTheExampleOfFormatsCanBeIngested(t *testing.T) {
	const dir = "../../../../examples/formats"
	files, err := definition.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := definition.LoadWith(files, definition.Options{Schemas: app.ReadSchemas(t.Context(), dir, nil)})
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	routes, err := app.AllRoutes(&c, p)
	if err != nil || len(routes) != len(p.Catalog.Sources) {
		t.Errorf("%d routes, %v", len(routes), err)
	}
}
