package push

import (
	"strings"

	"millrace/serving"
)

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
		"as both": {
			req: request{Source: "fraud", View: "fraud"}, rows: []string{`{"driver_id":1,"score":0.5,"why":"x"}`},
			stored: []string{`fraud@1 1@0: 0.5 "x"` + ofFraud},
		},
		"on the view": {req: onFares, rows: []string{`{"driver_id":1,"fraud_score":0.5,"fraud_why":"x"}`}, stored: []string{`fraud@1 1@0: 0.5 "x"` + ofFraud}},
		"on the view's source": {
			req: request{Source: "trips"}, rows: []string{`{"driver_id":1,"fraud_score":0.5,"fraud_why":"x"}`}, stored: []string{`fraud@1 1@0: 0.5 "x"` + ofFraud},
		},
		"on a view of a source that is not pushed to": {
			req: request{View: "shut"}, rows: []string{`{"driver_id":1,"xs":[1,2],"seen":"1970-01-01T00:00:00.000007Z"}`}, stored: []string{`strict@1 1@0: [1 2] 7` + ofRisk},
		},
		"without a version": {req: request{View: "risk"}, rows: []string{`{"driver_id":1,"level":0.5,"parts":[1,2,3]}`}, stored: []string{`risk@1 1@0: 0.5 [1 2 3]` + ofRisk}},
		"names escaped":     {req: onFares, rows: []string{`{"driver_id":1,"fraud\u005fscore":0.5,"fraud\u005fwhy":"x"}`}, stored: []string{`fraud@1 1@0: 0.5 "x"` + ofFraud}},
		"nulls":             {req: onFraud, rows: []string{`{"driver_id":1,"score":null,"why":null}`}, stored: []string{`fraud@1 1@0: null null` + ofFraud}},
		"its time": {
			req: onFraud, rows: []string{`{"driver_id":1,"score":1,"why":"x","event_timestamp":"2026-09-21T14:13:19.5Z"}`},
			stored: []string{`fraud@1 1@-500000: 1 "x"` + ofFraud},
		},
		"a time to come": {
			req: onFraud, rows: []string{`{"driver_id":1,"score":1,"why":"x","event_timestamp":"2027-01-01T00:00:00Z"}`},
			stored: []string{`fraud@1 1@0: 1 "x"` + ofFraud},
		},
		"no time": {
			req: onFraud, rows: []string{`{"driver_id":1,"score":1,"why":"x","event_timestamp":null,"created":"?"}`},
			stored: []string{`fraud@1 1@0: 1 "x"` + ofFraud},
		},
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
			req: frame, rows: []string{`{"driver_id":"7","score":"1.5","why":"x","event_timestamp":1790000000000000000,"created":null}`},
			stored: []string{`fraud@1 7@0: 1.5 "x"` + ofFraud},
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
			req:    request{View: "fraud", RejectRows: true},
			rows:   []string{`{"driver_id":1,"score":1,"why":"refused"}`, `{"driver_id":1,"score":2,"why":"x","event_timestamp":"2020-01-01T00:00:00Z"}`},
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
	const strange = "no part of a prediction of model fraud; write driver_id, event_timestamp and fraud_score, fraud_why alone, and features by themselves"
	return map[string]predictionCase{
		"an output is missing": {
			req: onFraud, rows: []string{good, `{"driver_id":1,"score":1}`},
			faults: []string{"1 missing_column: why: missing; a prediction of model fraud is stored whole"},
		},
		"of a view, too": {req: onFares, rows: []string{`{"driver_id":1,"fraud_score":1}`}, faults: []string{"0 missing_column: fraud_why: "}},
		"features beside it": {
			req: onFares, rows: []string{`{"driver_id":1,"fraud_score":1,"fraud_why":"x","fare":1,"km":2}`},
			faults: []string{"0 foreign_column: fare, km: " + strange},
		},
		"features in other rows": {
			req: onFares, rows: []string{`{"driver_id":1,"fraud_score":1,"fraud_why":"x"}`, `{"driver_id":1,"fare":1}`},
			faults: []string{"1 foreign_column: fare: ", "1 missing_column: fraud_score, fraud_why: "},
		},
		"of several models": {
			req: onFares, rows: []string{`{"driver_id":1,"fraud_score":1,"fraud_why":"x","risk":2,"live":3}`},
			faults: []string{
				"0 foreign_column: risk: of model risk, by its name in view fares, where others are of model fraud; write predictions of one model at a time",
				"0 foreign_column: live: of model live",
			},
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
		"NaN": {
			req: onFraud, rows: []string{`{"driver_id":1,"score":"NaN","why":"x"}`},
			faults: []string{"0 nan: score is NaN or infinite, which output score of model fraud does not allow"},
		},
		"infinity":       {req: onFares, rows: []string{`{"driver_id":1,"fraud_score":"-Infinity","fraud_why":"x"}`}, faults: []string{"0 nan: fraud_score is NaN"}},
		"NaN in a list":  {req: request{View: "shut"}, rows: []string{`{"driver_id":1,"xs":["NaN","NaN"],"seen":null}`}, faults: []string{"0 nan: xs is NaN"}},
		"NaN in a frame": {req: request{View: "fraud", Frame: true}, rows: []string{`{"driver_id":1,"score":"NaN","why":"x"}`}, faults: []string{"0 nan: score"}},
		"NaN that is no JSON": {
			req: request{View: "risk"}, rows: []string{`{"driver_id":1,"level":NaN,"parts":null}`, `{"driver_id":1,"level":1,"parts":[NaN]}`},
			faults: []string{"0 malformed: ", "1 malformed: "},
		},
		"the store refuses it": {
			req: onFraud, rows: []string{good, `{"driver_id":1,"score":1,"why":"refused","event_timestamp":"2020-01-01T00:00:00Z"}`}, faults: []string{"1 row_too_large: "},
		},

		"a frame's columns": {
			req: request{View: "fares", Frame: true}, rows: []string{`{"fraud_score":1,"fare":1,"risk":1}`}, fails: serving.CodeInvalidRequest,
			says: "risk: of model risk, by its name in view fares, where others are of model fraud; write predictions of one model at a time. " +
				"fare: " + strange + ". " +
				"driver_id: missing, a join key of the prediction. fraud_why: missing; a prediction of model fraud is stored whole, and null is a value",
		},
		"not stored": {
			req: request{View: "live"}, rows: []string{`{"driver_id":1,"y":1}`},
			fails: serving.CodeNotPushable, says: "model live stores no predictions: its definition says cache: none",
		},
		"of a view":         {req: onFares, rows: []string{`{"driver_id":1,"live":1}`}, fails: serving.CodeNotPushable, says: "model live stores"},
		"not whole here":    {req: onFares, rows: []string{`{"driver_id":1,"split_a":1}`}, fails: serving.CodeNotPushable, says: "view fares has no name for its output b"},
		"asynchronously":    {req: request{View: "fraud", Async: true}, rows: []string{good}, fails: serving.CodeNotPushable, says: "not pushed asynchronously"},
		"offline":           {req: request{View: "fraud", To: serving.ToOffline}, rows: []string{good}, fails: serving.CodeNotPushable, says: "on no topic"},
		"offline, too":      {req: request{View: "fraud", To: serving.ToBoth}, rows: []string{good}, fails: serving.CodeNotPushable, says: "on no topic"},
		"to nowhere":        {req: request{View: "fraud", To: "nowhere"}, rows: []string{good}, fails: serving.CodeInvalidRequest, says: "cannot go to nowhere"},
		"a view of a model": {req: request{Source: "fraud", View: "fares"}, rows: []string{good}, fails: serving.CodeUnknownView, says: "of source fraud"},
		"another's view": {
			req: request{Source: "profiles", View: "fares"}, rows: []string{`{"driver_id":1,"fraud_score":1,"fraud_why":"x"}`},
			fails: serving.CodeUnknownView, says: "of source profiles",
		},
		"a model's source":   {req: request{Source: "trips", View: "fraud"}, rows: []string{good}, fails: serving.CodeUnknownView, says: "of source trips"},
		"nearly a view":      {req: request{View: "froud"}, rows: []string{good}, fails: serving.CodeUnknownView, says: "no view froud"},
		"features that shut": {req: request{View: "shut"}, rows: []string{`{"driver_id":1}`}, fails: serving.CodeNotPushable, says: "source closed"},
	}
}
