package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/transforms"
)

// ChangeKind says what a change means.
type ChangeKind string

// The kinds.
const (
	ChangeNew      ChangeKind = "new"      // a view that did not exist
	ChangeRevision ChangeKind = "revision" // what is stored per row changes
	ChangeFree     ChangeKind = "free"     // stored data is not touched
	ChangeStale    ChangeKind = "stale"    // stored predictions are not those of the inputs any more
	ChangeRemoved  ChangeKind = "removed"  // no longer written or served; its data stays
)

// Change is one thing that a new version does.
type Change struct {
	View     string // "" for the project as a whole
	OnDemand bool   // View is an on-demand view
	Model    bool   // View is a model
	Kind     ChangeKind
	Text     string
}

// String prints the change for people.
func (c Change) String() string {
	switch {
	case c.View == "":
		return fmt.Sprintf("%-9s %s", c.Kind, c.Text)
	case c.OnDemand:
		return fmt.Sprintf("%-9s on-demand view %s: %s", c.Kind, c.View, c.Text)
	case c.Model:
		return fmt.Sprintf("%-9s model %s: %s", c.Kind, c.View, c.Text)
	}
	return fmt.Sprintf("%-9s view %s: %s", c.Kind, c.View, c.Text)
}

// ErrNeedsGeneration is wrapped when a change decides which rows count, when,
// or under which key: rows stored before would mean something else.
var ErrNeedsGeneration = errors.New("needs a new generation of the view's data, which is not available in this version")

// Next says what applying p after prev would record, and what that changes.
// prev is nil before the first version. With no change it returns prev. It is
// pure; the schema ids of changed views are 0 until Apply gives them.
func Next(prev *Applied, p *definition.Project) (*Applied, []Change, error) {
	next := &Applied{Version: 1, Project: p.Catalog.Project, Views: make(map[string]ViewState)}
	var old map[string]ViewState
	var oldOnDemand map[string]OnDemandState
	var oldModels map[string]ModelState
	if prev != nil {
		if prev.Project != p.Catalog.Project {
			return nil, nil, fmt.Errorf("the store holds project %s, the definitions are of project %s: choose another keyspace or data folder", prev.Project, p.Catalog.Project)
		}
		next.Version, old, oldOnDemand, oldModels = prev.Version+1, prev.Views, prev.OnDemandViews, prev.Models
	}
	for _, f := range p.Files {
		next.Files = append(next.Files, File{Name: f.Name, Text: string(f.Data)})
	}
	var changes []Change
	var faults []error
	for _, v := range p.Catalog.Views {
		before, known := old[v.Name]
		state, cs, err := nextView(before, known, v, p.Plans[v.Name])
		giveSince(&before, &state, next.Version)
		if state.Changed = before.Changed; state.Revision != before.Revision {
			state.Changed = next.Version
		}
		next.Views[v.Name] = state
		changes = append(changes, cs...)
		faults = append(faults, err)
	}
	changes = append(changes, removals(old, next)...)
	changes = append(changes, nextOnDemand(oldOnDemand, next, p.Catalog.OnDemandViews)...)
	models, err := nextModels(oldModels, next, p)
	if err := errors.Join(append(faults, err, namesApart(next))...); err != nil {
		return nil, nil, err
	}
	changes = append(changes, models...)
	next.Sources = pin(p.Catalog.Sources)
	if prev != nil {
		changes = append(changes, schemaChanges(prev.Sources, next.Sources)...)
	}
	if prev != nil && len(changes) == 0 {
		if slices.Equal(prev.Files, next.Files) {
			return prev, nil, nil
		}
		changes = append(changes, Change{Kind: ChangeFree, Text: "services, sources or texts change; no stored data is touched"})
	}
	if prev == nil && len(changes) == 0 {
		changes = append(changes, Change{Kind: ChangeNew, Text: "project " + p.Catalog.Project})
	}
	return next, changes, nil
}

// removals carries views that are gone, for their numbers, and reports those
// that go now.
func removals(old map[string]ViewState, next *Applied) []Change {
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, stays := next.Views[name]; stays {
			continue
		}
		state := old[name]
		if !state.Removed {
			changes = append(changes, Change{View: name, Kind: ChangeRemoved, Text: "is no longer written or served; what it stored stays"})
		}
		state.Removed = true
		next.Views[name] = state
	}
	return changes
}

func nextView(old ViewState, known bool, v *feature.View, plan *transforms.Plan) (ViewState, []Change, error) {
	now := describe(v, plan)
	if !known {
		now.Revision, now.Generation = 1, 1
		now.setColumns(plan, nil)
		return now, []Change{{View: v.Name, Kind: ChangeNew, Text: newText(plan)}}, nil
	}
	if err := sameShape(v.Name, old, now); err != nil {
		return now, nil, err
	}
	windows, err := windowChanges(v.Name, old.Windows, now.Windows)
	if err != nil {
		return now, nil, err
	}
	before, err := feature.ParseStored(old.Columns)
	if err != nil {
		return now, nil, fmt.Errorf("read the stored columns of view %s: %w", v.Name, err)
	}
	now.Revision, now.Generation, now.Began = old.Revision, old.Generation, old.Began
	var changes []Change
	if texts := differences(old.Stored, now.Stored); len(texts) > 0 || old.Removed {
		if old.Revision == math.MaxUint16 {
			return now, nil, fmt.Errorf("view %s has had %d revisions, the most there can be: give it another name", v.Name, old.Revision)
		}
		now.Revision++
		if old.Removed {
			texts = append(texts, "comes back")
		}
		changes = append(changes, Change{View: v.Name, Kind: ChangeRevision, Text: fmt.Sprintf("revision %d: %s; stored rows keep their old values until they are written again",
			now.Revision, strings.Join(texts, ", "))})
	}
	if old.Removed {
		before = feature.Stored{} // columns that were gone are other columns
		now.Began = now.Revision  // and none of them was added to rows that still count
	}
	now.setColumns(plan, &before)
	if string(now.Columns) == string(old.Columns) {
		now.SchemaID = old.SchemaID
	}
	if texts := differences(old.Read, now.Read); len(texts) > 0 {
		changes = append(changes, Change{View: v.Name, Kind: ChangeFree, Text: "at read: " + strings.Join(texts, ", ")})
	}
	if old.Free != now.Free {
		changes = append(changes, Change{View: v.Name, Kind: ChangeFree, Text: "ttl, expiry, defaults or what becomes of late rows change"})
	}
	return now, append(changes, windows...), nil
}

func newText(p *transforms.Plan) string {
	text := fmt.Sprintf("%d features of %s from source %s, %d stored columns", len(p.View.Features), p.View.Entity, p.View.Source, len(p.Stored.Columns))
	if p.Windows != nil {
		text += fmt.Sprintf(", %d windowed", len(p.Windows.Features))
	}
	return text
}

// setColumns records the stored columns with the revision that introduced
// each: the one before for columns that stay, this one for others.
func (s *ViewState) setColumns(plan *transforms.Plan, before *feature.Stored) {
	s.Columns = columnsOf(plan.Stored, s.Revision, before)
}

// columnsOf is the canonical form of stored columns, each with the revision
// that introduced it: the one of before, if it is there, or else this one.
func columnsOf(now *feature.Stored, revision uint16, before *feature.Stored) json.RawMessage {
	st := feature.Stored{Columns: slices.Clone(now.Columns)}
	for i := range st.Columns {
		st.Columns[i].Since = revision
	}
	if before != nil {
		overlay(&st, before)
	}
	return st.Canonical()
}

// differences lists what was added, changed and removed.
func differences(old, now map[string]string) []string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		switch before, had := old[name]; {
		case !had:
			texts = append(texts, name+" is new")
		case before != now[name]:
			texts = append(texts, name+" changes")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, has := now[name]; !has {
			texts = append(texts, name+" is removed")
		}
	}
	return texts
}

// sameShape refuses changes of which rows count, when, or under which key.
// Only what both versions have is compared: using one more field of the source
// changes nothing about the others.
func sameShape(view string, old, now ViewState) error {
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(now.Shape)) {
		before, had := old.Shape[name]
		if !had {
			before, had = unsaid[name]
		}
		if had && before != now.Shape[name] {
			changed = append(changed, name)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return fmt.Errorf("view %s: changing %s %w; give the view another name instead, and remove this one later",
		view, strings.Join(changed, ", "), ErrNeedsGeneration)
}

// unsaid is the shape of views that were applied before there was a choice.
var unsaid = map[string]string{"envelope": "", "on_tombstone": "0", "unnest": "", "format": "json", "message": "", "rekey": "false"}

// describe takes down what a version has to remember of a view.
func describe(v *feature.View, p *transforms.Plan) ViewState {
	s := ViewState{
		Shape: map[string]string{
			"entity": entityText(p.Entity), "source": p.Source.Name, "topic": p.Source.Topic,
			"where": normal(v.Where), "on_null_key": strconv.Itoa(int(v.OnNullKey)), "event_time": eventTimeText(p.Source),
			"envelope": string(p.Source.Envelope), "on_tombstone": strconv.Itoa(int(p.Source.OnTombstone)),
			"format": string(p.Source.Format), "message": "", "unnest": "",
		},
		Stored: make(map[string]string), Read: make(map[string]string),
	}
	if p.Source.Schema != nil {
		s.Shape["message"] = p.Source.Schema.Message // records of others are refused
	}
	if v.Unnest != nil {
		s.Shape["unnest"] = v.Unnest.Field
		list, _ := p.Source.Field(v.Unnest.Field)
		s.Shape["field "+list.Name] = fieldText(list)
	}
	for _, k := range v.Keys {
		s.Shape["keys."+k.JoinKey] = normal(k.Expr)
	}
	for _, f := range p.Fields {
		sf, _ := p.Field(f.Name)
		s.Shape["field "+f.Name] = fieldText(sf)
	}
	for i := range v.Features {
		if f := &v.Features[i]; f.Aggregate != nil {
			s.Free += defaultText(f)
			continue
		} else if f.At == feature.PhaseRead {
			s.Read[f.Name] = normal(f.Expr)
		} else {
			s.Stored[f.Name] = normal(f.Expr) + " as " + f.Type.String()
		}
		s.Free += defaultText(&v.Features[i])
	}
	for _, c := range p.Stored.Columns {
		if c.Hidden {
			s.Stored[c.Name] = c.Name + " as " + c.Type.String()
		}
	}
	s.Free += fmt.Sprintf("ttl %s mode %d expire %s", v.TTL, v.TTLMode, v.Expire)
	if v.Late != feature.LateDrop {
		s.Free += " late rows are dead letters"
	}
	describeWindows(&s, v, p)
	return s
}

func defaultText(f *feature.Feature) string {
	if f.Default == nil {
		return ""
	}
	return fmt.Sprintf("%s default %v %v %v %v; ", f.Name, f.Default.Bools, f.Default.Ints, f.Default.Floats, f.Default.Strings)
}

func entityText(e *feature.Entity) string {
	var text strings.Builder
	text.WriteString(e.Name)
	for _, j := range e.JoinKeys {
		text.WriteString(" " + j.Name + " " + j.Type.String())
	}
	return text.String()
}

func eventTimeText(s *feature.Source) string {
	if s.EventTime == "" {
		return ""
	}
	f, _ := s.Field(s.EventTime)
	return s.EventTime + " " + fieldText(f)
}

func fieldText(f feature.SourceField) string {
	text := fmt.Sprintf("%s %s %s", f.Type, f.Path, f.Unit)
	if f.Key {
		text += " of the key"
	}
	if f.Header != "" {
		text += " of header " + f.Header
	}
	return text // quoted or not, a number is the same
}

// normal prints an expression in one form, so that spaces and the case of
// keywords do not count as changes.
func normal(text string) string { return transforms.Normal(text) }
