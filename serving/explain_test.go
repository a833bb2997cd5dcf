package serving_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/serving"
	"millrace/serving/servingtest"
)

// Time passes during a lookup; the explanation says how much of it the store
// took, and that views of one entity shared one read.
func TestExplainTimes(t *testing.T) {
	store := servingtest.NewStore()
	put(t, store, "trip", "7", time.Minute, `{"fare": 4, "km": 2}`)
	put(t, store, "pay", "7", time.Minute, `{"earned": 4}`)
	tick := noon
	svc := newService(t, store, func(s *serving.Settings) {
		s.Clock = func() time.Time { tick = tick.Add(time.Millisecond); return tick }
	})
	read, fault := svc.PrepareService("eta")
	if fault != nil {
		t.Fatal(fault)
	}
	resp := new(serving.Response)
	e, err := svc.Explain(context.Background(), drivers(read, 7), resp)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Rows) != 2 || e.Rows[0].Took != time.Millisecond || e.Rows[1].Took != time.Millisecond {
		t.Errorf("rows: %+v", e.Rows)
	}
	if e.Took <= e.Rows[0].Took {
		t.Errorf("the lookup took %s, its store read %s", e.Took, e.Rows[0].Took)
	}
	if n := len(store.Reads()); n != 1 {
		t.Errorf("%d store reads", n)
	}
	perKm := e.Values[2]
	if len(perKm.Inputs) != 2 || perKm.Inputs[1].Name != "km" || perKm.Inputs[1].Column.Floats[perKm.Inputs[1].Row] != 2 {
		t.Errorf("inputs of per_km: %+v", perKm.Inputs)
	}
}

func TestExplainOverlongKey(t *testing.T) {
	svc := newService(t, servingtest.NewStore(), nil)
	req := drivers(prepare(t, svc, "shop_sales:sold"), 7)
	req.Columns[0].SetString(0, strings.Repeat("x", feature.MaxKeyBytes))
	e, err := svc.Explain(context.Background(), req, new(serving.Response))
	if err != nil {
		t.Fatal(err)
	}
	if v := e.Values[0]; v.Row != -1 || !strings.Contains(v.Why, "4096 bytes") || len(e.Rows) != 0 {
		t.Errorf("%+v, %d rows", v, len(e.Rows))
	}
}

func TestExplainedRecord(t *testing.T) {
	r := serving.ExplainedRow{Source: "trips", Origin: feature.StoredOrigin{
		Partition: 3, Sequence: feature.NewSequence(1, feature.Origin{Offset: 81234}),
	}}
	if got := r.Record(); got != "trips/3@81234" {
		t.Errorf("record %s", got)
	}
	r.Origin.Sequence = feature.NewSequence(1, feature.Origin{Offset: 81234, Element: 2})
	if got := r.Record(); got != "trips/3@81234#2" {
		t.Errorf("an element of it: %s", got)
	}
}
