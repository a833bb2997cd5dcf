package app

import (
	"fmt"

	"github.com/cespare/xxhash/v2"

	"millrace/transforms"
)

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
