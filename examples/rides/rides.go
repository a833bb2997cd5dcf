// Package rides is the example project: definitions that the demo runs and
// that documents speak of.
//
// Invariant: the definitions compile without errors; a test holds them to it.
package rides

import (
	"bytes"
	"embed"

	"millrace/feature"
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

// Schemas holds the schemas of trips in the other formats.
//
//go:embed trip.avsc trip.binpb
var Schemas embed.FS

// FilesIn returns the definitions with trips in another format: everything but
// the lines that say so is the same.
func FilesIn(format feature.Format) []definition.File {
	schema := ""
	switch format {
	case feature.FormatAvro:
		schema = "\n    schema: {file: trip.avsc}"
	case feature.FormatProtobuf:
		schema = "\n    schema: {descriptors: trip.binpb, message: rides.Trip}"
	case feature.FormatJSON:
		return Files()
	}
	files := Files()
	files[0].Data = bytes.Replace(files[0].Data, []byte("format: json"), []byte("format: "+string(format)+schema), 1)
	return files
}
