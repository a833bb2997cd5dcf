package history

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"millrace/feature"
	"millrace/transforms"
)

// giveSince says of every window which version brought it: that of before where
// it stays, under whatever name, this one where it is new or comes back.
func giveSince(old *ViewState, now *ViewState, version int64) {
	since := make(map[string]int64)
	if !old.Removed {
		for _, w := range old.Windows {
			since[w.identity()] = w.Since
		}
	}
	for name, w := range now.Windows {
		if w.Since = version; since[w.identity()] != 0 {
			w.Since = since[w.identity()]
		}
		now.Windows[name] = w
	}
}

// identity is what transforms.Windowed.ID is of. A state alone is less: a window
// of another hop or a longer one has not counted what the others of it have.
func (w *WindowState) identity() string { return w.Hash + " " + w.Counts }

// overlayWindows gives the windows of a plan the versions that brought them.
func overlayWindows(ws *transforms.Windows, states map[string]WindowState) {
	if ws == nil {
		return
	}
	for i := range ws.Features {
		ws.Features[i].Since = states[ws.Features[i].Name].Since
	}
}

// describeWindows takes down the windowed features of a plan. What decides which
// rows all of them count is part of the view's shape.
func describeWindows(s *ViewState, v *feature.View, p *transforms.Plan) {
	if p.Windows == nil {
		return
	}
	s.Shape["event_id"] = p.Windows.EventID
	// The default follows from the windows: what it leaves out lies before all of
	// them, so that it may grow with them.
	s.Shape["allowed_lateness"] = ""
	if v.AllowedLateness > 0 {
		s.Shape["allowed_lateness"] = v.AllowedLateness.String()
	}
	s.Shape["rekey"] = strconv.FormatBool(v.Rekey)
	s.Windows = make(map[string]WindowState, len(p.Windows.Features))
	for i := range p.Windows.Features {
		f := &p.Windows.Features[i]
		a := v.Features[slices.IndexFunc(v.Features, func(x feature.Feature) bool { return x.Name == f.Name })].Aggregate
		w := WindowState{
			Counts: fmt.Sprintf("%s of %s where %s window %s hop %s offset %s n %d distinct %t", a.Kind, normal(a.Of), normal(a.Filter),
				transforms.Duration(f.Window.Length), transforms.Duration(f.Window.Hop), f.Window.Offset, a.N, a.Distinct),
			Hash: strconv.FormatUint(f.Hash, 16),
		}
		if a.Q != 0 || a.K != 0 {
			w.Read = fmt.Sprintf("q %v k %d", a.Q, a.K)
		}
		s.Windows[f.Name] = w
	}
}

// windowChanges says what becomes of windowed features; the error names those
// whose tiles would mean something else.
func windowChanges(view string, old, now map[string]WindowState) ([]Change, error) {
	var added, removed, read, refused []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		before, had := old[name]
		switch w := now[name]; {
		case !had:
			added = append(added, name)
		case before.Counts != w.Counts, before.Hash != w.Hash:
			refused = append(refused, name)
		case before.Read != w.Read:
			read = append(read, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, stays := now[name]; !stays {
			removed = append(removed, name)
		}
	}
	if len(refused) > 0 {
		return nil, fmt.Errorf("view %s: changing what %s counts %w: its tiles hold what was counted before; give the feature another name, and it counts from its first event on",
			view, strings.Join(refused, ", "), ErrNeedsGeneration)
	}
	var changes []Change
	for _, c := range []struct {
		names []string
		says  string
	}{
		{added, "counts from its first event on, and is not complete before its window has passed"},
		{removed, "is no longer counted; the store drops its tiles in time"},
		{read, "is read in another way from the same tiles"},
	} {
		if len(c.names) > 0 {
			changes = append(changes, Change{View: view, Kind: ChangeFree, Text: strings.Join(c.names, ", ") + " " + c.says})
		}
	}
	return changes, nil
}
