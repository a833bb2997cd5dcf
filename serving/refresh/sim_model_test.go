package refresh_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"millrace/feature"
	"millrace/serving"
)

// model is what all processes ask. It echoes what it is asked, so that it can
// be seen of a prediction what it is of.
type model struct {
	down     bool
	random   bool                 // besides, it answers something else each time
	answers  int                  // to processes with the newest definitions
	computed map[string]time.Time // when it last echoed something
}

// predictor is a process's client of the model, of one version.
type predictor struct {
	conn

	version string
	catalog int
}

// Predict implements serving.Predictor.
func (p predictor) Predict(ctx context.Context, q *serving.Inference, dst *serving.Inferred) error {
	began := time.Now()
	slept := p.sleep(ctx, p.w.span(20*time.Millisecond))
	dst.Outputs, dst.Faults, dst.Shared = make([]feature.Column, 2), make([]serving.InferenceFault, q.Rows), nil
	dst.Outputs[0].Reset(feature.Of(feature.KindString))
	dst.Outputs[1].Reset(feature.Of(feature.KindInt64))
	for i := range dst.Outputs {
		dst.Outputs[i].Resize(q.Rows)
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	for row := range q.Rows {
		text := p.version
		for _, c := range q.Inputs {
			text += " " + textOf(c, row)
		}
		switch {
		case slept != nil || p.audits:
			dst.Faults[row].Reason = "timeout"
		case !p.w.healed && (p.w.model.down || p.w.rng.IntN(20) == 0):
			dst.Faults[row].Reason = "unavailable"
		case refusedInputs(text):
			dst.Faults[row] = serving.InferenceFault{Reason: "refused", Lasting: true}
		default:
			p.w.model.computed[text] = began
			if p.catalog == p.w.changes.version {
				p.w.model.answers++
			}
			dst.Outputs[0].SetString(row, text)
			dst.Outputs[1].SetInt(row, 0)
			if p.w.model.random {
				dst.Outputs[1].SetInt(row, p.w.rng.Int64())
			}
		}
	}
	return nil
}

// refusedInputs reports whether the model refuses what it would echo as text.
func refusedInputs(text string) bool { return strings.HasSuffix(text, "9") }

func textOf(c *feature.Column, row int) string {
	switch {
	case c == nil || c.IsNull(row):
		return "null"
	case c.Type.Layout() == feature.LayoutString:
		return c.Strings[row]
	default:
		return fmt.Sprint(c.Ints[row])
	}
}
