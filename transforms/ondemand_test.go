package transforms_test

import (
	"fmt"
	"strings"
	"testing"

	"millrace/feature"
	"millrace/transforms"
)

func kinds(v *feature.View, features ...string) *feature.View {
	for _, f := range features {
		name, kind, _ := strings.Cut(f, " ")
		t, err := feature.ParseType(kind)
		if err != nil && kind != "?" {
			panic(err)
		}
		v.Features = append(v.Features, feature.Feature{Name: name, Type: t})
	}
	return v
}

func requests(name string, fields ...string) *feature.Source {
	s := &feature.Source{Name: name, Kind: feature.SourceRequest}
	for _, f := range fields {
		words := strings.Fields(f)
		t, err := feature.ParseType(words[1])
		if err != nil && words[1] != "?" {
			panic(err)
		}
		s.Fields = append(s.Fields, feature.SourceField{Field: feature.Field{Name: words[0], Type: t}, Optional: len(words) > 2})
	}
	return s
}

var (
	tripView    = kinds(&feature.View{Name: "trip"}, "fare float64", "tier string", "n int32", "late bool")
	profileView = kinds(&feature.View{Name: "profile"}, "rating float64", "tier string", "broken ?")
	quoteData   = requests("quote_data", "km float64", "coupon string optional", "both string")
	otherData   = requests("other_data", "both int64", "odd ?")
)

func onDemand(features ...string) *feature.OnDemandView {
	v := &feature.OnDemandView{Name: "quote", Entity: "driver", Sources: []string{"trip", "profile", "quote_data", "other_data"}}
	for _, f := range features {
		name, text, _ := strings.Cut(f, " = ")
		if text == "" {
			text = name
		}
		v.Features = append(v.Features, feature.Feature{Name: name, Expr: text})
	}
	return v
}

func compileOnDemand(v *feature.OnDemandView) (*transforms.OnDemandPlan, []transforms.Problem) {
	return transforms.CompileOnDemand(v, []*feature.View{tripView, profileView}, []*feature.Source{quoteData, otherData})
}

func mustCompileOnDemand(t *testing.T, features ...string) *transforms.OnDemandPlan {
	t.Helper()
	p, problems := compileOnDemand(onDemand(features...))
	if len(problems) > 0 || p == nil {
		t.Fatalf("problems %+v", problems)
	}
	return p
}

func inputText(ins []transforms.OnDemandInput) string {
	all := make([]string, len(ins))
	for i, in := range ins {
		all[i] = in.String()
	}
	return strings.Join(all, " ")
}

func TestOnDemandNames(t *testing.T) {
	p := mustCompileOnDemand(t, "double = expected * 2", "expected = trip.fare * km", "same = quote_data.km + km", "km", "both = other_data.both",
		"idle = epoch(now()) - epoch(event_time(trip))")
	if got := inputText(p.Inputs); got != "trip.fare quote_data.km other_data.both event_time(trip)" {
		t.Errorf("inputs: %s", got)
	}
	for i, want := range []string{"float64", "float64", "float64", "float64", "int64", "float64"} {
		f := p.View.Features[i]
		if f.Type.String() != want || f.At != feature.PhaseRead {
			t.Errorf("%s is %s at %s", f.Name, f.Type, f.At)
		}
	}
}

// A reader wants what its features need and nothing else, and computes row by
// row over columns of the request.
func TestOnDemandReader(t *testing.T) {
	p := mustCompileOnDemand(t, "expected = trip.fare * km", "wait = epoch(now()) - epoch(event_time(trip))", "tier = upper(trip.tier)", "over = n_of * 2", "n_of = trip.n * 1000000")
	r, err := p.NewReader([]string{"over", "wait", "expected"})
	if err != nil {
		t.Fatal(err)
	}
	if got := inputText(r.Inputs()); got != "trip.n event_time(trip) trip.fare quote_data.km" {
		t.Fatalf("inputs: %s", got)
	}
	if got := fmt.Sprint(r.InputsOf(0), r.InputsOf(1), r.InputsOf(2)); got != "[0] [1] [2 3]" {
		t.Errorf("inputs of features: %s", got)
	}
	columns := make([]*feature.Column, 4)
	for i, in := range r.Inputs() {
		columns[i] = new(feature.Column)
		columns[i].Reset(in.Type)
		columns[i].Resize(3)
	}
	for row := range 3 {
		columns[0].SetInt(row, int64(row)*1000)
		columns[1].SetInt(row, 1_000_000*int64(row))
		columns[2].SetFloat(row, 1.5)
		columns[3].SetFloat(row, float64(row))
	}
	columns[2].SetNull(1)
	r.Run(columns, 3, 60_000_000)
	got := ""
	for row := range 3 {
		for i := range 3 {
			got += " " + show(r.Column(i), row) + map[bool]string{true: "!"}[r.Failed(i, row)]
		}
	}
	if want := " 0 60 0 2000000000 59 null null! 58 3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := p.NewReader([]string{"nope"}); err == nil {
		t.Error("a feature that there is not was prepared")
	}
}

func TestOnDemandProblems(t *testing.T) {
	for _, c := range []struct {
		name, features string
		want           []string // part: what message or hint holds
	}{
		{"unknown feature of a view", "a = trip.fair * km", []string{"features[0].expr: did you mean trip.fare?"}},
		{"feature without its view", "a = fare", []string{"features[0].expr: did you mean trip.fare?"}},
		{"feature of two views", "a = tier", []string{"features[0].expr: write trip.tier or profile.tier"}},
		{"short for a feature", "rating", []string{"features[0].expr: did you mean profile.rating?"}},
		{"field of two request sources", "a = both", []string{"features[0].expr: write quote_data.both or other_data.both"}},
		{"name of a field of two", "both", []string{"features[0].expr: write quote_data.both or other_data.both"}},
		{"view that is no source", "a = shops.sold", []string{"features[0].expr: list shops under sources"}},
		{"circle", "a = b; b = c + 1.0; c = a", []string{"features[2].expr: computed from itself"}},
		{"name of a field", "km = trip.fare", []string{"features[0].expr: has the name of a field"}},
		{"type", "a = trip.tier * 2", []string{"features[0].expr: cannot multiply"}},
		{"no type", "a = null", []string{"features[0].expr: no type"}},
		{"event time of nothing", "a = event_time()", []string{"features[0].expr: write event_time(trip)"}},
		{"event time of a feature", "a = event_time(trip.fare)", []string{"features[0].expr: unknown view trip.fare"}},
		{"event time of a typo", "a = event_time(trips)", []string{"features[0].expr: did you mean trip?"}},
		{"syntax", "a = trip.fare *", []string{"features[0].expr: unexpected end"}},
		{"all at once", "a = trip.fair; b = upper(km); c = a + 1; d = a || km; e = c + trip.fair", []string{
			"features[0].expr: trip.fare", "features[1].expr: ", "features[4].expr: trip.fare",
		}},
		{"what follows from a view with errors", "a = profile.broken * 2; b = a || km; c = odd; d = upper(odd)", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, problems := compileOnDemand(onDemand(strings.Split(c.features, "; ")...))
			if p != nil {
				t.Error("it compiled")
			}
			if len(problems) != len(c.want) {
				t.Fatalf("%d problems, not %d: %+v", len(problems), len(c.want), problems)
			}
			for i, want := range c.want {
				part, says, _ := strings.Cut(want, ": ")
				if problems[i].Part != part || !strings.Contains(problems[i].Message+"; "+problems[i].Hint, says) {
					t.Errorf("problem %+v, not %s", problems[i], want)
				}
			}
		})
	}
}

func TestOnDemandStatedType(t *testing.T) {
	v := onDemand("a = trip.fare")
	v.Features[0].Type = feature.Of(feature.KindInt64)
	if _, problems := compileOnDemand(v); len(problems) != 1 || problems[0].Part != "features[0].type" {
		t.Errorf("problems %+v", problems)
	}
}

func TestExplainOnDemand(t *testing.T) {
	got := transforms.ExplainOnDemand(mustCompileOnDemand(t, "expected = trip.fare * km", "code = coalesce(coupon, trip.tier)")).String()
	want := `on-demand view quote: features of driver from trip, profile, quote_data, other_data; nothing is stored

read of views (as served: ttl and defaults applied)
  trip.fare            float64
  trip.tier            string

arrives with the request
  km                   float64      of quote_data
  coupon               string       of quote_data  (optional: null when left out)

computed at read
  expected             float64      = trip.fare * km  (loads trip.fare, quote_data.km)
  code                 string       = coalesce(coupon, trip.tier)  (loads quote_data.coupon, trip.tier)
`
	if got != want {
		t.Errorf("explained as\n%s", got)
	}
}
