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
	switch c.Type.Layout() { //nolint:exhaustive // others are no outputs here
	case feature.LayoutFloat:
		return fmt.Sprint(c.Floats[row])
	case feature.LayoutString:
		return fmt.Sprintf("%q", c.Strings[row])
	default:
		return fmt.Sprint(c.Ints[row])
	}
}

// predictionCase is what becomes of a write: rows of the store, or the faults of
// each row, or the error.
type predictionCase struct {
	req    request
	rows   []string
	stored []string
	faults []string // "row reason: part of the message"
	fails  serving.Code
	says   string
}

const (
	ofFraud = ` "7" "" 12 "client"`
	ofRisk  = ` "" "" 12 "client"`
)

func goodPredictions() map[string]predictionCase {
	onFraud, onFares := request{View: "fraud"}, request{View: "fares"}
	frame := request{View: "fraud", Frame: true}
	return map[string]predictionCase{
		"on the model's name": {req: onFraud, rows: []string{`{"driver_id":1,"score":0.5,"why":"x"}`}, stored: []string{`fraud@1 1@0: 0.5 "x"` + ofFraud}},
		"as a source":         {req: request{Source: "fraud"}, rows: []string{`{"driver_id":1,"score":0.5,"why":"x"}`}, stored: []string{`fraud@1 1@0: 0.5 "x"` + ofFraud}},
		"as both":             {req: request{Source: "fraud", View: "fraud"}, rows: []string{`{"driver_id":1,"score":0.5,"why":"x"}`}, stored: []string{`fraud@1 1@0: 0.5 "x"` + ofFraud}},
		"on the view":         {req: onFares, rows: []string{`{"driver_id":1,"fraud_score":0.5,"fraud_why":"x"}`}, stored: []string{`fraud@1 1@0: 0.5 "x"` + ofFraud}},
		"on the view's source": {
			req: request{Source: "trips"}, rows: []string{`{"driver_id":1,"fraud_score":0.5,"fraud_why":"x"}`}, stored: []string{`fraud@1 1@0: 0.5 "x"` + ofFraud},
		},
		"on a view of a source that is not pushed to": {
			req: request{View: "shut"}, rows: []string{`{"driver_id":1,"xs":[1,2],"seen":"1970-01-01T00:00:00.000007Z"}`}, stored: []string{`strict@1 1@0: [1 2] 7` + ofRisk},
		},
		"without a version": {req: request{View: "risk"}, rows: []string{`{"driver_id":1,"level":0.5,"parts":[1,2,3]}`}, stored: []string{`risk@1 1@0: 0.5 [1 2 3]` + ofRisk}},
		"names escaped":     {req: onFares, rows: []string{`{"driver_id":1,"fraud\u005fscore":0.5,"fraud\u005fwhy":"x"}`}, stored: []string{`fraud@1 1@0: 0.5 "x"` + ofFraud}},
		"nulls":             {req: onFraud, rows: []string{`{"driver_id":1,"score":null,"why":null}`}, stored: []string{`fraud@1 1@0: null null` + ofFraud}},
		"its time":          {req: onFraud, rows: []string{`{"driver_id":1,"score":1,"why":"x","event_timestamp":"2026-09-21T14:13:19.5Z"}`}, stored: []string{`fraud@1 1@-500000: 1 "x"` + ofFraud}},
		"a time to come":    {req: onFraud, rows: []string{`{"driver_id":1,"score":1,"why":"x","event_timestamp":"2027-01-01T00:00:00Z"}`}, stored: []string{`fraud@1 1@0: 1 "x"` + ofFraud}},
		"no time":           {req: onFraud, rows: []string{`{"driver_id":1,"score":1,"why":"x","event_timestamp":null,"created":"?"}`}, stored: []string{`fraud@1 1@0: 1 "x"` + ofFraud}},
		"the source's name of the time": {
			req: onFares, rows: []string{`{"driver_id":1,"fraud_score":1,"fraud_why":"x","at":"2026-09-21T14:13:19Z"}`}, stored: []string{`fraud@1 1@-1000000: 1 "x"` + ofFraud},
		},
		"transform_on_write means nothing": {
			req: request{View: "fares", Transform: new(false)}, rows: []string{`{"driver_id":1,"fraud_score":1,"fraud_why":"x"}`}, stored: []string{`fraud@1 1@0: 1 "x"` + ofFraud},
		},
		"nor does the other value": {
			req: request{View: "fraud", Transform: new(true)}, rows: []string{`{"driver_id":1,"score":1,"why":"x"}`}, stored: []string{`fraud@1 1@0: 1 "x"` + ofFraud},
		},
		"the newest of a key": {
			req: onFraud, rows: []string{
				`{"driver_id":1,"score":1,"why":"a","event_timestamp":"2026-09-21T14:13:19Z"}`, `{"driver_id":2,"score":2,"why":"b"}`,
				`{"driver_id":1,"score":3,"why":"c","event_timestamp":"2026-09-21T14:13:18Z"}`, `{"driver_id":2,"score":4,"why":"d","event_timestamp":"2029-09-21T14:13:18Z"}`,
			},
			stored: []string{`fraud@1 1@-1000000: 1 "a"` + ofFraud, `fraud@1 2@0: 4 "d"` + ofFraud},
		},
		"NaN where it may be": {
			req: request{View: "risk"}, rows: []string{`{"driver_id":1,"level":"NaN","parts":["Infinity",2,"-inf"]}`, `{"driver_id":2,"level":"nan","parts":null}`},
			stored: []string{`risk@1 1@0: NaN [+Inf 2 -Inf]` + ofRisk, `risk@1 2@0: NaN null` + ofRisk},
		},
		"the last member counts": {
			req: request{View: "risk"}, rows: []string{`{"driver_id":1,"level":"NaN","level":2,"parts":null}`}, stored: []string{`risk@1 1@0: 2 null` + ofRisk},
		},
		"NaN is text": {req: onFraud, rows: []string{`{"driver_id":1,"score":1,"why":"NaN"}`}, stored: []string{`fraud@1 1@0: 1 "NaN"` + ofFraud}},
		"a data frame": {
			req: frame, rows: []string{`{"driver_id":"7","score":"1.5","why":"x","event_timestamp":1790000000000000000,"created":null}`}, stored: []string{`fraud@1 7@0: 1.5 "x"` + ofFraud},
		},
		"lists in a data frame": {
			req: request{View: "risk", Frame: true}, rows: []string{`{"driver_id":7.0,"level":"NaN","parts":"[1, NaN, 3.5]"}`, `{"driver_id":8.0,"level":"2","parts":["1",2,null]}`},
			stored: []string{`risk@1 7@0: NaN [1 NaN 3.5]` + ofRisk, `risk@1 8@0: 2 [1 2 null]` + ofRisk},
		},
		"good rows alone": {
			req: request{View: "fraud", RejectRows: true}, rows: []string{`{"driver_id":1,"score":1}`, `{"driver_id":1,"score":2,"why":"x"}`, `[]`},
			stored: []string{`fraud@1 1@0: 2 "x"` + ofFraud}, faults: []string{"0 missing_column: why", "2 malformed: "},
		},
		"bad rows alone": {req: request{View: "fraud", RejectRows: true}, rows: []string{`{"driver_id":1}`}, faults: []string{"0 missing_column: score, why"}},
		"what the store refuses": {
			req: request{View: "fraud", RejectRows: true}, rows: []string{`{"driver_id":1,"score":1,"why":"refused"}`, `{"driver_id":1,"score":2,"why":"x","event_timestamp":"2020-01-01T00:00:00Z"}`},
			stored: []string{`fraud@1 1@-212163200000000: 2 "x"` + ofFraud}, faults: []string{"0 row_too_large: "},
		},
		"no rows":                     {req: onFraud},
		"no rows of a view shut":      {req: request{View: "shut"}},
		"features of such a view":     {req: onFares, rows: []string{`{"driver_id":1}`}},
		"features that mention names": {req: onFares, rows: []string{`{"driver_id":1,"note":"fraud_score"}`}},
	}
}

func badPredictions() map[string]predictionCase {
	onFraud, onFares := request{View: "fraud"}, request{View: "fares"}
	const good = `{"driver_id":1,"score":1,"why":"x"}`
	return map[string]predictionCase{
		"an output is missing": {req: onFraud, rows: []string{good, `{"driver_id":1,"score":1}`}, faults: []string{"1 missing_column: why: missing; a prediction of model fraud is stored whole"}},
		"of a view, too":       {req: onFares, rows: []string{`{"driver_id":1,"fraud_score":1}`}, faults: []string{"0 missing_column: fraud_why: "}},
		"features beside it": {
			req: onFares, rows: []string{`{"driver_id":1,"fraud_score":1,"fraud_why":"x","fare":1,"km":2}`},
			faults: []string{"0 foreign_column: fare, km: no part of a prediction of model fraud; write driver_id, event_timestamp and fraud_score, fraud_why alone, and features by themselves"},
		},
		"features in other rows": {
			req: onFares, rows: []string{`{"driver_id":1,"fraud_score":1,"fraud_why":"x"}`, `{"driver_id":1,"fare":1}`},
			faults: []string{"1 foreign_column: fare: ", "1 missing_column: fraud_score, fraud_why: "},
		},
		"of several models": {
			req: onFares, rows: []string{`{"driver_id":1,"fraud_score":1,"fraud_why":"x","risk":2,"live":3}`},
			faults: []string{"0 foreign_column: risk: of model risk, by its name in view fares, where others are of model fraud; write predictions of one model at a time", "0 foreign_column: live: of model live"},
		},
		"all that is wrong": {
			req: onFraud, rows: []string{`{"score":1,"fraud_why":"x"}`},
			faults: []string{"0 foreign_column: fraud_why: ", "0 null_key: driver_id: ", "0 missing_column: why: "},
		},
		"of many columns": {
			req: onFraud, rows: []string{`{"driver_id":1,"score":1,"why":"x"` + strings.Repeat(`,"c":1`, 25) + `}`},
			faults: []string{"0 foreign_column: " + strings.Repeat("c, ", 19) + "c and 5 more: no part"},
		},
		"a null key":     {req: onFraud, rows: []string{`{"driver_id":null,"score":1,"why":"x"}`}, faults: []string{"0 null_key: join key driver_id is null"}},
		"a wrong type":   {req: onFraud, rows: []string{`{"driver_id":1,"score":"1","why":"x"}`}, faults: []string{"0 wrong_type: field score"}},
		"a wrong time":   {req: onFraud, rows: []string{`{"driver_id":1,"score":1,"why":"x","event_timestamp":5}`}, faults: []string{"0 wrong_type: field event_timestamp"}},
		"a wrong length": {req: request{View: "risk"}, rows: []string{`{"driver_id":1,"level":1,"parts":[1]}`}, faults: []string{"0 wrong_length: "}},
		"beyond a float": {req: request{View: "risk"}, rows: []string{`{"driver_id":1,"level":1e39,"parts":null}`}, faults: []string{"0 wrong_type: field level"}},
		"NaN":            {req: onFraud, rows: []string{`{"driver_id":1,"score":"NaN","why":"x"}`}, faults: []string{"0 nan: score is NaN or infinite, which output score of model fraud does not allow"}},
		"infinity":       {req: onFares, rows: []string{`{"driver_id":1,"fraud_score":"-Infinity","fraud_why":"x"}`}, faults: []string{"0 nan: fraud_score is NaN"}},
		"NaN in a list":  {req: request{View: "shut"}, rows: []string{`{"driver_id":1,"xs":["NaN","NaN"],"seen":null}`}, faults: []string{"0 nan: xs is NaN"}},
		"NaN in a frame": {req: request{View: "fraud", Frame: true}, rows: []string{`{"driver_id":1,"score":"NaN","why":"x"}`}, faults: []string{"0 nan: score"}},
		"NaN that is no JSON": {
			req: request{View: "risk"}, rows: []string{`{"driver_id":1,"level":NaN,"parts":null}`, `{"driver_id":1,"level":1,"parts":[NaN]}`}, faults: []string{"0 malformed: ", "1 malformed: "},
		},
		"the store refuses it": {
			req: onFraud, rows: []string{good, `{"driver_id":1,"score":1,"why":"refused","event_timestamp":"2020-01-01T00:00:00Z"}`}, faults: []string{"1 row_too_large: "},
		},

		"a frame's columns": {
			req: request{View: "fares", Frame: true}, rows: []string{`{"fraud_score":1,"fare":1,"risk":1}`}, fails: serving.CodeInvalidRequest,
			says: "risk: of model risk, by its name in view fares, where others are of model fraud; write predictions of one model at a time. " +
				"fare: no part of a prediction of model fraud; write driver_id, event_timestamp and fraud_score, fraud_why alone, and features by themselves. " +
				"driver_id: missing, a join key of the prediction. fraud_why: missing; a prediction of model fraud is stored whole, and null is a value",
		},
		"not stored":         {req: request{View: "live"}, rows: []string{`{"driver_id":1,"y":1}`}, fails: serving.CodeNotPushable, says: "model live stores no predictions: its definition says cache: none"},
		"of a view":          {req: onFares, rows: []string{`{"driver_id":1,"live":1}`}, fails: serving.CodeNotPushable, says: "model live stores"},
		"not whole here":     {req: onFares, rows: []string{`{"driver_id":1,"split_a":1}`}, fails: serving.CodeNotPushable, says: "view fares has no name for its output b"},
		"asynchronously":     {req: request{View: "fraud", Async: true}, rows: []string{good}, fails: serving.CodeNotPushable, says: "not pushed asynchronously"},
		"offline":            {req: request{View: "fraud", To: serving.ToOffline}, rows: []string{good}, fails: serving.CodeNotPushable, says: "on no topic"},
		"offline, too":       {req: request{View: "fraud", To: serving.ToBoth}, rows: []string{good}, fails: serving.CodeNotPushable, says: "on no topic"},
		"to nowhere":         {req: request{View: "fraud", To: "nowhere"}, rows: []string{good}, fails: serving.CodeInvalidRequest, says: "cannot go to nowhere"},
		"a view of a model":  {req: request{Source: "fraud", View: "fares"}, rows: []string{good}, fails: serving.CodeUnknownView, says: "of source fraud"},
		"a model's source":   {req: request{Source: "trips", View: "fraud"}, rows: []string{good}, fails: serving.CodeUnknownView, says: "of source trips"},
		"nearly a view":      {req: request{View: "froud"}, rows: []string{good}, fails: serving.CodeUnknownView, says: "no view froud"},
		"features that shut": {req: request{View: "shut"}, rows: []string{`{"driver_id":1}`}, fails: serving.CodeNotPushable, says: "source closed"},
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
	if codeOf(err) != serving.CodeUnavailable || got.Stored != 0 || strings.Contains(err.Message, "latest") || len(w.told) != 1 || !strings.Contains(w.told[0], "failed push to fraud: table latest is away") {
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
