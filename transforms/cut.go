package transforms

import (
	"millrace/feature"
	"millrace/transforms/expr"
)

// cut checks the features at read over the stored columns they need, collects
// those, and compiles the write half.
func (c *compiler) cut() *Plan {
	p := &Plan{View: c.view, Entity: c.entity, rows: c.src, hasWhere: c.whereTree != nil}
	p.features = make([]compiledFeature, len(c.nodes))
	stored := &storedColumns{c: c, at: make(map[string]int), read: make([]*expr.Expr, len(c.nodes))}
	for i := range c.view.Features {
		p.features[i].stored, p.features[i].windowed = -1, -1
		if c.view.Features[i].At == feature.PhaseWrite {
			p.features[i].stored = stored.add(c.view.Features[i].Name, false, c.trees[i])
		}
	}
	if p.Windows = c.windows; p.Windows != nil {
		for w := range p.Windows.Features {
			f := &p.Windows.Features[w]
			p.features[f.at].windowed = w
			stored.read[f.at] = expr.Column(w, f.Name, f.Type)
		}
		stored.first = len(p.Windows.Features)
	}
	for _, i := range c.sorted {
		if c.view.Features[i].Aggregate != nil {
			continue
		}
		if c.view.Features[i].At == feature.PhaseRead {
			stored.read[i] = c.check(featurePart(i), c.nodes[i], stored)
			p.features[i].tree = stored.read[i]
			c.setType(i, stored.read[i])
		}
	}
	if len(c.problems) > 0 {
		return nil
	}
	p.Stored = &feature.Stored{Columns: stored.columns}
	outs := append([]*expr.Expr(nil), c.keyTrees...)
	if c.whereTree != nil {
		outs = append(outs, c.whereTree)
	}
	outs = append(outs, stored.trees...)
	p.write = expr.Compile(append(outs, c.windowTrees()...))
	p.keys = expr.Compile(c.keyTrees)
	if p.Windows != nil {
		p.Windows.Only = len(stored.columns) == 0 && !c.readsEventTime()
	}
	for _, slot := range p.write.Slots() {
		p.slots = append(p.slots, slot)
		p.Fields = append(p.Fields, c.src.Fields[slot].Field)
	}
	return p
}

// storedColumns is the cut while it grows, and the scope of the read half.
type storedColumns struct {
	c       *compiler
	columns []feature.StoredColumn
	trees   []*expr.Expr   // what the write half computes for each
	at      map[string]int // column name -> index
	first   int            // slot of the first column: windowed features come before
	read    []*expr.Expr   // trees of features at read, parallel to the view's features
}

func (s *storedColumns) add(name string, hidden bool, tree *expr.Expr) int {
	s.at[name] = len(s.columns)
	s.columns = append(s.columns, feature.StoredColumn{Name: name, Type: tree.Type(), Since: s.c.view.Revision, Hidden: hidden})
	s.trees = append(s.trees, tree)
	return s.at[name]
}

// Resolve finds what a name means at read. A field is not there any more, so
// it becomes a hidden stored column the first time it is named.
func (s *storedColumns) Resolve(name string) (*expr.Expr, bool) {
	if i := s.c.featureNamed(name); i >= 0 && s.c.view.Features[i].At == feature.PhaseRead {
		return s.read[i], s.read[i] != nil
	}
	at, ok := s.at[name]
	if !ok {
		tree, isField := writeScope{s.c}.Resolve(name)
		if !isField {
			return nil, false
		}
		at = s.add(name, true, tree)
	}
	return expr.Column(s.first+at, name, s.columns[at].Type), true
}

// Names lists what may be named.
func (s *storedColumns) Names() []string { return s.c.names() }
