package definition

import (
	"maps"
	"slices"
)

// Watched lists the views, ordered by name, whose changes have models compute
// predictions: inputs of models that refresh on write, of the models' own
// entities, behind on-demand views, too. What changes of views of other entities
// is noticed when a prediction is read.
func (p *Project) Watched() []string {
	names := make(map[string]bool)
	for _, m := range p.Models {
		for _, view := range m.Watched() {
			names[view] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
