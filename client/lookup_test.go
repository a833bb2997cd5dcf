package client

import (
	"errors"
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLookupRequestOnTheWire(t *testing.T) {
	for _, c := range []struct {
		name string
		q    LookupRequest
		want string
	}{
		{
			"rows of a service",
			LookupRequest{Service: "eta_v1", Entities: Rows{{"driver_id": int64(math.MaxInt64)}, {"driver_id": nil}}},
			`{"service":"eta_v1","entities":[{"driver_id":9223372036854775807},{"driver_id":null}]}`,
		},
		{
			"columns of features",
			LookupRequest{Features: []string{"a:b", "c"}, Columns: Columns{"item_id": []int{10, 11}, "user_id": 1}},
			`{"features":["a:b","c"],"entities":{"item_id":[10,11],"user_id":1}}`,
		},
		{
			"everything else",
			LookupRequest{
				Service: "s", Entities: Rows{{"at": time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), "token": []byte{0xff}}},
				Context: map[string]any{"km": 3.5}, Contexts: Rows{{"coupon": "<W>"}},
				Include: []Include{IncludeStatus, IncludeEventTime, IncludeAge, IncludeOrigin, IncludeComplete},
				MaxAge:  map[string]time.Duration{"trips": 10 * time.Minute},
			},
			`{"service":"s","entities":[{"at":"2026-01-02T03:04:05.000006Z","token":"/w=="}],"context":{"km":3.5},"contexts":[{"coupon":"\u003cW\u003e"}],` +
				`"include":["status","event_time","age_ms","origin","complete"],"max_age":{"trips":"10m0s"}}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &server{answers: []answerer{says(200, emptyAnswer)}}
			if _, err := s.client(t, Retry{}).Lookup(t.Context(), c.q); err != nil {
				t.Fatal(err)
			}
			r := s.sent[0]
			if r.Method != http.MethodPost || r.URL.Path != "/v1/lookup" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("it was sent as %s %s, %s", r.Method, r.URL, r.Header)
			}
			if r.body != c.want {
				t.Errorf("sent\n%s\nwant\n%s", r.body, c.want)
			}
		})
	}
}

// TestLookupRefusedBeforeSending: what cannot be meant does not cost a call.
func TestLookupRefusedBeforeSending(t *testing.T) {
	for _, c := range []struct {
		q    LookupRequest
		want string
	}{
		{LookupRequest{Service: "s"}, "either as Entities or as Columns"},
		{LookupRequest{Service: "s", Entities: Rows{}, Columns: Columns{}}, "either as Entities or as Columns"},
		{LookupRequest{Service: "s", Entities: Rows{{"id": 1}, {"id": 2, "km": math.NaN()}}}, "entities[1].km cannot be written as JSON; send nil"},
		{LookupRequest{Service: "s", Columns: Columns{"km": []float64{1, math.Inf(1)}}}, "entities.km cannot"},
		{LookupRequest{Service: "s", Entities: Rows{{}}, Context: map[string]any{"km": math.Inf(-1)}}, "context.km cannot"},
		{LookupRequest{Service: "s", Entities: Rows{{}}, Contexts: Rows{{"km": math.NaN()}}}, "contexts[0].km cannot"},
	} {
		s := &server{answers: []answerer{says(200, emptyAnswer)}}
		_, err := s.client(t, Retry{}).Lookup(t.Context(), c.q)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(s.sent) != 0 {
			t.Errorf("%d calls, %v; want %q", len(s.sent), err, c.want)
		}
	}
}

const richAnswer = `{"features":["v:i","v:f","v:s","v:b","v:t","v:y","v:l","v:j","v:n"],"rows":[
{"entity":{"driver_id":9223372036854775807,"name":null},
 "values":[-9223372036854775808,0.1,"a\"\u2028",true,"2026-01-02T03:04:05.000006Z","/w==",[9007199254740993,null],{"a":[1]},null],
 "status":["PRESENT","PRESENT","PRESENT","PRESENT","PRESENT","PRESENT","PRESENT","PRESENT","OUTSIDE_MAX_AGE"],
 "event_time":["2026-01-01T00:00:00.5Z",null,null,null,null,null,null,null,null],
 "age_ms":[1500,0,null,null,null,null,null,null,9223372036854775807],
 "origin":["stored","computed","default","prediction_stale:row","client",null,null,null,null],
 "complete":[true,false,null,null,null,null,null,null,null]}]}`

// must returns what an accessor returned.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		return v
	}
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v (%T), want %v (%T)", got, got, want, want)
	}
}

func TestValuesAreTypedAndExact(t *testing.T) {
	a, err := decodeAnswer([]byte(richAnswer))
	if err != nil {
		t.Fatal(err)
	}
	r := &a.Rows[0]
	same(t, must[int64](t)(r.Get("v:i").Int64()), int64(math.MinInt64))
	same(t, must[int64](t)(r.Key("driver_id").Int64()), int64(math.MaxInt64))
	same(t, must[float64](t)(r.Get("v:f").Float64()), 0.1)
	same(t, must[string](t)(r.Get("v:s").Text()), "a\"\u2028")
	same(t, must[bool](t)(r.Get("v:b").Bool()), true)
	same(t, must[time.Time](t)(r.Get("v:t").Time()), time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC))
	same(t, must[[]byte](t)(r.Get("v:y").Bytes()), []byte{0xff})
	var list []*int64
	if err := r.Get("v:l").Decode(&list); err != nil || len(list) != 2 || *list[0] != 1<<53+1 || list[1] != nil {
		t.Errorf("the list is %v, %v", list, err)
	}
	same(t, string(r.Get("v:j").Raw()), `{"a":[1]}`)

	i, f, s, n := r.Get("v:i"), r.Get("v:f"), r.Get("v:s"), r.Get("v:n")
	same(t, []any{i.Status, i.Origin, i.Complete, i.Age, i.HasAge}, []any{StatusPresent, OriginStored, CompleteYes, 1500 * time.Millisecond, true})
	same(t, i.EventTime, time.Date(2026, 1, 1, 0, 0, 0, 5e8, time.UTC))
	same(t, []any{f.Origin, f.Complete, f.Age, f.HasAge}, []any{OriginComputed, CompleteNo, time.Duration(0), true})
	same(t, []any{s.Origin, s.Complete, s.HasAge, s.EventTime.IsZero()}, []any{OriginDefault, CompleteNone, false, true})
	b, client := r.Get("v:b"), r.Get("v:t")
	same(t, []any{b.Origin, b.Detail, client.Origin, client.Detail}, []any{OriginPredictionStale, "row", OriginClient, ""})
	same(t, []any{n.Status, n.Origin, n.IsNull(), n.Age > 290*365*24*time.Hour}, []any{StatusOutsideMaxAge, OriginNone, true, true})
}

// TestAccessorsRefuse: no accessor turns what is not there, or of another
// type, into a zero that looks like a value.
func TestAccessorsRefuse(t *testing.T) {
	a, err := decodeAnswer([]byte(richAnswer))
	if err != nil {
		t.Fatal(err)
	}
	r := &a.Rows[0]
	_, err = r.Get("v:n").Float64()
	if !errors.Is(err, ErrNull) || !strings.Contains(err.Error(), "v:n") || !strings.Contains(err.Error(), "OUTSIDE_MAX_AGE") {
		t.Errorf("a null was read: %v", err)
	}
	if _, err = r.Key("name").Text(); !errors.Is(err, ErrNull) {
		t.Errorf("a null join key was read: %v", err)
	}
	for name, read := range map[string]func(Value) error{
		"v:f": func(v Value) error { _, err := v.Int64(); return err },
		"v:s": func(v Value) error { _, err := v.Float64(); return err },
		"v:i": func(v Value) error { _, err := v.Text(); return err },
		"v:b": func(v Value) error { _, err := v.Time(); return err },
		"v:t": func(v Value) error { _, err := v.Bytes(); return err },
		"v:l": func(v Value) error { var l []int64; _, err := v.Bool(); return errors.Join(err, v.Decode(&l), err) },
		"v:x": func(v Value) error { _, err := v.Text(); return err },
	} {
		err := read(r.Get(name))
		if err == nil || errors.Is(err, ErrNull) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s was read as another type: %v", name, err)
		}
	}
	if list := must[[]int64](t)(read[[]int64](Value{raw: []byte("[1,2]")})); len(list) != 2 {
		t.Errorf("a list of 2 has %d", len(list))
	}
	if list, err := read[[]int64](Value{raw: []byte(`[1,"2"]`)}); err == nil || list != nil {
		t.Errorf("part of a list was read: %v", list)
	}
}
