package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/feature/definition"
)

const (
	partitions = 3
	greatest   = 1000 // magnitude of what variances are of
)

// momentFields are the fields of the source; draw makes a value that is not
// null. Sums of fare do not cancel, and those of quarter are exact.
var momentFields = []struct {
	name, typ string
	draw      func(s *scenario) any
}{
	{"driver_id", "int64", (*scenario).drawDriver},
	{"fare", "float64", func(s *scenario) any { return math.Exp(s.rng.Float64()*13 - 7) }},
	{"quarter", "float64", func(s *scenario) any { return float64(s.rng.IntN(200)-100) / 4 }},
	{"small", "float32", func(s *scenario) any { return float64(float32(s.rng.Float64() * 100)) }},
	{"qty", "int32", func(s *scenario) any { return int64(s.rng.IntN(41) - 20) }},
	{"big", "int64", func(s *scenario) any { return (s.rng.Int64N(3) - 1) << s.rng.IntN(63) }},
	{"name", "string", func(s *scenario) any { return []string{"a", "B", "é", "", "7", "zz"}[s.rng.IntN(6)] }},
	{"word", "string", func(s *scenario) any { return fmt.Sprint("w", s.rng.IntN(2000)) }},
	{"flag", "bool", func(s *scenario) any { return s.rng.IntN(2) == 0 }},
	{"seen_at", "timestamp", func(s *scenario) any { return s.rng.Int64N(5) * 86_400_000_001 }},
	{"code", "bytes", func(s *scenario) any { return string([]byte{0, 200, byte(s.rng.IntN(3))}) }},
	{"tags", "list<string>", func(s *scenario) any { return []any{"x", nil, fmt.Sprint(s.rng.IntN(3))}[:s.rng.IntN(4)] }},
	{"lines", "list<json>", (*scenario).drawLines},
	{"trip_id", "string", nil},
	{"completed_at", "timestamp", nil},
}

var (
	ofNumbers = []string{"fare", "quarter", "small", "qty", "big", "twice", "fare + 1", "cast(qty as bigint) * 3"}
	ofSpreads = []string{"quarter", "qty", "small", "twice"}
	ofScalars = []string{"fare", "quarter", "qty", "big", "name", "word", "flag", "seen_at", "code", "upper(name)", "twice"}
	ofRanked  = []string{"quarter", "qty", "name", "flag", "seen_at", "code", "name || cast(qty as string)"} // no more values than top_k tells apart
	ofAny     = append(slices.Clip(ofScalars), "tags", "small")
)

// line is an element of lines.
type line struct{ sku, n any }

// drawLines draws the elements of a record, of which some are the same.
func (s *scenario) drawLines() any {
	lines := make([]line, s.rng.IntN(4))
	for i := range lines {
		lines[i] = line{pick(s.rng, []any{"x", "y", "z", nil}), pick(s.rng, []any{int64(1), int64(2), int64(30), nil})}
	}
	return lines
}

// ofKind are the values that an aggregate takes, and its parameters.
var ofKind = map[string]struct {
	of   []string
	more func(s *scenario) string
}{
	"count": {of: append([]string{""}, ofAny...)}, "count_distinct": {of: ofScalars}, "sum": {of: ofNumbers}, "avg": {of: ofNumbers},
	"min": {of: ofScalars}, "max": {of: ofScalars}, "var_pop": {of: ofSpreads}, "stddev_pop": {of: ofSpreads}, "first": {of: ofAny}, "last": {of: ofAny},
	"last_n": {of: ofAny, more: func(s *scenario) string {
		return fmt.Sprintf(", n: %d, distinct: %t", 1+s.rng.IntN(9), s.rng.IntN(2) == 0)
	}},
	"top_k":    {of: ofRanked, more: func(s *scenario) string { return fmt.Sprintf(", k: %d", 1+s.rng.IntN(5)) }},
	"quantile": {of: ofNumbers, more: func(s *scenario) string { return fmt.Sprintf(", q: %v", pick(s.rng, []float64{0, 0.1, 0.5, 0.95, 1})) }},
}

var hopSeconds = []int{1, 5, 30, 60, 540, 900, 3600, 21600, 86400}

// drawDriver draws one of a few; in a crowded log nearly always the same.
func (s *scenario) drawDriver() any {
	if s.crowded && s.rng.IntN(10) > 0 {
		return int64(0)
	}
	return int64(s.rng.IntN(4))
}

func drawScenario(t *testing.T, rng *rand.Rand, crowded bool) *scenario {
	t.Helper()
	s := &scenario{rng: rng, crowded: crowded}
	s.drawProject()
	var err error
	if s.project, err = definition.Load([]definition.File{{Name: "p.yaml", Data: []byte(s.text)}}); err != nil {
		t.Fatal(err, s.text)
	}
	s.drawEvents()
	s.drawAsked()
	return s
}

func (s *scenario) some(texts ...string) string {
	if i := s.rng.IntN(len(texts) + 1); i < len(texts) {
		return texts[i]
	}
	return ""
}

// drawProject writes definitions: two views with windows, one of them keyed by
// expressions, what is computed of them at read and on demand, and a service of
// all, with a view under another key.
func (s *scenario) drawProject() {
	var b strings.Builder
	b.WriteString(`project: p
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
  - {name: zone, join_keys: [{name: region, type: string}, {name: slot, type: int64}]}
  - {name: article, join_keys: [{name: sku, type: string}]}
sources:
  - name: trips
    kafka: {topic: trips}
    fields:
`)
	for _, f := range momentFields {
		if f.name == "lines" {
			b.WriteString("      - {name: lines, of: [{name: sku, type: string}, {name: n, type: int64}]}\n")
			continue
		}
		fmt.Fprintf(&b, "      - {name: %s, type: %s}\n", f.name, f.typ)
	}
	b.WriteString(s.some("    event_id: trip_id\n", "    event_id: trip_id\n"))
	b.WriteString("    event_time: completed_at\n  - {name: ask, request: {}, fields: [{name: pickup_km, type: float64}]}\nviews:\n")
	b.WriteString("  - name: act\n    entity: driver\n    source: trips\n    on_null_key: filter\n")
	s.drawPolicies(&b)
	b.WriteString(s.some("    ttl: 2h\n", "    ttl: 2h\n    ttl_mode: report\n"))
	b.WriteString("    features:\n")
	for i := range 7 {
		s.drawAggregate(&b, fmt.Sprint("w", i))
	}
	s.drawWindow(&b, "n", "count", "", s.some(", filter: qty > 0"), ", default: -3")
	b.WriteString("      - {name: words, agg: count_distinct, of: word, window: unlimited}\n")
	s.drawWindow(&b, "total", "sum", ", of: big", "", s.some(", default: 12"))
	s.drawWindow(&b, "spread", "var_pop", ", of: case when qty = 3 then cast('inf' as float64) else quarter end", "", s.some(", default: 12"))
	b.WriteString(`      - {name: twice, expr: "qty * 2"}
      - {name: tier, expr: upper(name), default: NONE}
      - {name: idle, expr: "epoch(now()) - epoch(event_time())", at: read}
      - {name: share, expr: "n / nullif(n - 1, 0)", default: 0.5}
      - {name: least, expr: "coalesce(total, 4) + 1", default: 8}
      - {name: mixed, expr: "coalesce(total, 0) // 2 + coalesce(twice, 0)", default: -1}
      - {name: risky, expr: "cast(tier as bigint) + n", at: read, default: 6}
      - {name: wild, expr: "spread * 2"}
      - {name: tame, expr: "coalesce(spread, 1)", default: 9}
  - name: zones
    entity: zone
    source: trips
    keys: {region: "lower(name)", slot: qty % 2}
    on_null_key: filter
`)
	s.drawPolicies(&b)
	b.WriteString("    features:\n")
	for i := range 4 {
		s.drawAggregate(&b, fmt.Sprint("z", i))
	}
	b.WriteString("  - name: items\n    entity: article\n    source: trips\n    unnest: {field: lines, as: item}\n    keys: {sku: item.sku}\n    on_null_key: filter\n")
	s.drawPolicies(&b)
	b.WriteString("    features:\n      - {name: last_n, expr: item.n}\n")
	s.drawWindow(&b, "sold", "sum", ", of: item.n", s.some(", filter: item.n > 1"), "")
	s.drawWindow(&b, "lines_n", "count", "", "", "")
	s.drawWindow(&b, "recent", "last_n", ", of: item.n, n: 4", "", "")
	s.drawWindow(&b, "newest", "last", ", of: item.n * 10", "", "")
	b.WriteString(`on_demand_views:
  - name: quote
    sources: [act, ask]
    features:
      - {name: price, expr: "act.n * coalesce(pickup_km, 1)", default: 7}
      - {name: since, expr: "epoch(now()) - epoch(event_time(act))"}
      - {name: after, expr: "act.risky + act.total + price", default: 5}
      - {name: sure, expr: "coalesce(act.wild, 1)", default: 5}
services:
  - name: all
    features: [act, quote, zones, items, {view: act, as: other, keys: {driver_id: other_id}}, {view: quote, as: quote2, keys: {driver_id: other_id}, features: [after, since]}]
`)
	s.text = b.String()
}

func (s *scenario) drawPolicies(b *strings.Builder) {
	b.WriteString(s.some("    where: qty is null or qty < 15\n", "    where: flag\n"))
	b.WriteString(s.some("    allowed_lateness: 90s\n", "    allowed_lateness: 2h\n", "    allowed_lateness: 3d\n"))
	b.WriteString(s.some("    late: dead_letter\n"))
}

func (s *scenario) drawAggregate(b *strings.Builder, name string) {
	kinds := []string{"count", "count_distinct", "sum", "avg", "min", "max", "var_pop", "stddev_pop", "first", "last", "last_n", "top_k", "quantile"}
	kind := pick(s.rng, kinds)
	of, more := pick(s.rng, ofKind[kind].of), ""
	if name[0] == 'z' && of == "twice" {
		of = "qty"
	}
	if of != "" {
		of = ", of: " + of
	}
	if ofKind[kind].more != nil {
		more = ofKind[kind].more(s)
	}
	s.drawWindow(b, name, kind, of+more, s.some(", filter: qty > 0", ", filter: flag", `, filter: "fare > 10 or name is null"`), "")
}

// drawWindow writes an aggregate over a window of any shape.
func (s *scenario) drawWindow(b *strings.Builder, name, kind, of, filter, more string) {
	window := "unlimited"
	if s.rng.IntN(5) > 0 {
		hop := pick(s.rng, hopSeconds)
		window = fmt.Sprintf("%ds", hop*(1+s.rng.IntN(50))+s.rng.IntN(hop))
		if s.rng.IntN(4) > 0 {
			window += fmt.Sprintf(", hop: %ds", hop)
		} else {
			window = pick(s.rng, []string{"1h", "90m", "7d", "50s", "1m"})
			hop = 1
		}
		if s.rng.IntN(3) == 0 {
			window += fmt.Sprintf(", offset: %ds", 1+s.rng.IntN(40*hop))
		}
	}
	fmt.Fprintf(b, "      - {name: %s, agg: %s%s%s, window: %s%s}\n", name, kind, of, filter, window, more)
}

// drawEvents writes the log: records of several partitions, of event times that
// are late, early, in the future and at the edges of tiles, some of them twice.
func (s *scenario) drawEvents() {
	begin := pick(s.rng, []int64{time.Date(2026, 2, 1, 11, 58, 0, 0, time.UTC).UnixMilli(), time.Date(2000, 1, 3, 0, 0, 0, 0, time.UTC).UnixMilli(), 26 * 3600_000})
	n, long := 60+s.rng.IntN(200), int64(3*3600_000)
	if s.crowded {
		n = 1500
	}
	jitter := 1 + s.rng.Int64N(90_000)*int64(s.rng.IntN(2))
	offsets := [partitions]int64{s.rng.Int64N(5000), s.rng.Int64N(5000), s.rng.Int64N(5000)}
	for i := range n {
		record := begin + long*int64(i)/int64(n) + s.rng.Int64N(jitter)
		e := momentEvent{partition: int32(s.rng.IntN(partitions)), origin: feature.Origin{RecordMillis: record}}
		if i > 0 && s.rng.IntN(8) == 0 { // the producer tries again
			old := s.events[s.rng.IntN(len(s.events))]
			e.values, e.partition, e.origin.EventMicros = old.values, old.partition, old.origin.EventMicros
			e.origin.RecordMillis = max(record, old.origin.RecordMillis)
		} else {
			s.drawValues(&e, i)
		}
		offsets[e.partition] += 1 + s.rng.Int64N(2) // logs have gaps
		e.origin.Offset = offsets[e.partition]
		if e.values[len(momentFields)-1] == nil {
			e.origin.EventMicros = e.origin.RecordMillis * 1000
		}
		s.events = append(s.events, e)
	}
}

func (s *scenario) drawValues(e *momentEvent, i int) {
	at := e.origin.RecordMillis * 1000
	switch s.rng.IntN(8) {
	case 0: // the edge of a tile, of any hop
		hop := int64(pick(s.rng, hopSeconds)) * 1e6
		at = (at/hop-s.rng.Int64N(4))*hop - s.rng.Int64N(2)
	case 1:
		at -= s.rng.Int64N(3 * 86400e6)
	case 2: // to beyond what is allowed
		at += s.rng.Int64N(400e6)
	case 3, 4: // at one time with others
		at -= at % 3600e6
	default:
		at -= s.rng.Int64N(600e6)
	}
	e.origin.EventMicros = at
	for _, f := range momentFields {
		var v any
		switch f.name {
		case "trip_id":
			v = fmt.Sprint("t", i)
		case "completed_at":
			v = at
		default:
			v = f.draw(s)
		}
		if s.rng.IntN(10) == 0 {
			v = nil
		}
		e.values = append(e.values, v)
	}
}

// drawAsked draws moments around the log and at edges, and entities that are
// known, unknown, or null.
func (s *scenario) drawAsked() {
	first, last := s.events[0].origin.RecordMillis*1000, s.events[len(s.events)-1].origin.RecordMillis*1000
	for range 4 {
		at := first + s.rng.Int64N(last-first+7200e6)
		switch s.rng.IntN(4) {
		case 0:
			hop := int64(pick(s.rng, hopSeconds)) * 1e6
			at = at/hop*hop - s.rng.Int64N(2)
		case 1:
			at = last + s.rng.Int64N(9*86400e6)
		}
		for range 6 {
			null := func(v any) any {
				if s.rng.IntN(12) == 0 {
					return nil
				}
				return v
			}
			s.asked = append(s.asked, askedRow{
				micros: at, driver: null(int64(s.rng.IntN(5))), other: null(int64(s.rng.IntN(4))), pickup: null(float64(s.rng.IntN(9)) / 2),
				region: null(pick(s.rng, []string{"a", "b", "é", "zz", "none"})), slot: null(int64(s.rng.IntN(3) - 1)),
				sku: null(pick(s.rng, []string{"x", "y", "z"})),
			})
		}
	}
}
