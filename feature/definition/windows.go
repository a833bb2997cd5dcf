package definition

import (
	"fmt"
	"regexp"
	"slices"

	"millrace/feature"
	"millrace/transforms"
)

// windowedFeature is one feature of an aggregate.
type windowedFeature struct {
	aggregate feature.Aggregate
	suffix    string // of its name, "" when it has the name as written
}

// aggregateKeys are the keys that only an aggregate has.
var aggregateKeys = []string{"of", "filter", "window", "windows", "hop", "offset", "n", "k", "q", "distinct"}

// windows returns a feature for every window of an aggregate; none for a
// feature that is no aggregate.
func (b *builder) windows(f loadedFile, x *featureDef, at string) []windowedFeature {
	written := func(key string) bool { return f.nodes[at+"."+key] != nil }
	if !written("agg") {
		for _, key := range aggregateKeys {
			if written(key) && !f.bad[at+".agg"] {
				f.refuse(at+"."+key, -1, key+" is for aggregates", "add agg: count or another one, or remove "+key)
				return nil
			}
		}
		return nil
	}
	if written("expr") {
		f.refuse(at+".expr", -1, fmt.Sprintf("feature %s has an expr and an aggregate", x.Name),
			"write what is aggregated as of: "+x.Expr+", or make a second feature at: read of the aggregate")
	}
	if written("at") {
		f.refuse(at+".at", 0, fmt.Sprintf("feature %s is an aggregate: it is counted at write and merged at read", x.Name), "remove at")
	}
	for _, text := range []struct{ key, value string }{{"of", x.Of}, {"filter", x.Filter}} {
		if written(text.key) && text.value == "" {
			f.refuse(at+"."+text.key, -1, text.key+" is empty", "write an expression, or remove it")
		}
	}
	base := feature.Aggregate{
		Kind: x.Agg, Of: x.Of, Filter: x.Filter, Hop: x.Hop, Offset: x.Offset, N: x.N, K: x.K, Q: x.Q, Distinct: x.Distinct,
	}
	switch {
	case written("window") && written("windows"):
		f.refuse(at+".windows", -1, fmt.Sprintf("feature %s has window and windows", x.Name), "write one of the two: windows makes a feature of each")
	case written("windows"):
		return b.manyWindows(f, x, base, at+".windows")
	case !written("window"):
		f.refuse(at+".window", -1, fmt.Sprintf("aggregate %s has no window", x.Name), "add window: 24h, or windows: [1h, 24h], or window: unlimited")
	}
	b.oneWindow(f, x.Window, &base, at+".window")
	return []windowedFeature{{aggregate: base}}
}

func (b *builder) manyWindows(f loadedFile, x *featureDef, base feature.Aggregate, at string) []windowedFeature {
	if len(x.Windows) == 0 {
		f.refuse(at, -1, fmt.Sprintf("aggregate %s has no windows", x.Name), "list them: [1h, 24h]")
		return []windowedFeature{{aggregate: base}}
	}
	all := make([]windowedFeature, 0, len(x.Windows))
	for i, text := range x.Windows {
		one, path := windowedFeature{aggregate: base, suffix: text}, fmt.Sprintf("%s[%d]", at, i)
		switch {
		case slices.Contains(x.Windows[:i], text):
			f.refuse(path, 0, "window "+text+" is written twice", "remove one of the two")
			continue
		case b.oneWindow(f, text, &one.aggregate, path) && !suffix.MatchString(text):
			f.refuse(path, 0, fmt.Sprintf("window %s does not fit a name: the feature is called %s_%s", text, x.Name, text), "write it in whole units, as 90m")
		}
		all = append(all, one)
	}
	return all
}

// suffix is what a name may end with.
var suffix = regexp.MustCompile(`^[a-z0-9]+$`)

// oneWindow reads the length of a window.
func (b *builder) oneWindow(f loadedFile, text string, a *feature.Aggregate, path string) bool {
	if text == "unlimited" {
		a.Unlimited = true
		return true
	}
	var err error
	if a.Window, err = parseDuration(text); err != nil && f.nodes[path] != nil {
		f.refuse(path, 0, fmt.Sprintf("window %q is not a duration", text), "write 90s, 15m, 24h, 7d or unlimited")
		return false
	}
	return err == nil
}

// windowKeys takes the keys of a view that are for windowed features.
func (b *builder) windowKeys(f loadedFile, d *viewDef, v *feature.View, path string) {
	v.AllowedLateness, v.Rekey = d.AllowedLateness, d.Rekey
	if d.Late == "dead_letter" {
		v.Late = feature.LateDeadLetter
	}
	if slices.ContainsFunc(v.Features, func(x feature.Feature) bool { return x.Aggregate != nil }) || f.doubtful(path+".features") {
		return
	}
	for _, key := range []string{"allowed_lateness", "late", "rekey"} {
		if f.nodes[path+"."+key] != nil {
			f.at(path+"."+key, -1, fmt.Sprintf("%s is for views with windowed features, and view %s has none", key, d.Name), "remove it, or add a feature with agg:")
		}
	}
}

// rekey refuses what there is no topic to take records from.
func (b *builder) rekey(f loadedFile, d *viewDef, src *feature.Source, path string) {
	if d.Rekey && src != nil && src.Topic == "" {
		f.at(path+".rekey", -1, fmt.Sprintf("view %s is to be rekeyed, and source %s has no topic: its pushes are counted under their entity's key as they come", d.Name, src.Name),
			"remove rekey, or give the source a topic")
	}
}

// windowsOnly refuses a source of finished rows for a view that could use none
// of them.
func (b *builder) windowsOnly(f loadedFile, p *transforms.Plan, path string) {
	if p.Windows != nil && p.Windows.Only && !p.Source.TransformOnWrite {
		f.at(path+".source", 0, fmt.Sprintf("view %s has windowed features alone, and source %s carries finished rows, which windows leave as they are", p.View.Name, p.Source.Name),
			"remove transform_on_write: false from the source, or feed the view from another one")
	}
}
