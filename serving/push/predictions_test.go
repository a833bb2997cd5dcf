package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/serving"
	"millrace/sources"
	"millrace/sources/jsonrec"
)

// testDecoder connects the two, as cmd/millrace does.
type testDecoder struct{ *jsonrec.Decoder }

func newTestDecoder(keys []feature.Field, columns []feature.SourceField) (RowDecoder, error) {
	d, err := jsonrec.NewFinished(keys, columns)
	return testDecoder{d}, err
}

func (d testDecoder) Decode(ctx context.Context, dst *feature.Batch, rows []Row) error {
	recs := make([]sources.Record, len(rows))
	for i, r := range rows {
		recs[i] = sources.Record{Value: r.Value, TimeMillis: r.Millis}
	}
	return d.Decoder.Decode(ctx, dst, recs)
}

// Check and WriteRows are the store of predictions.
func (w *world) Check(rows *feature.Rows) {
	for i, text := range textOfRows(rows) {
		if w.refuse != "" && strings.Contains(text, w.refuse) {
			rows.Rejects = append(rows.Rejects, feature.Reject{Origin: rows.Origins[i], Reason: feature.ReasonRowTooLarge, Message: "it is too large"})
		}
	}
}

func (w *world) WriteRows(_ context.Context, rows *feature.Rows) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = append(w.kept, textOfRows(rows))
	if w.failStore == nil {
		w.Check(rows)
	}
	return w.failStore
}

// textOfRows is each row as key, microseconds behind base, outputs and what is
// hidden beside them.
func textOfRows(rows *feature.Rows) []string {
	all := make([]string, rows.Len())
	for row := range all {
		text := fmt.Sprintf("%s@1 %s@%d:", rows.View.Name, feature.AppendKey(nil, rows.Keys, row), rows.Origins[row].EventMicros-base*1000)
		for i := range rows.Columns {
			text += " " + textOfValue(&rows.Columns[i], row)
		}
		all[row] = text
	}
	return all
}

func textOfValue(c *feature.Column, row int) string {
	if c.IsNull(row) {
		return "null"
	}
	if c.Type.IsList() {
		var all []string
		for i := c.Spans[row].Start; i < c.Spans[row].End; i++ {
			all = append(all, textOfValue(c.Elems, int(i)))
		}
		return fmt.Sprint(all)
	}
	switch c.Type.Layout() {
	case feature.LayoutFloat:
		return fmt.Sprint(c.Floats[row])
	case feature.LayoutString:
		return fmt.Sprintf("%q", c.Strings[row])
	default:
		return fmt.Sprint(c.Ints[row])
	}
}

func TestPredictions(t *testing.T) {
	for name, c := range goodPredictions() {
		t.Run(name, func(t *testing.T) { c.run(t) })
	}
	for name, c := range badPredictions() {
		t.Run("refused/"+name, func(t *testing.T) { c.run(t) })
	}
}

func (c *predictionCase) run(t *testing.T) {
	w := newWorld(t)
	w.refuse = "refused"
	got, err := w.push(c.req, c.rows...)
	if len(slices.Concat(w.kept...)) != len(c.stored) || len(c.stored) > 0 && !slices.Equal(w.kept[0], c.stored) {
		t.Errorf("stored\n%q, not\n%q", w.kept, c.stored)
	}
	if w.published != nil {
		t.Error("something is on a topic")
	}
	if c.fails == "" && len(c.faults) > 0 && !c.req.RejectRows {
		c.fails = serving.CodeInvalidRows
	}
	if code := codeOf(err); code != c.fails {
		t.Fatalf("answered %s %v, want %s", code, err, c.fails)
	}
	switch {
	case err == nil:
		checkRowFaults(t, got.Errors, c.faults)
	case c.fails == serving.CodeInvalidRows:
		for i, d := range err.Details {
			row, text, _ := strings.Cut(c.faults[i], " ")
			if d.Field != "rows["+row+"]" || !strings.HasPrefix(d.Message, text) {
				t.Errorf("detail %+v, want %s", d, c.faults[i])
			}
		}
		if len(err.Details) != len(c.faults) {
			t.Errorf("details %+v, want %q", err.Details, c.faults)
		}
	case !strings.Contains(err.Message, c.says):
		t.Errorf("answered %q, want %q", err.Message, c.says)
	}
}

func codeOf(err *serving.Error) serving.Code {
	if err == nil {
		return ""
	}
	return err.Code
}

func checkRowFaults(t *testing.T, got []serving.RowFault, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("faults %+v, want %q", got, want)
	}
	for i := range got {
		if text := fmt.Sprintf("%d %s", got[i].Row, got[i].Text()); !strings.HasPrefix(text, want[i]) {
			t.Errorf("fault %q, want %q", text, want[i])
		}
	}
}

// TestPredictionsAreCounted: the answer and the events count rows under the
// model's name; those that another row of their key outdoes are stored, too.
func TestPredictionsAreCounted(t *testing.T) {
	w := newWorld(t)
	got, err := w.push(request{View: "fraud", RejectRows: true, Lines: []int{3, 5, 9, 11}},
		`{"driver_id":1,"score":1,"why":"x"}`, `{"driver_id":1,"score":1,"why":"x"}`, `{"score":1}`, `{}`)
	if err != nil || got.Stored != 2 || got.Rejected != 2 || got.Filtered != 0 || got.Published != 0 || got.Receipt != "" {
		t.Fatalf("answered %+v %v", got, err)
	}
	if want := []serving.PushEnds{{View: "fraud", Stored: 2, Rejected: 2}}; !slices.Equal(got.Views, want) || !slices.Equal(w.told, []string{"fraud/fraud 2 0 2"}) {
		t.Errorf("views %+v, told %q", got.Views, w.told)
	}
	if got.Errors[0].Row != 9 || got.Errors[len(got.Errors)-1].Row != 11 {
		t.Errorf("errors %+v", got.Errors)
	}
}

// TestPredictionsHaveLimits: those of other pushes.
func TestPredictionsHaveLimits(t *testing.T) {
	const good = `{"driver_id":1,"score":1,"why":"x"}`
	w := newWorld(t, func(s *Settings) { s.Limits = serving.PushLimits{MaxRows: 2, InFlightBytes: 60, Concurrency: 2} })
	for name, c := range map[string]struct {
		rows int
		code serving.Code
	}{"rows": {3, serving.CodeTooLarge}, "as many": {1, ""}} {
		if _, err := w.push(request{View: "fraud"}, slices.Repeat([]string{good}, c.rows)...); codeOf(err) != c.code {
			t.Errorf("%s: answered %v", name, err)
		}
	}
	pass, err := w.svc.Admit(50)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.push(request{View: "fraud"}, good); codeOf(err) != serving.CodeOverloaded {
		t.Errorf("without room for its bytes: answered %v", err)
	}
	pass.Leave()
	first, _ := w.svc.direct.enter(t.Context(), 1, false)
	second, _ := w.svc.direct.enter(t.Context(), 1, false)
	kept := len(w.kept)
	if _, err := w.push(request{View: "fraud"}, good); codeOf(err) != serving.CodeOverloaded || len(w.kept) != kept {
		t.Errorf("before a full gate: answered %v", err)
	}
	first.leave(answered)
	second.leave(answered)
	if _, err := w.push(request{View: "fraud"}, good); err != nil {
		t.Error(err)
	}
}

// TestPredictionsThatFail: the store's errors, and what a check let pass.
func TestPredictionsThatFail(t *testing.T) {
	const good = `{"driver_id":1,"score":1,"why":"x"}`
	w := newWorld(t)
	w.failStore = errors.New("table latest is away")
	got, err := w.push(request{View: "fraud"}, good)
	told := strings.Join(w.told, "; ")
	if codeOf(err) != serving.CodeUnavailable || got.Stored != 0 || strings.Contains(err.Message, "latest") || told != "failed push to fraud: table latest is away" {
		t.Errorf("answered %+v %v, told %q", got, err, w.told)
	}
	late := newWorld(t, func(s *Settings) { s.Predictions = careless{s.Predictions} })
	late.refuse = "x"
	if _, err := late.push(request{View: "fraud"}, good); codeOf(err) != serving.CodeUnavailable {
		t.Errorf("answered %v", err)
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := w.svc.Push(ctx, &request{View: "fraud", Rows: [][]byte{[]byte(good)}}); codeOf(err) != serving.CodeDeadlineExceeded {
		t.Errorf("too late: answered %v", err)
	}
}

// careless checks nothing.
type careless struct{ PredictionStore }

func (careless) Check(*feature.Rows) {}

// TestModelsNeedTheirParts: a service that could not write is not made.
func TestModelsNeedTheirParts(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*Settings){
		"store":   func(s *Settings) { s.Predictions = nil },
		"decoder": func(s *Settings) { s.NewDecoder = nil },
	} {
		newWorld(t, func(s *Settings) {
			broken := *s
			change(&broken)
			if _, err := New(broken); err == nil {
				t.Errorf("a service without a %s was made", name)
			}
		})
	}
	if w.svc.models["fraud"] == nil {
		t.Error("models are not known")
	}
}

// FuzzPredictions: whatever a row holds, it is stored whole or refused, and
// nothing that its output does not allow is stored.
func FuzzPredictions(f *testing.F) {
	for _, c := range []map[string]predictionCase{goodPredictions(), badPredictions()} {
		for _, p := range c {
			for _, row := range p.rows {
				f.Add([]byte(row), p.req.View, p.req.Frame)
			}
		}
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, row []byte, view string, frame bool) {
		w.kept, w.told = nil, nil
		got, err := w.svc.Push(t.Context(), &request{View: view, Frame: frame, RejectRows: true, Rows: [][]byte{row}})
		if err != nil || w.svc.models[view] == nil {
			return
		}
		if got.Stored+got.Rejected != 1 || got.Stored != len(w.kept) || got.Rejected > 0 && len(got.Errors) == 0 {
			t.Errorf("answered %+v, stored %q", got, w.kept)
		}
		for _, text := range slices.Concat(w.kept...) {
			if strings.HasPrefix(text, "strict@") && (strings.Contains(text, "NaN") || strings.Contains(text, "Inf")) {
				t.Errorf("stored %s", text)
			}
		}
	})
}
