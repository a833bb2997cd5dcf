package transforms_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/transforms"
)

var (
	driver = &feature.Entity{Name: "driver", JoinKeys: []feature.Field{{Name: "driver_id", Type: feature.Of(feature.KindInt64)}}}
	trips  = &feature.Source{Name: "trips", Fields: []feature.SourceField{
		{Field: feature.Field{Name: "driver_id", Type: feature.Of(feature.KindInt64)}},
		{Field: feature.Field{Name: "fare", Type: feature.Of(feature.KindFloat64)}},
		{Field: feature.Field{Name: "km", Type: feature.Of(feature.KindFloat64)}},
		{Field: feature.Field{Name: "qty", Type: feature.Of(feature.KindInt32)}},
		{Field: feature.Field{Name: "status", Type: feature.Of(feature.KindString)}},
	}}
)

// view makes a view of driver from "name = expr" lines; "name @read = expr"
// is computed at read.
func view(where string, lines ...string) *feature.View {
	v := &feature.View{
		Name: "driver_trips", Entity: "driver", Source: "trips", Where: where, Revision: 1, Generation: 1,
		Keys: []feature.JoinKeyExpr{{JoinKey: "driver_id", Expr: "driver_id"}},
	}
	for _, line := range lines {
		name, text, _ := strings.Cut(line, " = ")
		f := feature.Feature{Name: strings.TrimSuffix(name, " @read"), Expr: text}
		if strings.HasSuffix(name, " @read") {
			f.At = feature.PhaseRead
		}
		v.Features = append(v.Features, f)
	}
	return v
}

func compile(t *testing.T, v *feature.View) *transforms.Plan {
	t.Helper()
	p, problems := transforms.Compile(v, trips, driver)
	if len(problems) > 0 {
		t.Fatalf("compile: %+v", problems)
	}
	return p
}

// row is one decoded event; nil is null.
type row struct {
	driver, fare, km, qty any
	status                any
	event, record         int64 // ms
}

func fill(b *feature.Batch, fields []feature.Field, rows []row) {
	b.Reset(fields, 3)
	for i, r := range rows {
		at := b.AppendRow(feature.Origin{Offset: int64(i), RecordMillis: r.record, EventMicros: r.event * 1000, Record: int32(i)})
		values := map[string]any{"driver_id": r.driver, "fare": r.fare, "km": r.km, "qty": r.qty, "status": r.status}
		for c, f := range fields {
			switch v := values[f.Name].(type) {
			case int:
				b.Columns[c].SetInt(at, int64(v))
			case float64:
				b.Columns[c].SetFloat(at, v)
			case string:
				b.Columns[c].SetString(at, v)
			}
		}
	}
}

func apply(t *testing.T, p *transforms.Plan, rows []row, nowMillis int64) *feature.Rows {
	t.Helper()
	w, err := p.NewWriter(p.Fields, transforms.DefaultMaxFutureSkew)
	if err != nil {
		t.Fatal(err)
	}
	var in feature.Batch
	var out feature.Rows
	fill(&in, p.Fields, rows)
	w.Apply(&in, nowMillis, &out)
	return &out
}

// show prints a value for comparison.
func show(c *feature.Column, i int) string {
	if c.IsNull(i) {
		return "null"
	}
	switch c.Type.Layout() {
	case feature.LayoutBool:
		return fmt.Sprint(c.Bools[i])
	case feature.LayoutInt:
		return fmt.Sprint(c.Ints[i])
	case feature.LayoutFloat:
		return fmt.Sprint(c.Floats[i])
	case feature.LayoutString:
		return c.Strings[i]
	case feature.LayoutList:
		var elems []string
		for e := c.Spans[i].Start; e < c.Spans[i].End; e++ {
			elems = append(elems, strconv.Quote(show(c.Elems, int(e))))
		}
		return fmt.Sprint(elems)
	case feature.LayoutNone:
	}
	return "?"
}

func showRow(out *feature.Rows, i int) string {
	cells := []string{show(&out.Keys[0], i)}
	for c := range out.Columns {
		cells = append(cells, show(&out.Columns[c], i))
	}
	return strings.Join(cells, " ")
}

func TestWriteHalf(t *testing.T) {
	p := compile(t, view("status = 'completed'", "last_fare = fare", "fare_per_km = fare / nullif(km, 0)", "double_rate = fare_per_km * 2"))
	out := apply(t, p, []row{
		{driver: 1, fare: 10.0, km: 4.0, status: "completed"},
		{driver: 2, fare: 10.0, km: 0.0, status: "completed"},
		{driver: 3, fare: 10.0, km: 1.0, status: "cancelled"},
		{driver: 4, fare: 10.0, km: 1.0, status: nil},
	}, 0)
	want := []string{"1 10 2.5 5", "2 10 null null"}
	if out.Len() != len(want) || out.Filtered != 2 || len(out.Rejects) != 0 {
		t.Fatalf("%d rows, %d filtered, rejects %v", out.Len(), out.Filtered, out.Rejects)
	}
	for i, w := range want {
		if got := showRow(out, i); got != w {
			t.Errorf("row %d is %s, want %s", i, got, w)
		}
	}
}

func TestEveryRowHasOneEnd(t *testing.T) {
	p := compile(t, view("status <> 'x'", "twice = qty + qty"))
	hour := time.Hour.Milliseconds()
	rows := []row{
		{driver: 1, qty: 5, status: "ok", event: hour, record: hour},
		{driver: nil, qty: 5, status: "ok"},
		{driver: 2, qty: 2_000_000_000, status: "ok"},         // int32 overflow
		{driver: 2, qty: 2_000_000_000, status: "x"},          // filtered before it can overflow
		{driver: 3, qty: 1, status: "ok", event: hour},        // an hour ahead of its record
		{driver: 4, qty: 1, status: "ok", record: 100 * hour}, // ahead of the clock
	}
	out := apply(t, p, rows, 2*hour)
	reasons := map[int32]feature.Reason{}
	for _, r := range out.Rejects {
		reasons[r.Origin.Record] = r.Reason
	}
	want := map[int32]feature.Reason{
		1: feature.ReasonNullKey, 2: feature.ReasonExpression, 4: feature.ReasonEventFuture, 5: feature.ReasonRecordFuture,
	}
	if fmt.Sprint(reasons) != fmt.Sprint(want) {
		t.Errorf("reasons %v, want %v", reasons, want)
	}
	if out.Len()+out.Filtered+len(out.Rejects) != len(rows) {
		t.Errorf("%d + %d + %d ends of %d rows", out.Len(), out.Filtered, len(out.Rejects), len(rows))
	}
	for _, r := range out.Rejects {
		if strings.Contains(r.Message, "2000000000") {
			t.Errorf("a message carries a value: %s", r.Message)
		}
		if r.Reason == feature.ReasonExpression && !strings.Contains(r.Message, "twice") {
			t.Errorf("a message does not name its feature: %s", r.Message)
		}
	}
	if replay := apply(t, p, rows[5:], 0); replay.Len() != 1 {
		t.Errorf("a replay looked at the clock: %v", replay.Rejects)
	}
}

func TestNullKeyFiltered(t *testing.T) {
	v := view("", "f = fare")
	v.OnNullKey = feature.NullKeyFilter
	out := apply(t, compile(t, v), []row{{driver: nil, fare: 1.0}}, 0)
	if out.Filtered != 1 || len(out.Rejects) != 0 {
		t.Errorf("%d filtered, rejects %v", out.Filtered, out.Rejects)
	}
}

func TestCutStoresWhatCrosses(t *testing.T) {
	p := compile(t, view("", "last_fare = fare", "rate @read = last_fare / nullif(km, 0)", "rate2 = rate * 2", "age @read = epoch(now()) - epoch(event_time())"))
	var names []string
	for _, c := range p.Stored.Columns {
		names = append(names, fmt.Sprintf("%s/%v", c.Name, c.Hidden))
	}
	if got := strings.Join(names, " "); got != "last_fare/false km/true" {
		t.Errorf("stored: %s", got)
	}
	if phase, ok := p.Phase("rate2"); !ok || phase != feature.PhaseRead {
		t.Errorf("a feature computed from one at read is computed at %s", phase)
	}
	r, err := p.NewReader([]string{"rate2", "last_fare", "age"})
	if err != nil {
		t.Fatal(err)
	}
	var l feature.Loaded
	l.Reset(&feature.ViewQuery{Columns: r.Columns()}, 2)
	for i, c := range r.Columns() {
		l.Columns[i].SetFloat(0, map[string]float64{"last_fare": 12, "km": 4}[c.Name])
	}
	l.Origins[0].EventMicros = 5_000_000
	r.Run(&l, 65_000_000)
	got := []string{show(r.Column(0), 0), show(r.Column(1), 0), show(r.Column(2), 0), show(r.Column(0), 1)}
	if want := "6 12 60 null"; strings.Join(got, " ") != want {
		t.Errorf("read %s, want %s", got, want)
	}
	if !r.Computed(0) || r.Computed(1) {
		t.Errorf("computed: %v %v", r.Computed(0), r.Computed(1))
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name     string
		view     *feature.View
		part     string
		contains string
	}{
		{"unknown name", view("", "a = farre * 2"), "features[0].expr", "farre"},
		{"type", view("", "a = upper(fare)"), "features[0].expr", ""},
		{"where is not a condition", view("fare", "a = fare"), "where", "bool"},
		{"circle", view("", "a = b + 1", "b = a + 1"), "features[1].expr", "itself"},
		{"foreign field's name", view("", "km = fare"), "features[0].expr", "name of a field"},
		{"its own name", view("", "farre = farre"), "features[0].expr", "unknown name farre"},
		{"where at read", view("b > 1", "a @read = fare", "b = a"), "where", "feature b is computed at read"},
		{"untyped null", view("", "a = null"), "features[0].expr", "no type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, problems := transforms.Compile(c.view, trips, driver)
			if p != nil || len(problems) == 0 {
				t.Fatal("it compiled")
			}
			if problems[0].Part != c.part || !strings.Contains(problems[0].Message, c.contains) {
				t.Errorf("problem %+v", problems[0])
			}
		})
	}
}

func TestStatedTypeMustAgree(t *testing.T) {
	v := view("", "a = fare")
	v.Features[0].Type = feature.Of(feature.KindInt64)
	if _, problems := transforms.Compile(v, trips, driver); len(problems) != 1 || problems[0].Part != "features[0].type" {
		t.Errorf("problems %+v", problems)
	}
}

func TestKeyWidens(t *testing.T) {
	v := view("", "f = fare")
	v.Keys[0].Expr = "qty"
	out := apply(t, compile(t, v), []row{{driver: 1, qty: 7, fare: 1.0}}, 0)
	if got := showRow(out, 0); got != "7 1" {
		t.Errorf("row %s", got)
	}
	v.Keys[0].Expr = "status"
	if _, problems := transforms.Compile(v, trips, driver); len(problems) != 1 || !strings.Contains(problems[0].Hint, "cast") {
		t.Errorf("problems %+v", problems)
	}
}

// TestBatchBoundariesChangeNothing runs the same rows as one batch and cut at
// random, with reused state, and compares what comes out.
func TestBatchBoundariesChangeNothing(t *testing.T) {
	p := compile(t, view("status is distinct from 'x'", "twice = qty * 1000000", "rate = fare / nullif(km, 0)",
		"band = case when km < 1 then 'short' when km < 5 then 'mid' else upper(status) end"))
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(drawRow), 0, 40).Draw(rt, "rows")
		whole := ends(t, p, rows, len(rows)+1)
		cut := ends(t, p, rows, rapid.IntRange(1, 7).Draw(rt, "batch"))
		if whole != cut {
			rt.Fatalf("one batch:\n%s\ncut:\n%s", whole, cut)
		}
	})
}

func drawRow(rt *rapid.T) row {
	maybe := func(g *rapid.Generator[any], name string) any {
		if rapid.IntRange(0, 4).Draw(rt, name+" null") == 0 {
			return nil
		}
		return g.Draw(rt, name)
	}
	return row{
		driver: maybe(rapid.IntRange(0, 5).AsAny(), "driver"),
		fare:   maybe(rapid.Float64Range(-10, 10).AsAny(), "fare"),
		km:     maybe(rapid.SampledFrom([]float64{0, 0.5, 2, 9}).AsAny(), "km"),
		qty:    maybe(rapid.SampledFrom([]int{0, 1, 2147, 2148, -3000}).AsAny(), "qty"),
		status: maybe(rapid.SampledFrom([]string{"a", "x", "Ünï"}).AsAny(), "status"),
	}
}

// ends lists every row's end, batch by batch.
func ends(t *testing.T, p *transforms.Plan, rows []row, size int) string {
	w, err := p.NewWriter(p.Fields, transforms.DefaultMaxFutureSkew)
	if err != nil {
		t.Fatal(err)
	}
	var in feature.Batch
	var out feature.Rows
	var b strings.Builder
	filtered := 0
	var rejects []string
	for len(rows) > 0 {
		n := min(size, len(rows))
		fill(&in, p.Fields, rows[:n])
		rows = rows[n:]
		w.Apply(&in, 0, &out)
		for i := range out.Len() {
			fmt.Fprintln(&b, showRow(&out, i))
		}
		filtered += out.Filtered
		for _, r := range out.Rejects {
			rejects = append(rejects, string(r.Reason)+" "+r.Message)
		}
	}
	fmt.Fprintln(&b, filtered, rejects)
	return b.String()
}

func BenchmarkApply(b *testing.B) {
	p, problems := transforms.Compile(view("status = 'completed'", "last_fare = fare", "fare_per_km = fare / nullif(km, 0)", "tier = upper(status)"), trips, driver)
	if problems != nil {
		b.Fatal(problems)
	}
	w, err := p.NewWriter(p.Fields, transforms.DefaultMaxFutureSkew)
	if err != nil {
		b.Fatal(err)
	}
	rows := make([]row, 512)
	for i := range rows {
		rows[i] = row{driver: i, fare: float64(i), km: float64(i % 7), qty: i, status: "completed"}
	}
	var in feature.Batch
	var out feature.Rows
	fill(&in, p.Fields, rows)
	b.ReportAllocs()
	for b.Loop() {
		w.Apply(&in, 0, &out)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
}

// BenchmarkCompile compiles a view of 200 features, some of which name others.
func BenchmarkCompile(b *testing.B) {
	texts := []string{
		"fare / nullif(km, 0) + %d",
		"case when km < %d then 'short' when km < 100 then 'mid' else 'long' end",
		"status in ('completed', 'paid', 's%d') and fare > 10",
		"epoch(event_time() - interval %d hour) / 3600",
		"bucketize(fare, [1, 5, 20, 100%d])",
		"regexp_matches(status, '^(a|b)%d')",
		"greatest(coalesce(f0, 0), fare) * %d",
		"upper(status) || '-' || cast(qty + %d as string)",
	}
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf("f%d = %s", i, fmt.Sprintf(texts[i%len(texts)], i)))
	}
	v := view("status <> 'x'", lines...)
	for b.Loop() {
		if _, problems := transforms.Compile(v, trips, driver); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}

func TestExplainCountsWhatRuns(t *testing.T) {
	p := compile(t, view("fare > 0", "last = fare", "rate @read = fare / km", "twice @read = rate * 2 + fare / km"))
	e := transforms.Explain(p)
	if e.WriteSteps != 1 || e.ReadSteps != 3 {
		t.Errorf("%d steps at write, %d at read: fare / km is one step for both", e.WriteSteps, e.ReadSteps)
	}
	if got := strings.Join(e.Read[1].Inputs, " "); got != "fare km" {
		t.Errorf("twice loads %q", got)
	}
	if got := p.Inputs("last"); len(got) != 1 || got[0].Name != "last" || p.Inputs("nobody") != nil {
		t.Errorf("last loads %+v", got)
	}
	if text := e.String(); !strings.Contains(text, "= rate * 2 + fare / km  (loads fare, km)\n") {
		t.Errorf("%s", text)
	}
}

// TestDeletesAreAskedForTheirKeyAlone gives a view that would refuse or filter
// any row some deletes: those that tell whose row goes are kept.
func TestDeletesAreAskedForTheirKeyAlone(t *testing.T) {
	v := view("1 / qty > 2", "huge = qty * 9223372036854775807")
	v.Keys[0].Expr = "driver_id + 1"
	const hour = 3_600_000
	for _, policy := range []feature.NullKeyPolicy{feature.NullKeyDeadLetter, feature.NullKeyFilter} {
		v.OnNullKey = policy
		p := compile(t, v)
		raw, err := p.NewWriter(p.Fields, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var in, finished feature.Batch
		var out feature.Rows
		fill(&in, p.Fields, []row{{driver: 7, qty: 2}, {}, {driver: math.MaxInt64}, {driver: 8, event: hour}, {driver: 9, record: 2 * hour}, {driver: 7}})
		finished.Reset(p.FinishedFields(), 3)
		for i := range in.Origins {
			in.Origins[i].Deleted = true
			finished.AppendRow(in.Origins[i])
		}
		finished.Columns[0].SetInt(0, 8)
		for what, want := range map[string]string{
			"raw":      "[1 no_key] [2 no_key] [3 event_time_future] [4 record_time_future] kept [0 8] [5 8] ",
			"finished": "[1 no_key] [2 no_key] [3 event_time_future] [4 record_time_future] [5 no_key] kept [0 8] ",
		} {
			if what == "raw" {
				raw.Apply(&in, hour, &out)
			} else {
				p.NewFinishedWriter(time.Minute).Apply(&finished, hour, &out)
			}
			var got strings.Builder
			for _, r := range out.Rejects {
				fmt.Fprintf(&got, "[%d %s] ", r.Origin.Record, r.Reason)
			}
			got.WriteString("kept ")
			for i, o := range out.Origins {
				fmt.Fprintf(&got, "[%d %s] ", o.Record, show(&out.Keys[0], i))
			}
			if got.String() != want || out.Filtered > 0 {
				t.Errorf("%s: %s, want %s; %d filtered", what, got.String(), want, out.Filtered)
			}
		}
	}
}
