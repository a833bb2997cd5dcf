package history

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/transforms"
)

// ModelState is what is remembered of a model: what its predictions are stored
// as, and what the next version is compared with.
type ModelState struct {
	Version  string            `json:"version"`
	Revision uint16            `json:"revision"`
	Removed  bool              `json:"removed,omitempty"`
	SchemaID uint32            `json:"schema_id"`
	Columns  json.RawMessage   `json:"columns"` // canonical stored schema of a prediction
	Entity   string            `json:"entity"`
	Outputs  map[string]string `json:"outputs"`
	Inputs   []string          `json:"inputs"` // in the order in which the model takes them
	Read     map[string]string `json:"read"`   // how the inputs of each view are read
	Shape    string            `json:"shape"`  // of its tensors, and what predictions remember; "" in older records
	Free     string            `json:"free"`   // what no stored prediction depends on
	Lent     map[string]string `json:"lent"`   // of every output: what is not stored of it
}

// nextModels records the models in next and says what changes.
func nextModels(old map[string]ModelState, next *Applied, p *definition.Project) ([]Change, error) {
	if len(old)+len(p.Catalog.Models) > 0 {
		next.Models = make(map[string]ModelState, len(p.Catalog.Models))
	}
	var changes []Change
	for _, m := range p.Catalog.Models {
		before, known := old[m.Name]
		state, cs, err := nextModel(&before, known, p.Models[m.Name])
		if err != nil {
			return nil, err
		}
		next.Models[m.Name] = state
		for _, c := range cs {
			c.View, c.Model = m.Name, true
			changes = append(changes, c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		state := old[name]
		if _, stays := next.Models[name]; stays {
			continue
		}
		if !state.Removed {
			changes = append(changes, Change{View: name, Model: true, Kind: ChangeRemoved, Text: "is no longer computed or served; the predictions that it stored stay"})
		}
		state.Removed = true
		next.Models[name] = state
	}
	return changes, nil
}

// namesApart refuses the name of a view for a model, or of a model for a view,
// that was applied before: both are stored under it, and what lies there would
// be taken for the other.
func namesApart(next *Applied) error {
	for _, name := range slices.Sorted(maps.Keys(next.Models)) {
		v, both := next.Views[name]
		if !both {
			continue
		}
		now, before := "model", "view"
		if !v.Removed {
			now, before = before, now
		}
		return fmt.Errorf("%s %s has the name of a %s that was applied before, and what that stored lies where this one's would: give it another name", now, name, before)
	}
	return nil
}

func nextModel(old *ModelState, known bool, plan *transforms.ModelPlan) (ModelState, []Change, error) {
	now, m := describeModel(plan), plan.Model
	if !known {
		now.Revision = 1
		now.Columns = columnsOf(plan.Stored, now.Revision, nil)
		return now, []Change{{Kind: ChangeNew, Text: newModelText(plan)}}, nil
	}
	now.Revision = old.Revision
	before, err := feature.ParseStored(old.Columns)
	if err != nil {
		return now, nil, fmt.Errorf("read the stored columns of model %s: %w", m.Name, err)
	}
	var changes []Change
	texts := differences(old.Outputs, now.Outputs)
	for i, text := range texts {
		texts[i] = "output " + text
	}
	if old.Removed || old.Entity != now.Entity {
		before = feature.Stored{} // what was stored then is not read any more
	}
	if old.Entity != now.Entity {
		texts = append(texts, "predictions are of "+now.Entity)
	}
	if old.Removed {
		texts = append(texts, "comes back")
	}
	if len(texts) > 0 {
		if old.Revision == math.MaxUint16 {
			return now, nil, fmt.Errorf("model %s has had %d revisions, the most there can be: give it another name", m.Name, old.Revision)
		}
		now.Revision++
		text := fmt.Sprintf("revision %d: %s; stored predictions that lack an output are as if missing, others that were computed are stale", now.Revision, strings.Join(texts, ", "))
		changes = append(changes, Change{Kind: ChangeRevision, Text: text})
	}
	now.Columns = columnsOf(plan.Stored, now.Revision, &before)
	if string(now.Columns) == string(old.Columns) {
		now.SchemaID = old.SchemaID
	}
	if texts := staleTexts(old, &now); len(texts) > 0 {
		changes = append(changes, Change{Kind: ChangeStale, Text: strings.Join(texts, ", ") + "; stored predictions are stale until they are computed again" + servedMeanwhile(m)})
	}
	if old.Free != now.Free || lentElsewhere(old.Lent, now.Lent) {
		changes = append(changes, Change{Kind: ChangeFree, Text: "its endpoint, ages or what becomes of errors change; stored predictions stay as they are"})
	}
	return now, changes, nil
}

// lentElsewhere reports whether an output that stays is served under another
// name, or may be NaN where it was not.
func lentElsewhere(old, now map[string]string) bool {
	for name, text := range now {
		if before, had := old[name]; had && before != text {
			return true
		}
	}
	return false
}

func servedMeanwhile(m *feature.Model) string {
	if m.ServePreviousVersion {
		return ", and those of another version are served meanwhile"
	}
	return ""
}

// staleTexts says what no longer is as stored predictions remember it.
func staleTexts(old, now *ModelState) []string {
	var texts []string
	if old.Version != now.Version {
		texts = append(texts, fmt.Sprintf("version %q becomes %q", old.Version, now.Version))
	}
	if !slices.Equal(old.Inputs, now.Inputs) {
		return append(texts, "its inputs change")
	}
	for _, name := range slices.Sorted(maps.Keys(now.Read)) {
		if before, had := old.Read[name]; had && before != now.Read[name] {
			texts = append(texts, "its inputs of "+name+" are read in another way")
		}
	}
	if len(texts) == 0 && old.Shape != "" && old.Shape != now.Shape && maps.Equal(old.Outputs, now.Outputs) {
		texts = append(texts, "its tensors, or what is remembered of its inputs, change")
	}
	return texts
}

func newModelText(p *transforms.ModelPlan) string {
	m := p.Model
	text := fmt.Sprintf("%d outputs of %s", len(m.Outputs), m.Entity)
	if m.Endpoint == "" {
		return text + ", written by clients"
	}
	text += fmt.Sprintf(", computed from %d features by version %s at %s", len(m.Inputs), m.Version, m.Endpoint)
	if !m.Cache {
		text += "; nothing is stored"
	}
	return text
}

// describeModel takes down what a version has to remember of a model.
func describeModel(p *transforms.ModelPlan) ModelState {
	m := p.Model
	s := ModelState{Version: m.Version, Entity: entityText(p.Entity), Outputs: make(map[string]string), Lent: make(map[string]string), Inputs: []string{}, Read: p.ReadTexts()}
	for _, in := range m.Inputs {
		s.Inputs = append(s.Inputs, in.View+":"+in.Feature)
	}
	for _, out := range m.Outputs {
		s.Outputs[out.Name] = fmt.Sprintf("%s of length %d", out.Type, out.Type.Length)
		s.Lent[out.Name] = fmt.Sprintf("as %s:%s nan %t", out.As.View, out.As.Feature, out.AllowNaN)
	}
	s.Shape = fmt.Sprintf("%016x fingerprint %d", p.Shape(), m.Fingerprint)
	s.Free = fmt.Sprintf("endpoint %s cache %t max age %s stale %s debounce %s timeout %s batch %d error %d read %t write %t previous %t",
		m.Endpoint, m.Cache, m.MaxAge, m.ServeStaleFor, m.Debounce, m.Timeout, m.MaxBatch, m.OnError,
		m.RefreshOnRead, m.RefreshOnWrite, m.ServePreviousVersion)
	return s
}

// giveModelIDs is giveSchemaIDs for models.
func giveModelIDs(put func(name string, columns json.RawMessage) (uint32, error), models map[string]ModelState) error {
	for _, name := range slices.Sorted(maps.Keys(models)) {
		m := models[name]
		if m.Removed || m.SchemaID != 0 {
			continue
		}
		var err error
		if m.SchemaID, err = put("model "+name, m.Columns); err != nil {
			return err
		}
		models[name] = m
	}
	return nil
}

// openModels gives the plans of models the numbers of a version.
func openModels(a *Applied, p *definition.Project) error {
	for _, m := range p.Catalog.Models {
		state, ok := a.Models[m.Name]
		if !ok {
			return fmt.Errorf("the record has no state of model %s", m.Name)
		}
		st, err := feature.ParseStored(state.Columns)
		if err != nil {
			return fmt.Errorf("read the stored columns of model %s: %w", m.Name, err)
		}
		plan := p.Models[m.Name]
		m.Revision, plan.View.Revision = state.Revision, state.Revision
		overlay(plan.Stored, &st)
		plan.Stored.ID = state.SchemaID
	}
	return nil
}
