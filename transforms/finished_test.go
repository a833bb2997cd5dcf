package transforms_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/jsonrec"
	"millrace/transforms"
)

// finish makes a batch of finished rows of what a write half computed.
func finish(p *transforms.Plan, rows *feature.Rows, dst *feature.Batch) {
	dst.Reset(p.FinishedFields(), rows.Partition)
	for i, o := range rows.Origins {
		row := dst.AppendRow(o)
		for k := range rows.Keys {
			dst.Columns[k].CopyRow(row, &rows.Keys[k], i)
		}
		for c := range rows.Columns {
			dst.Columns[len(rows.Keys)+c].CopyRow(row, &rows.Columns[c], i)
		}
	}
}

// TestFinishedRowsAreStoredAsTheyAre computes rows, hands the result in as
// finished rows, and finds the same rows.
func TestFinishedRowsAreStoredAsTheyAre(t *testing.T) {
	p := compile(t, view("fare > 0", "twice = fare * 2", "tier = upper(status)", "rate @read = twice / km"))
	rapid.Check(t, func(rt *rapid.T) {
		raw := apply(t, p, rapid.SliceOfN(rapid.Custom(drawRow), 0, 20).Draw(rt, "rows"), 0)
		var in feature.Batch
		finish(p, raw, &in)
		var out feature.Rows
		p.NewFinishedWriter(time.Minute).Apply(&in, 0, &out)
		if out.Len() != raw.Len() || out.Filtered != 0 || len(out.Rejects) != 0 {
			rt.Fatalf("%d rows of %d, %d filtered, rejects %v", out.Len(), raw.Len(), out.Filtered, out.Rejects)
		}
		for i := range out.Len() {
			if got, want := showRow(&out, i), showRow(raw, i); got != want || out.Origins[i] != raw.Origins[i] {
				rt.Fatalf("row %d is %s, want %s", i, got, want)
			}
		}
	})
}

// TestFinishedRowsObeyTheRules shows what ends a finished row: the same as a
// raw one, `where` aside.
func TestFinishedRowsObeyTheRules(t *testing.T) {
	vec := feature.Type{Kind: feature.KindFloat64, Depth: 1, Length: 2}
	src := &feature.Source{Name: "trips", Fields: []feature.SourceField{
		{Field: feature.Field{Name: "driver_id", Type: feature.Of(feature.KindInt64)}},
		{Field: feature.Field{Name: "vec", Type: vec}},
	}}
	v := view("false", "vec = vec")
	v.Features[0].Type = vec
	p, problems := transforms.Compile(v, src, driver)
	if problems != nil {
		t.Fatal(problems)
	}
	const hour = 3_600_000
	fill := func(in *feature.Batch) {
		in.Reset(p.FinishedFields(), 1)
		for i, r := range []struct {
			key           any
			elems         int
			event, record int64
		}{{1, 2, 0, 0}, {nil, 2, 0, 0}, {1, 3, 0, 0}, {1, 2, hour, 0}, {1, 2, 0, 2 * hour}, {1, -1, 0, 0}} {
			row := in.AppendRow(feature.Origin{Record: int32(i), EventMicros: r.event * 1000, RecordMillis: r.record})
			if k, ok := r.key.(int); ok {
				in.Columns[0].SetInt(row, int64(k))
			}
			if r.elems >= 0 {
				start := in.Columns[1].Elems.Len()
				in.Columns[1].Elems.Resize(start + r.elems)
				in.Columns[1].SetList(row, start)
			}
		}
	}
	var in feature.Batch
	var out feature.Rows
	for _, policy := range []feature.NullKeyPolicy{feature.NullKeyDeadLetter, feature.NullKeyFilter} {
		v.OnNullKey = policy
		fill(&in)
		p.NewFinishedWriter(time.Minute).Apply(&in, hour, &out)
		want := "[1 null_key] [2 wrong_length] [3 event_time_future] [4 record_time_future] "
		if policy == feature.NullKeyFilter {
			want = strings.Replace(want, "[1 null_key] ", "", 1)
		}
		var got strings.Builder
		for _, r := range out.Rejects {
			fmt.Fprintf(&got, "[%d %s] ", r.Origin.Record, r.Reason)
		}
		if got.String() != want || out.Len() != 2 || out.Filtered != int(policy) {
			t.Errorf("rejects %s, want %s; %d rows, %d filtered", got.String(), want, out.Len(), out.Filtered)
		}
	}
}

// TestColumnsThatCameLaterAreOptional compares with the revision with which
// the generation began.
func TestColumnsThatCameLaterAreOptional(t *testing.T) {
	p := compile(t, view("", "a = fare", "b = km", "c @read = qty"))
	for i, since := range []uint16{1, 2, 3} {
		p.Stored.Columns[i].Since = since
	}
	for began, want := range map[uint16]string{0: "[a false] [b true] [qty true] ", 1: "[a false] [b true] [qty true] ", 2: "[a false] [b false] [qty true] "} {
		p.View.Began = began
		var got strings.Builder
		for _, c := range p.FinishedColumns() {
			fmt.Fprintf(&got, "[%s %v] ", c.Name, c.Optional)
		}
		if got.String() != want {
			t.Errorf("began with revision %d: %s, want %s", began, got.String(), want)
		}
	}
}

// TestExplainedExampleIsAFinishedRow decodes what explain prints.
func TestExplainedExampleIsAFinishedRow(t *testing.T) {
	var src feature.Source
	e := &feature.Entity{Name: "driver", JoinKeys: []feature.Field{{Name: "f1", Type: feature.Of(feature.KindInt32)}, {Name: "f6", Type: feature.Of(feature.KindBytes)}}}
	v := &feature.View{Name: "v", Keys: []feature.JoinKeyExpr{{JoinKey: "f1", Expr: "f1"}, {JoinKey: "f6", Expr: "f6"}}}
	for i, name := range feature.KindNames() {
		typ, err := feature.ParseType(name)
		if err != nil {
			t.Fatal(err)
		}
		many := feature.ListOf(typ)
		many.Length = uint32(i)
		for n, of := range []feature.Type{typ, many} {
			f := feature.Field{Name: fmt.Sprintf("f%d", i+n*100), Type: of}
			src.Fields = append(src.Fields, feature.SourceField{Field: f})
			v.Features = append(v.Features, feature.Feature{Name: f.Name, Expr: f.Name, Type: of})
		}
	}
	p, problems := transforms.Compile(v, &src, e)
	if problems != nil {
		t.Fatal(problems)
	}
	d, err := jsonrec.NewFinished(e.JoinKeys, p.FinishedColumns())
	if err != nil {
		t.Fatal(err)
	}
	example := transforms.Explain(p).Finished
	var b feature.Batch
	b.Reset(p.FinishedFields(), 0)
	if err := d.Decode(t.Context(), &b, []sources.Record{{Value: []byte(example)}}); err != nil {
		t.Fatal(err)
	}
	if b.Rows() != 1 || b.Absent != 0 || b.Origins[0].EventMicros == 0 {
		t.Fatalf("%s: %+v", example, b.Rejects)
	}
	for i := range b.Columns {
		if b.Columns[i].IsNull(0) {
			t.Errorf("%s is null in %s", b.Fields[i].Name, example)
		}
	}
	if !strings.Contains(transforms.Explain(p).String(), example) {
		t.Error("the text lacks the example")
	}
}

func TestApplyAllocatesNothing(t *testing.T) {
	p := compile(t, view("status = 'a'", "twice = fare * 2", "tier = upper(status)"))
	w, err := p.NewWriter(p.Fields, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]row, 200)
	for i := range rows {
		rows[i] = row{driver: i, fare: 1.5, status: []string{"a", "b"}[i%2]}
	}
	var raw, finished feature.Batch
	var out feature.Rows
	fill(&raw, p.Fields, rows)
	w.Apply(&raw, 1, &out)
	finish(p, &out, &finished)
	fw := p.NewFinishedWriter(time.Minute)
	for what, step := range map[string]func(){
		"raw":      func() { w.Apply(&raw, 1, &out) },
		"finished": func() { fw.Apply(&finished, 1, &out) },
	} {
		for range 3 {
			step()
		}
		if n := testing.AllocsPerRun(20, step); n > 0 {
			t.Errorf("%s rows: %v allocations", what, n)
		}
	}
}
