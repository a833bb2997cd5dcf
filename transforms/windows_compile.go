package transforms

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace/feature"
	"millrace/transforms/expr"
	"millrace/transforms/window"
)

// aggregate is the parsed texts of a windowed feature; nil ones are not written.
type aggregate struct{ of, filter *expr.Node }

func (c *compiler) parseAggregate(i int) {
	a := c.view.Features[i].Aggregate
	if a.Of != "" {
		c.aggregates[i].of = c.parseOne(aggregatePart(i, "of"), a.Of)
	}
	if a.Filter != "" {
		c.aggregates[i].filter = c.parseOne(aggregatePart(i, "filter"), a.Filter)
	}
}

func aggregatePart(i int, key string) string { return fmt.Sprintf("features[%d].%s", i, key) }

// checkWindows types the aggregates and gathers what they need by hop.
func (c *compiler) checkWindows() {
	if len(c.problems) > 0 || !slices.ContainsFunc(c.view.Features, func(f feature.Feature) bool { return f.Aggregate != nil }) {
		return
	}
	c.windows = &Windows{}
	c.checkEventID()
	for i := range c.view.Features {
		if c.view.Features[i].Aggregate != nil {
			c.checkAggregate(i)
		}
	}
	c.windows.Lateness = c.lateness()
	if len(c.problems) == 0 {
		c.checkBounds()
	}
}

// lateness is what is allowed: what is written, or the largest window and its
// hop, after which a row could be in no window that begins at its record's time.
func (c *compiler) lateness() time.Duration {
	if c.view.AllowedLateness > 0 {
		return c.view.AllowedLateness
	}
	var most time.Duration
	for i := range c.windows.Features {
		w := &c.windows.Features[i].Window
		if w.Unlimited {
			return 0
		}
		most = max(most, w.Length+w.Hop)
	}
	return most
}

func (c *compiler) checkEventID() {
	if c.src.EventID == "" {
		return
	}
	f, ok := c.src.Field(c.src.EventID)
	if !ok {
		c.problem("source", 0, fmt.Sprintf("source %s has no field %s for its event_id", c.src.Name, c.src.EventID), "")
		return
	}
	c.windows.EventID, c.windows.eventID = f.Name, f.Type.Kind
}

// EventIDKinds lists what an event id may be.
func EventIDKinds() []feature.Kind {
	return []feature.Kind{feature.KindString, feature.KindBytes, feature.KindInt32, feature.KindInt64}
}

func (c *compiler) checkAggregate(i int) {
	f := &c.view.Features[i]
	a := f.Aggregate
	before := len(c.problems)
	w := Windowed{Name: f.Name, at: i, of: -1, filter: -1, Window: windowOf(a)}
	w.Spec = window.Spec{N: a.N, K: a.K, Q: a.Q, Distinct: a.Distinct}
	kind, ok := window.ParseKind(a.Kind)
	if !ok {
		c.problem(aggregatePart(i, "agg"), 0, "unknown aggregate "+a.Kind, "there are: "+strings.Join(window.KindNames(), ", "))
	}
	w.Spec.Kind = kind
	of := c.checkPart(i, "of", c.aggregates[i].of)
	filter := c.checkPart(i, "filter", c.aggregates[i].filter)
	if filter != nil && filter.Type() != feature.Of(feature.KindBool) {
		c.problem(aggregatePart(i, "filter"), 0, fmt.Sprintf("filter is %s, not bool", filter.Type()), "compare it with something")
	}
	if err := w.Window.Check(); err != nil {
		c.refuse(i, windowPart(&w.Window, a), err)
	}
	if of != nil && of.Type().Kind == feature.KindInvalid {
		c.problem(aggregatePart(i, "of"), 0, "of has no type: it is only null", "cast it, for example cast(null as float64)")
	}
	if len(c.problems) > before {
		return
	}
	if of != nil {
		w.Spec.Of = of.Type()
	}
	result, err := w.Spec.Result()
	if err != nil {
		c.refuse(i, specPart(&w.Spec, of != nil), err)
		return
	}
	c.takeType(i, result)
	w.Type = f.Type
	w.Hash = w.Spec.Hash(c.expanded(c.aggregates[i].of), c.expanded(c.aggregates[i].filter))
	w.of = share(&c.windows.argTexts, &c.windowArgs, c.expanded(c.aggregates[i].of), of)
	w.filter = share(&c.windows.filterTexts, &c.windowKeep, c.expanded(c.aggregates[i].filter), filter)
	if w.of == len(c.windows.Args) {
		c.windows.Args = append(c.windows.Args, of.Type())
	}
	c.windows.Filters = len(c.windowKeep)
	c.addState(&w)
	c.windows.Features = append(c.windows.Features, w)
}

// windowOf is the window of an aggregate, with the default hop.
func windowOf(a *feature.Aggregate) window.Window {
	w := window.Window{Length: a.Window, Hop: a.Hop, Offset: a.Offset, Unlimited: a.Unlimited}
	if w.Hop == 0 && !w.Unlimited {
		w.Hop = window.DefaultHop(w.Length)
	}
	return w
}

func (c *compiler) checkPart(i int, key string, n *expr.Node) *expr.Expr {
	if n == nil || c.needsRead(aggregatePart(i, key), n) {
		return nil
	}
	return c.check(aggregatePart(i, key), n, writeScope{c})
}

// refuse records an error that says what is wrong and, behind a colon, what to
// write.
func (c *compiler) refuse(i int, key string, err error) {
	message, hint, found := strings.Cut(err.Error(), ": ")
	if !found {
		message, hint, _ = strings.Cut(err.Error(), "; ")
	}
	c.problem(aggregatePart(i, key), 0, message, hint)
}

// windowPart is the key that a fault of a window is about.
func windowPart(w *window.Window, a *feature.Aggregate) string {
	switch {
	case w.Offset < 0 || w.Unlimited && w.Offset != 0:
		return "offset"
	case w.Length > 0 && a.Hop != 0 || w.Unlimited:
		return "hop"
	}
	return "window"
}

// specPart is the key that a fault of an aggregate is about.
func specPart(s *window.Spec, hasOf bool) string {
	switch {
	case s.N != 0 && (s.Kind != window.KindLastN || s.N < 1 || s.N > window.MaxN):
		return "n"
	case s.K != 0 && (s.Kind != window.KindTopK || s.K < 1 || s.K > window.MaxK):
		return "k"
	case s.Q != 0 && (s.Kind != window.KindQuantile || !(s.Q >= 0 && s.Q <= 1)):
		return "q"
	case s.Distinct && s.Kind != window.KindLastN:
		return "distinct"
	case hasOf:
		return "of"
	}
	return "agg"
}

// expanded is the text of n and, behind it, of the features at write that it is
// computed from: one text for what an aggregate is of, and another one whenever
// that changes. They are not written into each other, because features that
// share parts would make it as long as two to their number.
func (c *compiler) expanded(n *expr.Node) string {
	if n == nil {
		return ""
	}
	var text strings.Builder
	text.WriteString(n.String())
	seen := make([]bool, len(c.nodes))
	var visit func(n *expr.Node)
	visit = func(n *expr.Node) {
		for _, name := range namesOf(n) {
			if i := c.featureNamed(name); i >= 0 && !seen[i] && c.nodes[i] != nil {
				seen[i] = true
				fmt.Fprintf(&text, "; %s = %s", name, c.nodes[i])
				visit(c.nodes[i])
			}
		}
	}
	visit(n)
	return text.String()
}

// share returns the place of an expression among those of its kind, or -1 for
// none.
func share(texts *[]string, trees *[]*expr.Expr, text string, tree *expr.Expr) int {
	if tree == nil {
		return -1
	}
	at := slices.Index(*texts, text)
	if at < 0 {
		at = len(*texts)
		*texts, *trees = append(*texts, text), append(*trees, tree)
	}
	return at
}

// addState finds or adds the state of w among those of its hop.
func (c *compiler) addState(w *Windowed) {
	hops := &c.windows.Hops
	w.Hop = slices.IndexFunc(*hops, func(h Hop) bool { return h.Span == w.Window.Hop })
	if w.Hop < 0 {
		w.Hop = len(*hops)
		*hops = append(*hops, Hop{Span: w.Window.Hop, Shape: &window.Shape{EventIDs: c.windows.EventID != ""}})
	}
	h := &(*hops)[w.Hop]
	w.State = slices.IndexFunc(h.Shape.Aggregates, func(a window.Aggregate) bool { return a.Hash == w.Hash })
	if w.State >= 0 {
		return
	}
	w.State = len(h.Shape.Aggregates)
	h.Shape.Aggregates = append(h.Shape.Aggregates, window.Aggregate{Spec: w.Spec, Hash: w.Hash})
	h.of, h.filter = append(h.of, w.of), append(h.filter, w.filter)
	h.checks = h.checks || w.Spec.Of.Layout() == feature.LayoutString || w.Spec.Of.IsList()
}

// checkBounds refuses reads of too many tiles, and tiles that are too large.
func (c *compiler) checkBounds() {
	ws := c.windows
	for hop := range ws.Hops {
		h := &ws.Hops[hop]
		shape, err := window.NewShape(h.Shape.Aggregates, h.Shape.EventIDs)
		if err != nil {
			c.problem("features", -1, err.Error(), "")
			continue
		}
		h.Shape = shape
		var farthest, heaviest *Windowed
		for i := range ws.Features {
			f := &ws.Features[i]
			if f.Hop != hop {
				continue
			}
			if farthest == nil || f.Window.Length+f.Window.Offset > farthest.Window.Length+farthest.Window.Offset {
				farthest = f
			}
			if heaviest == nil || stateBytes(f) > stateBytes(heaviest) {
				heaviest = f
			}
		}
		if n := ws.Tiles(hop); n > MaxCells {
			c.tooManyTiles(farthest, n)
		}
		if n := ws.TileBytes(hop); n > window.MaxTileSize {
			c.problem(aggregatePart(heaviest.at, "agg"), 0,
				fmt.Sprintf("a tile of %s may take %d bytes, and %d are the most; feature %s takes %d of them", Duration(h.Span), n, window.MaxTileSize, heaviest.Name, stateBytes(heaviest)),
				"lower its n, keep something shorter than text, or move features to a second view")
		}
	}
}

func (c *compiler) tooManyTiles(f *Windowed, n int) {
	reach := f.Window.Length + f.Window.Offset
	hint := fmt.Sprintf("write hop: %s, or move it to a view of its own", Duration(window.DefaultHop(reach)))
	if reach/(24*time.Hour) >= MaxCells {
		hint = "write a shorter window, or window: unlimited"
	}
	c.problem(aggregatePart(f.at, "hop"), 0,
		fmt.Sprintf("a read of feature %s covers %d tiles of %s, and %d are the most", f.Name, n, Duration(f.Window.Hop), MaxCells), hint)
}

func stateBytes(f *Windowed) int { return window.MaxTileBytes([]window.Spec{f.Spec}, false) }

// windowTrees are the outputs of the write half that windows take: arguments,
// filters, the event id.
func (c *compiler) windowTrees() []*expr.Expr {
	if c.windows == nil {
		return nil
	}
	trees := slices.Concat(c.windowArgs, c.windowKeep)
	if c.windows.EventID != "" {
		id, _ := writeScope{c}.Resolve(c.windows.EventID)
		trees = append(trees, id)
	}
	return trees
}

// readsEventTime reports whether a feature at read asks for the row's time.
func (c *compiler) readsEventTime() bool {
	for i, n := range c.nodes {
		if n != nil && c.view.Features[i].At == feature.PhaseRead && expr.Uses(n, "event_time") {
			return true
		}
	}
	return false
}

// Duration is a duration as definitions write it; 0 is that of a window without
// end.
func Duration(d time.Duration) string {
	if d <= 0 {
		return "unlimited"
	}
	var text strings.Builder
	for _, u := range [...]struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d >= u.unit {
			fmt.Fprintf(&text, "%d%s", d/u.unit, u.name)
			d %= u.unit
		}
	}
	if d > 0 { // below a second
		text.WriteString(d.String())
	}
	return text.String()
}
