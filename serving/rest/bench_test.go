package rest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/serving"
)

// constant is a store that answers any query with the same rows, allocating
// nothing: what is left is the server's own cost.
type constant struct{}

func (constant) Read(_ context.Context, q *feature.Query, dst []feature.Loaded) error {
	for i := range q.Views {
		l := &dst[i]
		l.Reset(&q.Views[i], len(q.Keys))
		l.Found.Fill(len(q.Keys))
		for row := range q.Keys {
			l.Origins[row].EventMicros = 1_799_999_990_123_456 - int64(row)
		}
		for j := range l.Columns {
			c := &l.Columns[j]
			c.Valid.Fill(len(q.Keys))
			for row := range q.Keys {
				switch c.Type.Layout() {
				case feature.LayoutFloat:
					c.Floats[row] = 0.7431926051 * float64(row+j)
				case feature.LayoutInt:
					c.Ints[row] = 123_456_789 * int64(row+j)
				default:
					c.Strings[row] = "text-000123"
				}
			}
		}
	}
	return nil
}

// wide is a view of 20 floats, 15 integers and 15 texts.
func wide() string {
	var fields, features strings.Builder
	for i := range 50 {
		kind := "float64"
		switch {
		case i >= 35:
			kind = "string"
		case i >= 20:
			kind = "int64"
		}
		fmt.Fprintf(&fields, "      - {name: f%d, type: %s}\n", i, kind)
		fmt.Fprintf(&features, "      - {name: f%d}\n", i)
	}
	return `
project: wide
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources:
  - name: wide_source
    push: {}
    fields:
      - {name: driver_id, type: int64}
` + fields.String() + `views:
  - name: wide_view
    entity: driver
    source: wide_source
    features:
` + features.String() + `services:
  - {name: wide, features: [wide_view]}
  - {name: one, features: ["wide_view:f0"]}
`
}

// discard is a ResponseWriter that is reused.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

type body struct{ strings.Reader }

func (*body) Close() error { return nil }

func BenchmarkAnswer(b *testing.B) {
	h := newHandler(b, constant{}, wide(), serving.Events{})
	for _, size := range []struct {
		service string
		rows    int
	}{{"one", 1}, {"wide", 10}, {"wide", 100}} {
		ids := make([]string, size.rows)
		for i := range ids {
			ids[i] = fmt.Sprint(1000 + i*97)
		}
		keys := `"entities":{"driver_id":[` + strings.Join(ids, ",") + `]}}`
		for _, form := range []struct{ name, path, body string }{
			{"native", "/v1/lookup", `{"service":"` + size.service + `",` + keys},
			{"native+status+time", "/v1/lookup", `{"service":"` + size.service + `","include":["status","event_time"],` + keys},
			{"feast", "/get-online-features", `{"feature_service":"` + size.service + `",` + keys},
		} {
			b.Run(fmt.Sprintf("%s/%s×%d", form.name, size.service, size.rows), func(b *testing.B) {
				benchmark(b, h, form.path, form.body)
			})
		}
	}
}

func BenchmarkOnDemand(b *testing.B) {
	h := newHandler(b, constant{}, withRequest(onDemandWide()), serving.Events{})
	for _, rows := range []int{1, 100} {
		ids := strings.TrimSuffix(strings.Repeat("1,2,", (rows+1)/2), ",")
		b.Run(fmt.Sprintf("40×%d", rows), func(b *testing.B) {
			benchmark(b, h, "/v1/lookup", `{"service":"quotes","entities":{"driver_id":[`+ids+`]},"context":{"pickup_km":2}}`)
		})
	}
}

func benchmark(b *testing.B, h http.Handler, path, text string) {
	r := httptest.NewRequest(http.MethodPost, path, nil)
	r.ContentLength = int64(len(text))
	from, w := new(body), &discard{header: make(http.Header)}
	r.Body = from
	b.ReportAllocs()
	for b.Loop() {
		from.Reset(text)
		h.ServeHTTP(w, r)
	}
}

// onDemandWide computes twenty features of each kind of value.
func onDemandWide() string {
	var features strings.Builder
	for i := range 20 {
		fmt.Fprintf(&features, "      - {name: o%d, expr: wide_view.f%d * pickup_km + wide_view.f%d}\n", i, i, 20+i%15)
		fmt.Fprintf(&features, "      - {name: t%d, expr: \"wide_view.f%d || coalesce(coupon, '-')\"}\n", i, 35+i%15)
	}
	return wide() + `  - {name: quotes, features: [quote]}
  - {name: quote_one, features: ["quote:o0"]}
on_demand_views:
  - name: quote
    sources: [wide_view, quote_request]
    features:
` + features.String()
}

// withRequest adds a request source to the definitions of wide.
func withRequest(yaml string) string {
	return strings.Replace(yaml, "sources:\n", `sources:
  - name: quote_request
    request: {}
    fields: [{name: pickup_km, type: float64}, {name: coupon, type: string, optional: true}]
`, 1)
}

// The cost in allocations is that of a request, not of its values; nor of the
// contexts that rows bring.
func TestAllocationsOfOnDemandViews(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools at random")
	}
	h := newHandler(t, constant{}, withRequest(onDemandWide()), serving.Events{})
	allocations := func(path, text string) float64 {
		r := httptest.NewRequest(http.MethodPost, path, nil)
		from, w := new(body), &discard{header: make(http.Header)}
		r.Body = from
		return testing.AllocsPerRun(50, func() {
			from.Reset(text)
			h.ServeHTTP(w, r)
		})
	}
	ids, contexts, kms := "1", `{"pickup_km":1}`, "1"
	for i := range 100 {
		ids += fmt.Sprintf(",%d", 2+i%60) // some twice
		contexts += `,{"pickup_km":2.5,"coupon":"X"}`
		kms += ",2.5"
	}
	few := allocations("/v1/lookup", `{"service":"quote_one","entities":{"driver_id":[1]},"context":{"pickup_km":1}}`)
	for name, lots := range map[string]float64{
		"context":  allocations("/v1/lookup", `{"service":"quotes","entities":{"driver_id":[`+ids+`]},"context":{"pickup_km":1}}`),
		"contexts": allocations("/v1/lookup", `{"service":"quotes","include":["status","event_time"],"entities":{"driver_id":[`+ids+`]},"contexts":[`+contexts+`]}`),
		"feast":    allocations("/get-online-features", `{"feature_service":"quotes","entities":{"driver_id":[`+ids+`],"pickup_km":[`+kms+`]}}`),
	} {
		t.Logf("%s: %g allocations for 4,040 values, %g for one", name, lots, few)
		if lots > few+20 {
			t.Errorf("%s: %g allocations for a value, %g for 4,040", name, few, lots)
		}
	}
}

// The cost in allocations is that of a request, not of its values.
func TestAllocationsDoNotGrowWithValues(t *testing.T) {
	h := newHandler(t, constant{}, wide(), serving.Events{})
	allocations := func(path, service, ids string) float64 {
		text := `{"` + map[string]string{"/v1/lookup": "service", "/get-online-features": "feature_service"}[path] + `":"` + service + `","entities":{"driver_id":[` + ids + `]}}`
		r := httptest.NewRequest(http.MethodPost, path, nil)
		from, w := new(body), &discard{header: make(http.Header)}
		r.Body = from
		return testing.AllocsPerRun(50, func() {
			from.Reset(text)
			h.ServeHTTP(w, r)
		})
	}
	many := "1" + strings.Repeat(",2,3", 50)
	for _, path := range []string{"/v1/lookup", "/get-online-features"} {
		few, lots := allocations(path, "one", "1"), allocations(path, "wide", many)
		if lots > few+70 && !raceDetector {
			t.Errorf("%s: %g allocations for a value, %g for 5,050", path, few, lots)
		}
	}
}

var _ io.ReadCloser = (*body)(nil)
