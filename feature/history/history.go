// Package history keeps what was applied: catalog versions, the revisions and
// generations of views, and what a change of definitions means.
//
// Invariant: versions, revisions and generations never go back and are never
// reused, and no change makes a stored value change its meaning silently: it
// raises the revision, or it is refused.
package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/sinks"
)

// Applied is one catalog version as it was recorded. It is not changed
// afterwards.
type Applied struct {
	Version   int64                `json:"version"`
	Project   string               `json:"project"`
	AppliedAt time.Time            `json:"applied_at"`
	By        string               `json:"by"`
	Files     []File               `json:"files"`
	Views     map[string]ViewState `json:"views"` // removed ones stay, for their numbers

	Sources map[string]SourceState `json:"sources,omitempty"` // those with a schema

	OnDemandViews map[string]OnDemandState `json:"on_demand_views,omitempty"`
	Models        map[string]ModelState    `json:"models,omitempty"` // removed ones stay, for their numbers
}

// File is a file of definitions as text.
type File struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// ViewState is what is remembered of a view: its numbers, and what the next
// version is compared with.
type ViewState struct {
	Revision   uint16            `json:"revision"`
	Generation uint32            `json:"generation"`
	Began      uint16            `json:"began,omitempty"`   // revision with which the generation began; 0 is the first
	Changed    int64             `json:"changed,omitempty"` // catalog version that brought the revision
	Removed    bool              `json:"removed,omitempty"`
	SchemaID   uint32            `json:"schema_id"`
	Columns    json.RawMessage   `json:"columns"` // canonical stored schema
	Shape      map[string]string `json:"shape"`   // which rows count, when, under which key
	Stored     map[string]string `json:"stored"`  // expression of every stored column
	Read       map[string]string `json:"read"`    // expression of every feature at read
	Free       string            `json:"free"`    // what never touches stored data

	Windows map[string]WindowState `json:"windows,omitempty"` // of every windowed feature
}

// WindowState is what the next version is compared with of a windowed feature.
type WindowState struct {
	Counts string `json:"counts"`         // what tiles hold, and which of them a read merges
	Hash   string `json:"hash"`           // of the state, as tiles carry it
	Read   string `json:"read,omitempty"` // what decides at read alone
	Since  int64  `json:"since"`          // catalog version that brought the window
}

// OnDemandState is what the next version is compared with. Nothing of an
// on-demand view is stored, so it has no numbers, and every change is free.
type OnDemandState struct {
	Entity   string            `json:"entity"`
	Features map[string]string `json:"features"` // expression, type and default of each
}

// ErrNothingApplied means that no definitions were applied to the store.
var ErrNothingApplied = errors.New("no definitions were applied")

func entryID(version int64) string { return fmt.Sprintf("%019d", version) }

// List returns all versions, oldest first.
func List(ctx context.Context, meta sinks.Meta) ([]*Applied, error) {
	entries, err := meta.List(ctx, sinks.MetaCatalog)
	if err != nil {
		return nil, fmt.Errorf("list catalog versions: %w", err)
	}
	all := make([]*Applied, len(entries))
	for i, e := range entries {
		all[i] = new(Applied)
		if err := json.Unmarshal(e.Value, all[i]); err != nil { //nolint:musttag // fields keep their Go names in records
			return nil, fmt.Errorf("read catalog version %s: %w", e.ID, err)
		}
		for name, v := range all[i].Views {
			v.Columns = unescaped(v.Columns)
			all[i].Views[name] = v
		}
	}
	return all, nil
}

// unescaped gives canonical text its form back: encoding/json escapes the
// brackets of "list<int64>" when it embeds the text in a version's. Names are
// identifiers, so nothing else of it is ever escaped.
func unescaped(columns json.RawMessage) json.RawMessage {
	columns = bytes.ReplaceAll(columns, []byte(`\u003c`), []byte("<"))
	return bytes.ReplaceAll(columns, []byte(`\u003e`), []byte(">"))
}

// Latest returns the newest version, or ErrNothingApplied.
func Latest(ctx context.Context, meta sinks.Meta) (*Applied, error) {
	all, err := List(ctx, meta)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, ErrNothingApplied
	}
	return all[len(all)-1], nil
}

// Schemas gives ids to stored schemas: sinks.Schemas.
type Schemas interface {
	Put(ctx context.Context, st feature.Stored) (uint32, error)
}

// ErrRace means that somebody else applied at the same time.
var ErrRace = errors.New("somebody else applied definitions at the same time")

// Apply records p as the next version and returns it with what changed; with
// no change the newest version is returned and nothing is recorded. Of two
// that apply at once one gets ErrRace or, if it still fits, the version after.
func Apply(ctx context.Context, meta sinks.Meta, schemas Schemas, p *definition.Project, by string, now time.Time) (*Applied, []Change, error) {
	for attempt := 0; ; attempt++ {
		prev, err := Latest(ctx, meta)
		if err != nil && !errors.Is(err, ErrNothingApplied) {
			return nil, nil, err
		}
		next, changes, err := Next(prev, p)
		if err != nil || len(changes) == 0 {
			return next, nil, err
		}
		next.By, next.AppliedAt = by, now.UTC()
		if err := giveSchemaIDs(ctx, schemas, next); err != nil {
			return nil, nil, err
		}
		text, err := json.Marshal(next) //nolint:musttag // fields keep their Go names in records
		if err != nil {
			return nil, nil, fmt.Errorf("encode catalog version %d: %w", next.Version, err)
		}
		recorded, err := meta.Swap(ctx, sinks.MetaCatalog, entryID(next.Version), nil, text)
		if err != nil {
			return nil, nil, fmt.Errorf("record catalog version %d: %w", next.Version, err)
		}
		if recorded {
			return next, changes, nil
		}
		if attempt > 0 {
			return nil, nil, fmt.Errorf("record catalog version %d: %w; run millrace plan to see what is applied now", next.Version, ErrRace)
		}
	}
}

func giveSchemaIDs(ctx context.Context, schemas Schemas, a *Applied) error {
	put := func(name string, columns json.RawMessage) (uint32, error) {
		st, err := feature.ParseStored(columns)
		if err != nil {
			return 0, fmt.Errorf("read the stored columns of %s: %w", name, err)
		}
		id, err := schemas.Put(ctx, st)
		if err != nil {
			return 0, fmt.Errorf("give the stored columns of %s an id: %w", name, err)
		}
		return id, nil
	}
	for name, v := range a.Views {
		if v.Removed || v.SchemaID != 0 {
			continue
		}
		var err error
		if v.SchemaID, err = put("view "+name, v.Columns); err != nil {
			return err
		}
		a.Views[name] = v
	}
	return giveModelIDs(put, a.Models)
}

// Open loads a version: its definitions with the revisions, generations and
// schemas that were given to them.
func Open(a *Applied) (*definition.Project, error) {
	files := make([]definition.File, len(a.Files))
	for i, f := range a.Files {
		files[i] = definition.File{Name: f.Name, Data: []byte(f.Text)}
	}
	p, err := definition.LoadWith(files, definition.Options{Schemas: pinned(a.Sources)})
	if err != nil {
		return nil, fmt.Errorf("the definitions do not load in this version of millrace: %w", err)
	}
	p.Catalog.Version = a.Version
	for _, v := range p.Catalog.Views {
		state, ok := a.Views[v.Name]
		if !ok {
			return nil, fmt.Errorf("the record has no state of view %s", v.Name)
		}
		st, err := feature.ParseStored(state.Columns)
		if err != nil {
			return nil, fmt.Errorf("read the stored columns of view %s: %w", v.Name, err)
		}
		v.Revision, v.Generation, v.Began, v.Changed = state.Revision, state.Generation, state.Began, state.Changed
		overlay(p.Plans[v.Name].Stored, &st)
		p.Plans[v.Name].Stored.ID = state.SchemaID
		overlayWindows(p.Plans[v.Name].Windows, state.Windows)
	}
	if err := openModels(a, p); err != nil {
		return nil, err
	}
	return p, nil
}

// overlay takes over, for columns of the same name and type, the revision that
// introduced them.
func overlay(dst, from *feature.Stored) {
	for i := range dst.Columns {
		for _, c := range from.Columns {
			if c.Name == dst.Columns[i].Name && c.Type == dst.Columns[i].Type {
				dst.Columns[i].Since = c.Since
			}
		}
	}
}
