package transforms_test

import (
	"reflect"
	"testing"
	"unsafe"

	"millrace/feature"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sinks/rowcodec"
	"millrace/transforms"
)

// predictionRow is a prediction of driver 7 whose inputs were read at micros.
func predictionRow(p *transforms.ModelPlan, micros int64, version string, score float64) *feature.Rows {
	keys := make([]feature.Column, 1)
	keys[0].Reset(feature.Of(feature.KindInt64))
	keys[0].Resize(1)
	keys[0].SetInt(0, 7)
	outputs := make([]feature.Column, len(p.Model.Outputs))
	for i := range outputs {
		outputs[i].Reset(p.Model.Outputs[i].Type)
		outputs[i].Resize(1)
	}
	outputs[0].SetFloat(0, score)
	rows := new(feature.Rows)
	p.ResetRows(rows)
	p.AppendRow(rows, keys, 0, outputs, 0, &transforms.StoredPrediction{
		AtMicros: micros + 7, Stamp: micros, Version: version, Fingerprint: []byte(version + "!"), Catalog: 3, By: transforms.ByWrite,
	})
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
		whole := plan == p // the other has an output that this one was stored without
		want := transforms.StoredPrediction{Found: whole, AtMicros: 2007, Stamp: 2000, Version: "8", Fingerprint: []byte("8!"), Catalog: 3, By: transforms.ByWrite}
		if got := plan.Prediction(l, 0); !reflect.DeepEqual(got, want) || l.Columns[0].Floats[0] != 0.5 {
			t.Errorf("prediction %+v, want %+v", got, want)
		}
		if got := plan.Prediction(l, 1); got.Found || got.AtMicros != 0 {
			t.Errorf("of a key without one: %+v", got)
		}
	}
}

// TestHowAPredictionCameOutlivesItsRow: it is a label of metrics, which keep it,
// while the row's memory goes to the next read.
func TestHowAPredictionCameOutlivesItsRow(t *testing.T) {
	p := modelOf(t, "v:last_fare")
	for text, want := range map[string]string{"on_read": transforms.ByRead, "refresh": transforms.ByAll, "client": transforms.ByClient, "by_the_moon": "other"} {
		memory := []byte(text)
		l := new(feature.Loaded)
		l.Reset(&feature.ViewQuery{Columns: p.Stored.Columns}, 1)
		l.Found.Set(0)
		for i := range l.Columns {
			l.Columns[i].Resize(1)
		}
		l.Columns[len(p.Stored.Columns)-1].SetString(0, unsafe.String(&memory[0], len(memory)))
		got := p.Prediction(l, 0)
		clear(memory)
		if got.By != want {
			t.Errorf("%q is read as %q, want %q", text, got.By, want)
		}
	}
}

// TestAModelThatComesBackReadsNoCatalog of what was stored before it went: none of
// it is read, and the memory that it is read into is used again.
func TestAModelThatComesBackReadsNoCatalog(t *testing.T) {
	p := modelOf(t, "v:last_fare")
	l := new(feature.Loaded)
	q := &feature.ViewQuery{Columns: p.Stored.Columns}
	for _, missing := range []bool{false, true} {
		l.Reset(q, 1)
		l.Found.Set(0)
		for i := range l.Columns {
			l.Columns[i].Resize(1)
			if missing {
				l.Missing[i].Set(0)
			}
		}
		want := int64(0)
		if !missing {
			want = 9
			l.Columns[len(p.Model.Outputs)+2].SetInt(0, want)
		}
		if got := p.Prediction(l, 0); got.Catalog != want || got.Found == missing {
			t.Errorf("missing %t: %+v", missing, got)
		}
		if j := p.Judge(&transforms.StoredPrediction{Catalog: want}, nil, 3, 0, 0); j.Newer == missing || j.Serve {
			t.Errorf("missing %t: %+v", missing, j)
		}
	}
}
