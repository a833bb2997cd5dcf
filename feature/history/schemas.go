package history

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/feature/definition"
)

// SourceState is the schema of a source as it was found when it was applied,
// with the fields that came of it and the definition.
type SourceState struct {
	Schema *feature.SourceSchema `json:"schema"`
	Fields []feature.SourceField `json:"fields"`
}

// pin takes down the schemas of sources that have one.
func pin(sources []*feature.Source) map[string]SourceState {
	all := make(map[string]SourceState)
	for _, s := range sources {
		if s.Schema != nil {
			all[s.Name] = SourceState{Schema: s.Schema, Fields: s.Fields}
		}
	}
	return all
}

// pinned reads schemas from the record, never from a file or a registry.
type pinned map[string]SourceState

// Read returns what was found when the version was applied.
func (p pinned) Read(src *feature.Source) (*feature.SourceSchema, []feature.SourceField, error) {
	s, ok := p[src.Name]
	if !ok {
		return nil, nil, fmt.Errorf("the record has no schema of source %s", src.Name)
	}
	return s.Schema, s.Fields, nil
}

// Check has nothing to say: what was applied was checked.
func (pinned) Check(*feature.Source, *feature.SourceField, feature.SourceField) error { return nil }

var _ definition.Schemas = pinned(nil)

// schemaChanges reports schemas that are found to be others than before. What
// that means for views, their own changes say.
func schemaChanges(old, now map[string]SourceState) []Change {
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(now)) {
		before, had := old[name]
		if !had || sameSchema(before.Schema, now[name].Schema) {
			continue
		}
		text := fmt.Sprintf("source %s: its schema changes", name)
		if a, b := before.Schema.ID, now[name].Schema.ID; a != b {
			text += fmt.Sprintf(", from id %d to %d", a, b)
		}
		if texts := differences(fieldTexts(before.Fields), fieldTexts(now[name].Fields)); len(texts) > 0 {
			text += ": " + strings.Join(texts, ", ")
		}
		changes = append(changes, Change{Kind: ChangeFree, Text: text})
	}
	return changes
}

func sameSchema(a, b *feature.SourceSchema) bool {
	return a.ID == b.ID && bytes.Equal(a.Text, b.Text) && slices.Equal(a.References, b.References)
}

func fieldTexts(fields []feature.SourceField) map[string]string {
	all := make(map[string]string, len(fields))
	for _, f := range fields {
		all["field "+f.Name] = fieldText(f)
	}
	return all
}
