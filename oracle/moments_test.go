package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/transforms"
	"millrace/transforms/expr"
	"millrace/transforms/window"
)

var (
	momentSeed = flag.Uint64("seed", 0, "seed of what is drawn; 0 takes the time")
	moments    = flag.Int("scenarios", 32, "how many projects with windows to compare")
	oneMoment  = flag.Int("scenario", -1, "compare this one alone")
	budget     = flag.Duration("budget", 25*time.Second, "begin no further one after so long")
)

// TestReadsAtAnyMoment draws projects with windows, logs, and moments, and
// compares what is served at each moment with what the query of `millrace sql`
// gives for it: the same events through write half, tiles of several partitions
// and batches, store and read API on one side, and DuckDB over the raw events on
// the other.
func TestReadsAtAnyMoment(t *testing.T) {
	seed := *momentSeed
	if seed == 0 {
		seed = uint64(time.Now().Unix())
	}
	d, err := openDuck(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()                                                        //nolint:errcheck // a database in memory
	if err := d.exec(t.Context(), "pragma enable_optimizer"); err != nil { // joins need it, and no expression here fails a query
		t.Fatal(err)
	}
	seen := make(map[string]int)
	begin, values, done := time.Now(), 0, 0
	for n := range *moments {
		if *oneMoment >= 0 && n != *oneMoment || time.Since(begin) > *budget {
			continue
		}
		done++
		s := drawScenario(t, rand.New(rand.NewPCG(seed, uint64(n))), n%8 == 7)
		values += s.compare(t, d, seen)
		if t.Failed() {
			t.Fatalf("go test -run TestReadsAtAnyMoment -args -seed %d -scenario %d\n%s", seed, n, s.text)
		}
	}
	t.Logf("seed %d: %d projects, %d values in %s; %v", seed, done, values, time.Since(begin).Round(time.Millisecond), seen)
	for _, want := range append(window.KindNames(), "nothing to count", "failed", "beyond 256") {
		if done >= 32 && seen[want] == 0 {
			t.Errorf("no value of %s was compared", want)
		}
	}
}

// scenario is a project, a log of its source, and moments to read at.
type scenario struct {
	text    string
	project *definition.Project
	events  []momentEvent
	asked   []askedRow
	rng     *rand.Rand
	crowded bool // one entity has most of the events
}

// momentEvent is a record: its values, parallel to the source's fields.
type momentEvent struct {
	values    []any
	partition int32
	origin    feature.Origin
}

// askedRow is a row of the table of entities.
type askedRow struct {
	micros                int64
	driver, other, pickup any // null or a value
	region, slot, sku     any
}

// compare answers the service `all` both ways, and returns how many values
// were compared.
func (s *scenario) compare(t *testing.T, d *duck, seen map[string]int) int {
	t.Helper()
	refs := s.project.Catalog.Service("all").Features
	query := &transforms.Training{Name: "all", Plans: s.project.Plans, OnDemand: s.project.OnDemand, Features: refs}
	text, err := query.SQL()
	if err != nil {
		t.Fatal(err, s.text)
	}
	for _, table := range []string{s.tripsTable(), s.entitiesTable()} {
		if err := d.exec(t.Context(), table); err != nil {
			t.Fatal(err)
		}
	}
	rows, columns := selectAll(t, d, text)
	if len(rows) != len(s.asked) || len(columns) < len(refs) {
		t.Fatalf("%d rows of %d, columns %v\n%s", len(rows), len(s.asked), columns, text)
	}
	first := len(columns) - len(refs)
	served := s.serve(t)
	for i := range rows {
		for j, ref := range refs {
			got, want := served[i][j], rows[i][first+j]
			if why := s.differ(ref, got, want, seen); why != "" {
				t.Errorf("moment %d (%s, driver %v, other %v, region %v/%v): %s is %s, served %s: %s", i, time.UnixMicro(s.asked[i].micros).UTC().Format(time.RFC3339Nano),
					s.asked[i].driver, s.asked[i].other, s.asked[i].region, s.asked[i].slot, columns[first+j], showValue(want, feature.Type{}), showServed(got), why)
			}
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	return len(rows) * len(refs)
}

func showServed(v servedValue) string {
	if v.failed {
		return "ERROR"
	}
	return showValue(v.value, feature.Type{})
}

// differ says how a value that is served differs from the query's by more than
// docs/windows.md allows; "" is not at all.
func (s *scenario) differ(ref feature.FeatureRef, got servedValue, want any, seen map[string]int) string {
	kind, f := s.kindOf(ref)
	seen[kind]++
	if got.failed {
		seen["failed"]++
	}
	if want == nil || got.value == nil {
		seen["nothing to count"]++
		if want != nil || got.value != nil {
			return "one is null"
		}
		return ""
	}
	x, isFloat := got.value.(float64)
	y, _ := want.(float64)
	switch {
	case kind == "count_distinct":
		n, m := got.value.(int64), want.(int64)
		if m > 256 {
			seen["beyond 256"]++
		}
		if m <= 256 && n != m || math.Abs(float64(n-m)) > 0.02*float64(m) {
			return "more than 2 % apart, or not exact up to 256"
		}
		return ""
	case kind == "quantile":
		return within(x, y, 0.01)
	case kind == "var_pop" || kind == "stddev_pop":
		return s.spread(f, x, y)
	case isFloat && !sameValue(got.value, want):
		return within(x, y, 1e-12)
	case !sameValue(got.value, want):
		return "they are not the same"
	}
	return ""
}

func within(x, y, relative float64) string {
	if math.Abs(x-y) <= relative*math.Abs(y) || x != x && y != y {
		return ""
	}
	return fmt.Sprintf("more than %g of it apart", relative)
}

// spread holds a variance to 1e-12 of the greatest square that may be in it:
// DuckDB's recurrence is a plain float64's, which loses that much of the mean.
func (s *scenario) spread(f *transforms.Windowed, x, y float64) string {
	if f.Spec.Kind == window.KindStddevPop {
		x, y = x*x, y*y
	}
	if most := float64(greatest * greatest); math.Abs(x-y) > 1e-12*most {
		return fmt.Sprintf("more than 1e-12 of %g apart", most)
	}
	return ""
}

// kindOf is the aggregate of a feature, or what else it is.
func (s *scenario) kindOf(ref feature.FeatureRef) (string, *transforms.Windowed) {
	plan := s.project.Plans[ref.View]
	if plan == nil {
		return "on demand", nil
	}
	if f, ok := plan.Windows.Feature(ref.Feature); ok {
		return f.Spec.Kind.String(), f
	}
	phase, _ := plan.Phase(ref.Feature)
	return "at " + phase.String(), nil
}

// tripsTable makes the raw events.
func (s *scenario) tripsTable() string {
	src := s.project.Catalog.Source("trips")
	batch := new(feature.Batch)
	s.fill(batch, fieldsOf(src), s.events, nil)
	var b strings.Builder
	b.WriteString("create or replace table trips as from (values ")
	for row := range s.events {
		if row > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(")
		for i := range batch.Columns {
			if batch.Fields[i].Name == "lines" {
				b.WriteString(linesSQL(s.events[row].values[i]) + ", ")
				continue
			}
			b.WriteString(expr.SQLValue(&batch.Columns[i], row) + ", ")
		}
		o := &s.events[row].origin
		fmt.Fprintf(&b, "make_timestamp(%d), %d, %d)", o.RecordMillis*1000, o.Offset, s.events[row].partition)
	}
	b.WriteString(") t(")
	for _, f := range src.Fields {
		b.WriteString(expr.QuoteSQL(f.Name) + ", ")
	}
	b.WriteString("record_time, record_offset, record_partition)")
	return b.String()
}

func literal(v any) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case string:
		return quoteText(x)
	}
	return fmt.Sprint(v)
}

// linesSQL is the elements of a record as a list of structs.
func linesSQL(v any) string {
	lines, _ := v.([]line)
	structs := make([]string, len(lines))
	for i, l := range lines {
		structs[i] = fmt.Sprintf("{sku: %s, n: %s}", literal(l.sku), literal(l.n))
	}
	return "cast([" + strings.Join(structs, ", ") + "] as struct(sku varchar, n bigint)[])"
}

func (s *scenario) entitiesTable() string {
	rows := make([]string, len(s.asked))
	for i, a := range s.asked {
		rows[i] = fmt.Sprintf("(%d, make_timestamp(%d), %s, %s, %s, %s, %s, %s)", i, a.micros,
			literal(a.driver), literal(a.other), literal(a.region), literal(a.slot), literal(a.sku), literal(a.pickup))
	}
	return "create or replace table entities as from (values " + strings.Join(rows, ", ") + ") t(label, event_timestamp, driver_id, other_id, region, slot, sku, pickup_km)"
}

// fill makes a batch of events with the fields asked for: a row per record, or
// per element.
func (s *scenario) fill(b *feature.Batch, fields []feature.Field, events []momentEvent, u *feature.Unnest) {
	partition := int32(0)
	if len(events) > 0 {
		partition = events[0].partition
	}
	b.Reset(fields, partition)
	for i := range events {
		e := &events[i]
		if u == nil {
			s.fillRow(b, e, e.origin, line{})
			continue
		}
		lines, _ := e.values[s.field(u.Field)].([]line)
		for k, l := range lines {
			o := e.origin
			o.Element = int32(k)
			s.fillRow(b, e, o, l)
		}
	}
}

func (s *scenario) fillRow(b *feature.Batch, e *momentEvent, o feature.Origin, l line) {
	row := b.AppendRow(o)
	for c, f := range b.Fields {
		var v any
		switch f.Name {
		case "item.sku":
			v = l.sku
		case "item.n":
			v = l.n
		case "lines": // no expression names it
		default:
			v = e.values[s.field(f.Name)]
		}
		if v != nil {
			setCell(&b.Columns[c], row, v)
		}
	}
}

// field is the place of a field among those of the source.
func (s *scenario) field(name string) int {
	return slices.IndexFunc(s.project.Catalog.Source("trips").Fields, func(f feature.SourceField) bool { return f.Name == name })
}

func fieldsOf(src *feature.Source) []feature.Field {
	fields := make([]feature.Field, len(src.Fields))
	for i := range src.Fields {
		fields[i] = src.Fields[i].Field
	}
	return fields
}

// selectAll runs a query.
func selectAll(t *testing.T, d *duck, text string) (all [][]any, columns []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found, err := d.conn.QueryContext(ctx, text)
	if err != nil {
		t.Fatal(err, text)
	}
	defer found.Close() //nolint:errcheck // Err has what there is to say
	columns, _ = found.Columns()
	for found.Next() {
		row, pointers := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			pointers[i] = &row[i]
		}
		if err := found.Scan(pointers...); err != nil {
			t.Fatal(err)
		}
		for i := range row {
			row[i] = fromDuck(row[i])
		}
		all = append(all, row)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err, text)
	}
	return all, columns
}
