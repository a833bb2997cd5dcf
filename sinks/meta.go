package sinks

import (
	"context"
	"errors"
)

// MetaTable is one of the fixed tables of a project's metadata.
type MetaTable string

// The metadata tables. Values are JSON text, so people can read them.
const (
	MetaCatalog   MetaTable = "catalog"   // version -> definitions and plan
	MetaSchemas   MetaTable = "schemas"   // schema id -> canonical stored schema
	MetaEpochs    MetaTable = "epochs"    // source and partition -> numbers m and n, recoveries
	MetaSince     MetaTable = "since"     // view and partition -> from when on aggregates are complete
	MetaRoles     MetaTable = "roles"     // process -> what it runs
	MetaReplays   MetaTable = "replays"   // source -> replay numbers, the chunk under way
	MetaRefreshes MetaTable = "refreshes" // model -> how far the refresh of all its keys is
)

// MetaTables lists every table, for those who create them.
func MetaTables() []MetaTable {
	return []MetaTable{MetaCatalog, MetaSchemas, MetaEpochs, MetaSince, MetaRoles, MetaReplays, MetaRefreshes}
}

// MetaEntry is one row of a metadata table.
type MetaEntry struct {
	ID    string `json:"id"`
	Value []byte `json:"value"`
}

// Meta is the small, strongly consistent part of a store. All of it is
// linearizable: what one caller saw, every later caller sees.
type Meta interface {
	// Get returns the value of id, or ErrNoEntry.
	Get(ctx context.Context, t MetaTable, id string) ([]byte, error)
	// List returns all entries, ordered by id as bytes.
	List(ctx context.Context, t MetaTable) ([]MetaEntry, error)
	// Swap replaces old by value if the entry still equals old (nil: if there
	// is none), and reports whether it did. A nil value deletes.
	Swap(ctx context.Context, t MetaTable, id string, old, value []byte) (bool, error)
}

// ErrNoEntry is returned by Meta.Get when there is no such entry.
var ErrNoEntry = errors.New("no such entry")
