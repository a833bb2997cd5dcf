package serving

import (
	"fmt"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// prediction explains an output of a model, which has value.
func (e *Explanation) prediction(req *Request, resp *Response, o *Output, value Value) ExplainedValue {
	m, st := &resp.read.models[o.model], &resp.st.models[o.model]
	g, model := &resp.st.groups[m.group], m.plan.Model
	v := ExplainedValue{Value: value, Row: -1, Phase: feature.PhaseRead}
	v.Prediction = &ExplainedPrediction{Model: model.Name, Version: model.Version}
	at := m.unitOf(resp, 0)
	if at < 0 || req.isNull(resp.read.groups[m.group].keys, 0) {
		v.Why = req.whyNoKey(resp.read.groups[m.group].keys)
		return v
	}
	u := &st.units[at]
	if m.stored >= 0 {
		stored := m.plan.Prediction(g.stored[m.stored], at)
		x := v.Prediction
		x.Found, x.StoredVersion, x.By, x.Catalog = stored.Found, stored.Version, stored.By, stored.Catalog
		x.Stale, x.Changed = u.verdict.Rule, u.verdict.View
		v.Row = e.rowOf(m.plan.View, "", g, g.stored[m.stored], at)
		e.Rows[v.Row].Origin.EventMicros = stored.AtMicros
	}
	resp.gatherInputs(req, m, st)
	for n, in := range m.plan.Inputs {
		v.Inputs = append(v.Inputs, ExplainedInput{Name: in.Ref.View + ":" + in.Ref.Feature, Column: st.columns[n], Row: 0})
	}
	v.Why = u.why(m)
	return v
}

// why says in words what became of a prediction.
func (u *unit) why(m *modelRead) string {
	model := m.plan.Model
	stale := ""
	if u.verdict.State == transforms.PredictionStale {
		stale = "the stored prediction is stale: " + staleText(&u.verdict, model.MaxAge)
	}
	switch u.origin {
	case OriginStale:
		if !model.RefreshOnRead {
			return stale + "; another is computed after the change"
		}
		return stale + "; another is computed meanwhile"
	case OriginPredicted:
		if stale == "" {
			return ""
		}
		return stale + "; it was computed anew"
	case OriginLastValue:
		return stale + "; none could be computed: " + u.detail
	case OriginFailed:
		return "none could be computed: " + u.detail
	case OriginNone:
		if stale != "" {
			return stale + "; reads do not compute another"
		}
		return "none is stored, and reads do not compute one"
	default:
		return ""
	}
}

// staleText says by which rule a prediction is stale.
func staleText(j *transforms.Judgement, maxAge time.Duration) string {
	of := ""
	if j.View != "" {
		of = " of " + j.View
	}
	switch j.Rule {
	case transforms.StaleVersion:
		return "it is of another version of the model"
	case transforms.StaleAge:
		if maxAge == 0 {
			return "it is older than was asked for"
		}
		return fmt.Sprintf("it is older than %s, or than was asked for", transforms.Duration(maxAge))
	case transforms.StaleUnreadable:
		return "its fingerprint cannot be read"
	case "row":
		return "the row" + of + " has changed"
	case "events":
		return "events were counted in the windows" + of
	case "read":
		return "features" + of + " are read otherwise, or a window could not be"
	case "generation":
		return "the stored data" + of + " was begun anew"
	case "views":
		return "it is made of other views"
	case "values":
		return "the values of its inputs have changed"
	default:
		return "the model takes its inputs otherwise (" + string(j.Rule) + ")"
	}
}
