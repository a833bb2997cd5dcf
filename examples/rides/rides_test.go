package rides_test

import (
	"testing"

	"millrace/examples/rides"
	"millrace/feature/definition"
)

func TestDefinitionsCompile(t *testing.T) {
	p, err := definition.Load(rides.Files())
	if err != nil {
		t.Fatal(err)
	}
	if got := len(p.Catalog.Service("eta_v1").Features); got != 8 {
		t.Errorf("eta_v1 serves %d features, want 8", got)
	}
}
