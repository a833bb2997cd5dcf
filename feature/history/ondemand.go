package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"millrace/feature"
)

// nextOnDemand records the on-demand views in next and says what changes.
func nextOnDemand(old map[string]OnDemandState, next *Applied, views []*feature.OnDemandView) []Change {
	if len(views) > 0 {
		next.OnDemandViews = make(map[string]OnDemandState, len(views))
	}
	var changes []Change
	add := func(view string, kind ChangeKind, text string) {
		changes = append(changes, Change{View: view, OnDemand: true, Kind: kind, Text: text})
	}
	for _, v := range views {
		now := describeOnDemand(v)
		next.OnDemandViews[v.Name] = now
		before, known := old[v.Name]
		texts := differences(before.Features, now.Features)
		if before.Entity != now.Entity {
			texts = append(texts, "it is of entity "+now.Entity)
		}
		switch {
		case !known:
			add(v.Name, ChangeNew, fmt.Sprintf("%d features of %s, computed at read from %s; nothing is stored",
				len(v.Features), v.Entity, strings.Join(v.Sources, ", ")))
		case len(texts) > 0:
			add(v.Name, ChangeFree, strings.Join(texts, ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, stays := next.OnDemandViews[name]; !stays {
			add(name, ChangeRemoved, "is no longer served")
		}
	}
	return changes
}

func describeOnDemand(v *feature.OnDemandView) OnDemandState {
	s := OnDemandState{Entity: v.Entity, Features: make(map[string]string, len(v.Features))}
	for i := range v.Features {
		f := &v.Features[i]
		s.Features[f.Name] = strings.TrimSpace(normal(f.Expr) + " as " + f.Type.String() + " " + defaultText(f))
	}
	return s
}
