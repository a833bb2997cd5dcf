package serving

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"millrace/transforms"
	"millrace/transforms/window"
)

// ExplainedWindow is a window that a value is, or is computed from.
type ExplainedWindow struct {
	View, Feature string
	Hop           time.Duration // 0: a window without end
	Span          window.Span   // event times that it covers
	Tiles         []ExplainedTiles
	Complete      bool
	Since         int64 // from when on every partition was counted, if Partly
	Partly        bool
	Pending       bool          // partitions are left whose lanes have yet to begin counting it
	Took          time.Duration // of the read that brought the tiles; those of one entity share one
}

// ExplainedTiles is the tiles of one source partition in a window.
type ExplainedTiles struct {
	Source      int32
	Tiles       int
	First, Last int64 // starts
}

// windows explains the windows that an output is made of, for a key.
func (e *Explanation) windows(resp *Response, o *Output, key int) []ExplainedWindow {
	g := &resp.st.groups[o.group]
	w := &g.windows
	var all []ExplainedWindow
	for _, i := range o.fromWindows(g) {
		r := w.readers[o.view]
		f := r.Feature(i)
		x := ExplainedWindow{
			View: resp.read.groups[o.group].views[o.view].plan.View.Name, Feature: f.Name, Hop: f.Window.Hop, Span: r.Span(i),
			Complete: w.complete(o.view, i, key) == CompleteYes, Took: w.took,
		}
		x.Since, x.Partly = w.since(resp.sinces, o.view, i)
		x.Pending = !w.adopted(resp.sinces, o.view, i)
		within := slices.Index(w.of, rangeOf{o.view, r.Range(i)})
		for _, n := range w.notes {
			if n.key == key && n.within == within && x.Span.From <= n.start && n.start < x.Span.To {
				x.add(n)
			}
		}
		slices.SortFunc(x.Tiles, func(a, b ExplainedTiles) int { return cmp.Compare(a.Source, b.Source) })
		all = append(all, x)
	}
	return all
}

func (x *ExplainedWindow) add(n tileNote) {
	at := slices.IndexFunc(x.Tiles, func(t ExplainedTiles) bool { return t.Source == n.source })
	if at < 0 {
		at = len(x.Tiles)
		x.Tiles = append(x.Tiles, ExplainedTiles{Source: n.source, First: n.start, Last: n.start})
	}
	t := &x.Tiles[at]
	t.Tiles++
	t.First, t.Last = min(t.First, n.start), max(t.Last, n.start)
}

// whyWindows explains the status of a value that is made of windows alone.
func whyWindows(v *ExplainedValue) string {
	if v.Status != StatusNull {
		return ""
	}
	for i := range v.Windows {
		if len(v.Windows[i].Tiles) > 0 {
			if v.Expr != "" && len(v.Inputs) > 0 {
				return "the expression is null"
			}
			return "no event in the window has a value"
		}
	}
	return "the window has no events"
}

// windowInputs lists the windows that a feature at read is computed from.
func windowInputs(g *groupState, o *Output, key int) []ExplainedInput {
	reader := g.readers[o.view]
	if _, is := reader.Windowed(o.nth); is {
		return nil
	}
	var inputs []ExplainedInput
	for _, i := range o.fromWindows(g) {
		r := g.windows.readers[o.view]
		inputs = append(inputs, ExplainedInput{Name: r.Feature(i).Name, Column: r.Column(i), Row: key})
	}
	return inputs
}

// exprOf is what a feature is computed by, as people read it.
func exprOf(plan *transforms.Plan, feature string) string {
	f := &plan.View.Features[featureIndex(plan.View, feature)]
	if f.Aggregate == nil {
		return f.Expr
	}
	over := " over everything"
	if w, ok := plan.Windows.Feature(feature); ok && !w.Window.Unlimited {
		over = " over " + transforms.Duration(w.Window.Length)
		if w.Window.Offset > 0 {
			over += fmt.Sprintf(", %s ago", transforms.Duration(w.Window.Offset))
		}
	}
	return transforms.AggregateText(f.Aggregate) + over
}
