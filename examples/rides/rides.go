// Package rides is the example project: definitions that the demo runs and
// that documents speak of.
//
// Invariant: the definitions compile without errors; a test holds them to it.
package rides

import (
	_ "embed"

	"millrace/feature/definition"
)

//go:embed sources.yaml
var sources []byte

//go:embed views.yaml
var views []byte

// Files returns the definitions.
func Files() []definition.File {
	return []definition.File{{Name: "sources.yaml", Data: sources}, {Name: "views.yaml", Data: views}}
}
