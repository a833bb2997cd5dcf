package sources

import (
	"context"
	"errors"

	"millrace/feature"
)

// ErrUnknownSchema is wrapped by errors of Schemas that are about the schema
// asked for, not about the registry: it has none of that id, or not all that
// the schema refers to. Asking again soon does not help.
var ErrUnknownSchema = errors.New("the schema registry does not have it")

// Schemas finds the schemas that records were written with.
type Schemas interface {
	// Schema returns the schema registered as id. It may block, for one request
	// however many ask, until ctx ends, and is safe for concurrent use. An error
	// that is not ErrUnknownSchema says nothing about the id: the registry is
	// away, and the same call may succeed later. What it returns is shared and
	// not to be changed.
	Schema(ctx context.Context, id int32) (Schema, error)
}

// SchemaType is the language a schema is written in.
type SchemaType string

// The schema types, as registries spell them.
const (
	SchemaAvro     SchemaType = "AVRO"
	SchemaProtobuf SchemaType = "PROTOBUF"
	SchemaJSON     SchemaType = "JSON"
)

// Schema is a registered schema and everything it refers to. An id names one
// schema for ever.
type Schema struct {
	ID   int32
	Type SchemaType
	Text string
	// References are all schemas that Text needs, directly or not, each before
	// those that need it.
	References []SchemaReference
}

// SchemaReference is a schema that another one refers to.
type SchemaReference = feature.SchemaReference
