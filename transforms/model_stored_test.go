package transforms_test

import (
	"testing"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sinks/rowcodec"
	"millrace/transforms"
)

// predictionRow is a prediction of driver 7 whose inputs were read at micros.
func predictionRow(p *transforms.ModelPlan, micros int64, version string, score float64) *feature.Rows {
	rows := &feature.Rows{View: p.View, Stored: p.Stored, Origins: []feature.Origin{{EventMicros: micros, RecordMillis: micros / 1000}}}
	rows.Keys = make([]feature.Column, 1)
	rows.Keys[0].Reset(feature.Of(feature.KindInt64))
	rows.Keys[0].Resize(1)
	rows.Keys[0].SetInt(0, 7)
	rows.Columns = make([]feature.Column, len(p.Stored.Columns))
	for i, c := range p.Stored.Columns {
		rows.Columns[i].Reset(c.Type)
		rows.Columns[i].Resize(1)
		switch c.Name {
		case "score":
			rows.Columns[i].SetFloat(0, score)
		case transforms.PredictionVersion, transforms.PredictionFingerprint:
			rows.Columns[i].SetString(0, version)
		case transforms.PredictionCatalog:
			rows.Columns[i].SetInt(0, 3)
		}
	}
	return rows
}

// TestPredictionsAreRows: the codec and the stores take them as they are, the
// one whose inputs were read last stays, and an output that a prediction was
// stored without is missing.
func TestPredictionsAreRows(t *testing.T) {
	var store memory.Store
	schemas := sinks.NewSchemas(&store)
	apply := func(p *transforms.ModelPlan) *transforms.ModelPlan {
		id, err := schemas.Put(t.Context(), *p.Stored)
		if err != nil {
			t.Fatal(err)
		}
		p.Stored.ID = id
		return p
	}
	write := func(rows *feature.Rows) {
		buf := new(sinks.Buffer)
		rowcodec.NewEncoder().Encode(buf, rows)
		if err := store.Write(t.Context(), buf.Rows); err != nil || len(buf.Rows) != 1 {
			t.Fatalf("%v, rejects %+v", err, rows.Rejects)
		}
	}
	p := apply(modelOf(t, "v:last_fare"))
	write(predictionRow(p, 2000, "8", 0.5))
	write(predictionRow(p, 1000, "9", 0.9)) // of inputs that were read before
	more := apply(modelOf(t, "v:last_fare", "{name: score, type: float64}", "{name: score, type: float64}, {name: why, type: string}"))
	for _, plan := range []*transforms.ModelPlan{p, more} {
		q := &feature.Query{Entity: "driver", Keys: []string{"7", "8"}, Views: []feature.ViewQuery{{View: plan.View.StoredName(), Columns: plan.Stored.Columns}}}
		dst := make([]feature.Loaded, 1)
		if err := rowcodec.NewReader(&store, schemas).Read(t.Context(), q, dst); err != nil {
			t.Fatal(err)
		}
		l := &dst[0]
		if plan.View.StoredName() != "m@1" || !l.Found.Get(0) || l.Found.Get(1) || l.Origins[0].EventMicros != 2000 || l.Origins[0].Sequence.RecordMillis() != 2 {
			t.Errorf("%s: origin %+v", plan.View.StoredName(), l.Origins[0])
		}
		for i, c := range plan.Stored.Columns {
			if l.Missing[i].Get(0) != (c.Name == "why") {
				t.Errorf("column %s is missing: %t", c.Name, l.Missing[i].Get(0))
			}
		}
		n := len(plan.Stored.Columns)
		if l.Columns[0].Floats[0] != 0.5 || l.Columns[n-3].Strings[0] != "8" || l.Columns[n-2].Strings[0] != "8" || l.Columns[n-1].Ints[0] != 3 {
			t.Errorf("prediction %+v", l.Columns)
		}
	}
}
