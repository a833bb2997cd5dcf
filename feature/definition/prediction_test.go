package definition_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// modelBase is a project of models without faults.
const modelBase = `project: rides
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
  - {name: item, join_keys: [{name: item_id, type: string}]}
  - {name: offer, join_keys: [{name: driver_id, type: int64}, {name: item_id, type: string}]}
sources:
  - name: trips
    kafka: {topic: trips}
    fields:
      - {name: driver_id, type: int64}
      - {name: fare, type: float64}
      - {name: sku, type: string}
      - {name: stars, type: int64}
      - {name: doc, type: json}
      - {name: tags, type: list<string>}
      - {name: vec, type: list<float32>, length: 4}
  - {name: quote_request, request: {}, fields: [{name: pickup_km, type: float64}]}
views:
  - name: driver_trips
    entity: driver
    source: trips
    features:
      - {name: last_fare, expr: fare, default: 1}
      - {name: doubled, expr: last_fare * 2, at: read}
      - {name: trips, agg: count, window: 24h}
      - {name: doc}
      - {name: tags}
      - {name: vec}
      - {name: rating, expr: stars}
  - {name: item_sales, entity: item, source: trips, keys: {item_id: sku}, features: [{name: last_price, expr: fare}]}
on_demand_views:
  - name: quote
    sources: [driver_trips, quote_request]
    features:
      - {name: expected_fare, expr: driver_trips.last_fare * pickup_km}
      - {name: idle_s, expr: epoch(now()) - epoch(event_time(driver_trips))}
models:
  - name: fraud
    version: "7"
    endpoint: http://models:8080/
    entity: driver
    inputs: [driver_trips:last_fare, driver_trips:trips, driver_trips:vec, quote:idle_s]
    outputs:
      - {name: score, type: float64, as: "driver_trips:fraud_score", allow_nan: true}
      - {name: vector, type: list<float32>, length: 8}
    max_age: 1h
    refresh: [on_read, on_write]
    serve_stale_for: 10m
    debounce: 500ms
    on_error: last_value
    serve_previous_version: true
  - name: price
    version: v2.1-rc_3
    endpoint: https://models
    tensors: stacked
    tensor_name: x
    entity: offer
    inputs: [item_sales:last_price, driver_trips:doubled, quote:expected_fare]
    outputs: [{name: price, type: float32}]
    cache: none
    timeout: 50ms
    max_batch: 64
    on_error: null
  - {name: churn, entity: driver, outputs: [{name: risk, type: float64}], max_age: 30d}
services:
  - {name: eta, features: [driver_trips]}
`

func TestModels(t *testing.T) {
	p, err := load(modelBase)
	if err != nil {
		t.Fatal(err)
	}
	m := p.Catalog.Model("fraud")
	if m.Endpoint != "http://models:8080" || m.Version != "7" || !m.Cache || !m.RefreshOnRead || !m.RefreshOnWrite ||
		m.Timeout != time.Second || m.MaxBatch != 256 || m.MaxAge != time.Hour || m.ServeStaleFor != 10*time.Minute || m.Debounce != 500*time.Millisecond ||
		m.OnError != feature.ModelErrorLastValue || !m.ServePreviousVersion || m.Fingerprint != feature.FingerprintState || m.Revision != 1 {
		t.Errorf("model %+v", m)
	}
	if o := m.Outputs[0]; o.As.View != "driver_trips" || o.As.Feature != "fraud_score" || !o.AllowNaN || m.Outputs[1].Type.Length != 8 {
		t.Errorf("outputs %+v", m.Outputs)
	}
}

func TestPlansOfModels(t *testing.T) {
	p, err := load(modelBase)
	if err != nil {
		t.Fatal(err)
	}
	plan := p.Models["fraud"]
	if plan == nil || len(plan.Inputs) != 4 || plan.Inputs[1].Type != feature.Of(feature.KindInt64) || plan.Inputs[3].OnDemand != p.OnDemand["quote"] {
		t.Fatalf("plan %+v", plan)
	}
	price := p.Models["price"]
	if len(price.Asks) != 1 || price.Asks[0].Name != "x" || price.Asks[0].Datatype != transforms.TensorFloat64 || price.Asks[0].Dims[0] != 3 || price.Model.Cache ||
		price.Model.OnError != feature.ModelErrorNull || price.Model.Timeout != 50*time.Millisecond || price.Model.MaxBatch != 64 || !price.Model.RefreshOnRead {
		t.Errorf("tensors %+v of %+v", price.Asks, price.Model)
	}
	if churn := p.Catalog.Model("churn"); churn.Refreshes() || churn.Endpoint != "" || churn.MaxAge != 30*24*time.Hour {
		t.Errorf("model %+v", churn)
	}
}

// inputsWith is the inputs of the base with another one.
func inputsWith(name string) string {
	return strings.Replace(baseInputs, "driver_trips:trips", name, 1)
}

const baseInputs = "inputs: [driver_trips:last_fare, driver_trips:trips, driver_trips:vec, quote:idle_s]"

var mistakesInModels = []mistake{
	{"name of a view", "- name: fraud\n", "- name: item_sales\n", "38:11", "name of the view at a.yaml:30"},
	{"name of a source", "- name: fraud\n", "- name: trips\n", "38:11", "name of the source"},
	{"name of an on-demand view", "- name: fraud\n", "- name: quote\n", "38:11", "name of the on-demand view"},
	{"name of a model", "- name: fraud\n", "- name: churn\n", "64:12", "name of the model at a.yaml:38"},
	{"no entity", "    endpoint: http://models:8080/\n    entity: driver\n", "    endpoint: http://models:8080/\n", "38:5", "entity is missing"},
	{"unknown entity", "8080/\n    entity: driver\n", "8080/\n    entity: drivr\n", "41:13", "did you mean driver?"},
	{"unknown key", "debounce: 500ms", "debuonce: 500ms", "49:5", "did you mean debounce?"},
	{"no endpoint", "    endpoint: http://models:8080/\n", "", "38:5", "inputs, refresh, serve_stale_for, debounce, on_error, serve_previous_version are about computing"},
	{"endpoint that is none", "http://models:8080/", "models:8080", "40:15", "write http://HOST:PORT"},
	{"endpoint of a scheme", "http://models:8080/", "grpc://models:8080", "40:15", "write http://HOST:PORT"},
	{"endpoint with a password", "http://models", "http://a:b@models", "40:15", "everybody who reads"},
	{"endpoint with a query", "8080/", "8080/?a=1", "40:15", "has a query"},
	{"endpoint with the protocol's path", "8080/", "8080/models/v2/", "40:15", "write what stands before /v2"},
	{"endpoint with a port that is none", "8080/", "80800/", "40:15", "write http://HOST:PORT"},
	{"endpoint of a port alone", "http://models:8080/", "http://:8080/", "40:15", "write http://HOST:PORT"},
	{"no version", "    version: \"7\"\n", "", "38:5", `add version: "1"`},
	{"version with a slash", `version: "7"`, `version: "7/8"`, "39:15", "cannot be part of a URL"},
	{"version of dots", `version: "7"`, `version: ".."`, "39:15", "cannot be part of a URL"},
	{"unknown tensors", "tensors: stacked", "tensors: stackd", "55:14", "did you mean stacked?"},
	{"stacked without a name", "    tensor_name: x\n", "", "52:5", "add tensor_name"},
	{"name without stacking", "    tensors: stacked\n", "", "55:18", "write tensors: stacked"},
}

var mistakesInInputs = []mistake{
	{"unknown view", baseInputs, inputsWith("driver_tips:trips"), "42:38", "did you mean driver_trips?"},
	{"unknown feature", baseInputs, inputsWith("driver_trips:trip"), "42:51", "did you mean trips?"},
	{"unknown feature on demand", baseInputs, inputsWith("quote:idle"), "42:44", "did you mean idle_s?"},
	{"input of no view", baseInputs, inputsWith("trips_24h"), "42:38", "not of the form view:feature"},
	{"all of a view", baseInputs, inputsWith("driver_trips"), "42:38", "not of the form view:feature"},
	{"input twice", baseInputs, inputsWith("quote:idle_s"), "42:70", "takes quote:idle_s twice"},
	{"no inputs", baseInputs, "inputs: []", "42:13", "has no inputs"},
	{"input of a source", baseInputs, inputsWith("trips:fare"), "42:38", "name a view of it"},
	{"input of request data", baseInputs, inputsWith("quote_request:pickup_km"), "42:38", "make an on-demand view"},
	{"input of a model", baseInputs, inputsWith("churn:risk"), "42:38", "do not take outputs of models"},
	{"input that is lent", baseInputs, inputsWith("driver_trips:fraud_score"), "42:38", "is the output fraud:score"},
	{"json", baseInputs, inputsWith("driver_trips:doc"), "42:38", "cast it to string"},
	{"list of any length", baseInputs, inputsWith("driver_trips:tags"), "42:38", "fix it with length"},
	{"input of another entity", baseInputs, inputsWith("item_sales:last_price"), "42:38", "whose join key item_id entity driver does not have"},
	{"request data in a cache", baseInputs, inputsWith("quote:expected_fare"), "42:38", "write cache: none"},
	{"request data in a cache, later", "    cache: none\n", "", "58:59", "quote_request.pickup_km"},
	{"list in a stack", "driver_trips:doubled,", "driver_trips:vec,", "58:37", "one column per input"},
	{"kinds in a stack", "driver_trips:doubled,", "driver_trips:rating,", "58:37", "tensor of INT64, and those before it are stacked as FP64"},
}

var mistakesInOutputs = []mistake{
	{"output twice", "{name: vector, type", "{name: score, type", "45:16", "has output score twice"},
	{"output named version", "{name: vector, type", "{name: version, type", "45:16", "stored beside the outputs"},
	{"output named as a join key", "{name: vector, type", "{name: driver_id, type", "45:16", "a join key of entity driver"},
	{"output named as a time", "{name: vector, type", "{name: event_timestamp, type", "45:16", "the time that rows carry"},
	{"output that is a word", "{name: vector, type", "{name: case, type", "45:16", "a word of the expression language"},
	{"output without a type", "{name: price, type: float32}", "{name: price}", "59:15", "type is missing"},
	{"output of json", "{name: price, type: float32}", "{name: price, type: json}", "59:35", "cast it to string"},
	{"output of any length", ", length: 8", "", "45:30", "fix it with length"},
	{"NaN of an integer", "type: float64, as:", "type: int64, as:", "44:79", "allow_nan is for floats"},
	{"no outputs", "outputs: [{name: price, type: float32}]", "outputs: []", "59:14", "outputs"},
	{"as of no view", `"driver_trips:fraud_score"`, "fraud_score", "44:42", "write as: driver_trips:score"},
	{"as of an unknown view", `"driver_trips:fraud_score"`, `"driver_tips:fraud_score"`, "44:43", "did you mean driver_trips?"},
	{"as on demand", `"driver_trips:fraud_score"`, `"quote:fraud_score"`, "44:43", "of which nothing is stored"},
	{"as in another entity", `"driver_trips:fraud_score"`, `"item_sales:fraud_score"`, "44:43", "predictions of model fraud are of driver"},
	{"as of a feature", `"driver_trips:fraud_score"`, `"driver_trips:rating"`, "44:56", "the name of a feature of the view"},
	{"as of a join key", `"driver_trips:fraud_score"`, `"driver_trips:driver_id"`, "44:56", "a join key of entity driver"},
	{"as of a field", `"driver_trips:fraud_score"`, `"driver_trips:sku"`, "44:56", "a field of source trips"},
	{"as of a time", `"driver_trips:fraud_score"`, `"driver_trips:event_timestamp"`, "44:56", "the time that rows carry"},
	{"as twice", "{name: risk, type: float64}", `{name: risk, type: float64, as: "driver_trips:fraud_score"}`, "64:91", "the name of output fraud:score"},
}

var mistakesInRefreshing = []mistake{
	{"max_age", "max_age: 1h", "max_age: 1ms", "46:14", "not between 1s and"},
	{"max_age that is none", "max_age: 1h", "max_age: soon", "46:14", "is not a duration"},
	{"timeout", "timeout: 50ms", "timeout: 2m", "61:14", "not between 1ms and 1m"},
	{"debounce too short", "debounce: 500ms", "debounce: 1ms", "49:15", "not between 10ms and 1h"},
	{"debounce without on_write", "[on_read, on_write]", "[on_read]", "49:15", "add on_write to refresh"},
	{"stale without an age", "    max_age: 1h\n", "", "47:22", "add max_age: 1h"},
	{"refresh", "[on_read, on_write]", "[on_reed, on_write]", "47:15", "did you mean on_read?"},
	{"refresh twice", "[on_read, on_write]", "[on_read, on_write, on_read]", "47:34", "written twice"},
	{"max_batch", "max_batch: 64", "max_batch: 0", "62:16", "not between 1 and 4096"},
	{"on_error", "on_error: last_value", "on_error: last", "50:15", "last_value, null, error"},
	{"fingerprint", "    cache: none\n", "    cache: none\n    fingerprint: values\n", "61:18", "is about stored predictions"},
	{"max_age without a cache", "    cache: none\n", "    cache: none\n    max_age: 1h\n", "61:14", "is about stored predictions"},
	{"on_write without a cache", "    cache: none\n", "    cache: none\n    refresh: [on_read, on_write]\n", "61:24", "stores predictions ahead"},
	{"no refresh without a cache", "    cache: none\n", "    cache: none\n    refresh: []\n", "61:14", "computed when it is read"},
	{"last value without a cache", "on_error: null", "on_error: last_value", "63:15", "write null or error"},
	{"cache", "cache: none", "cache: non", "60:12", "did you mean none?"},
}

var mistakesInServedModels = []mistake{
	{"unknown output", "[driver_trips]", `["fraud:scoer"]`, "66:35", "model fraud has no output scoer\n"},
	{"unknown output of the long form", "[driver_trips]", `[{view: fraud, features: [score, vectr]}]`, "66:60", "did you mean vector?"},
	{"name of an output in a view", "[driver_trips]", `["driver_trips:fraud_scoer"]`, "66:42", "did you mean fraud_score?"},
	{"its name in another view", "[driver_trips]", `["item_sales:fraud_score"]`, "66:40", "view item_sales has no feature fraud_score"},
	{"its own name in the view", "[driver_trips]", `["driver_trips:vector"]`, "66:42", "view driver_trips has no feature vector"},
	{"unknown model", "[driver_trips]", `["fruad:score"]`, "66:29", "did you mean fraud?"},
	{"output twice", "[driver_trips]", `[fraud, "fraud:vector"]`, "66:36", "serves fraud:vector twice"},
	{"lent name twice", "[driver_trips]", `["driver_trips:fraud_score", {view: driver_trips, features: [fraud_score]}]`, "66:56", "serves driver_trips:fraud_score twice"},
	{"key of another entity", "[driver_trips]", `[{view: fraud, keys: {item_id: sku}}]`, "66:49", "entity driver has no join key item_id"},
	{"column that is none", "[driver_trips]", `[{view: fraud, keys: {driver_id: "a b"}}]`, "66:61", "cannot be the name of a request's column"},
	{"one name under two keys", "[driver_trips]", `[fraud, {view: fraud, keys: {driver_id: other_id}}]`, "66:35", "for model fraud under different keys"},
	{"one name for two", "[driver_trips]", `[driver_trips, {view: fraud, as: driver_trips}]`, "66:42", "two views, driver_trips and fraud"},
	{"alias that is none", "[driver_trips]", `[{view: fraud, as: a-b}]`, "66:46", "cannot be a name"},
}

// What a service asks of models is kept as it is written.
func TestServicesOfModels(t *testing.T) {
	for _, c := range []struct{ entries, want string }{
		{
			`driver_trips`,
			"driver_trips:last_fare driver_trips:doubled driver_trips:trips driver_trips:doc driver_trips:tags driver_trips:vec driver_trips:rating",
		},
		{`fraud`, "fraud:score=fraud.0 fraud:vector=fraud.1"},
		{`"fraud:vector"`, "fraud:vector=fraud.1"},
		{`"driver_trips:fraud_score"`, "driver_trips:fraud_score=fraud.0"},
		{`"fraud:score", "churn:risk"`, "fraud:score=fraud.0 churn:risk=churn.0"},
		{`"quote:idle_s", price, churn`, "quote:idle_s price:price=price.0 churn:risk=churn.0"},
		{`{view: fraud, as: f, keys: {driver_id: other_id}, features: [vector]}`, "f=fraud:vector(other_id)=fraud.1"},
		{
			`{view: driver_trips, as: t, features: [rating, fraud_score]}, "fraud:score"`,
			"t=driver_trips:rating t=driver_trips:fraud_score=fraud.0 fraud:score=fraud.0",
		},
		{
			`"fraud:score", {view: fraud, as: other, keys: {driver_id: other_id}}`,
			"fraud:score=fraud.0 other=fraud:score(other_id)=fraud.0 other=fraud:vector(other_id)=fraud.1",
		},
		{
			`{view: driver_trips, keys: {driver_id: o}, features: [trips]}, {view: driver_trips, keys: {driver_id: o}, features: [fraud_score]}`,
			"driver_trips:trips(o) driver_trips:fraud_score(o)=fraud.0",
		},
	} {
		entries, want := c.entries, c.want
		p, err := load(strings.Replace(modelBase, "[driver_trips]}", "["+entries+"]}", 1))
		if err != nil {
			t.Errorf("%s: %v", entries, err)
			continue
		}
		if got := refTexts(p.Catalog, p.Catalog.Service("eta").Features); got != want {
			t.Errorf("%s\nmeans %s\nwant  %s", entries, got, want)
		}
	}
}

// refTexts writes references, each with the output that it stands for.
func refTexts(k *feature.Catalog, refs []feature.FeatureRef) string {
	texts := make([]string, len(refs))
	for i, ref := range refs {
		texts[i] = ref.View + ":" + ref.Feature
		if ref.As != "" {
			texts[i] = ref.As + "=" + texts[i]
		}
		if column := ref.Keys["driver_id"]; column != "" {
			texts[i] += "(" + column + ")"
		}
		if m, output := k.Output(ref); m != nil {
			texts[i] += fmt.Sprintf("=%s.%d", m.Name, output)
		}
	}
	return strings.Join(texts, " ")
}

func TestMistakesInModels(t *testing.T) {
	for _, c := range slices.Concat(mistakesInModels, mistakesInInputs, mistakesInOutputs, mistakesInRefreshing, mistakesInServedModels) {
		t.Run(c.name, func(t *testing.T) { c.isTold(t, modelBase) })
	}
}

// Mistakes are told at once, and only mistakes.
func TestConsequencesInModels(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     []string
	}{
		{"independent ones", "39:14 42:38 44:29 45:53 46:14 58:65 64:64", []string{
			`version: "7"`, "version: 7 8", "driver_trips:trips, driver", "driver_tips:trips, driver", "type: float64, as:", "type: flaot64, as:",
			"length: 8", "length: 0", "max_age: 1h", "max_age: 1ms", "quote:expected_fare]", "quote:expected_fair]", "name: risk, type: float64", "name: risk, type: json",
		}},
		{"two tensors of a name", "56:37", []string{
			"    tensors: stacked\n    tensor_name: x\n", "", "name: doubled", "name: last_price", "driver_trips:doubled", "driver_trips:last_price",
		}},
		{"a field of a view", "11:28", []string{"{name: fare, type: float64}", "{name: fare, type: flaot64}"}},
		{"an expression of a view", "24:31", []string{"{name: doubled, expr: last_fare", "{name: doubled, expr: last_fair"}},
		{"name of a feature", "23:10", []string{"{name: last_fare,", "{nam: last_fare,"}},
		{"name of a view", "19:5", []string{"- name: driver_trips", "- nam: driver_trips"}},
		{"all views", "18:1", []string{"\nviews:", "\nveiws:"}},
		{"all on-demand views", "31:1", []string{"on_demand_views:", "on_demand_veiws:"}},
		{"an entity's key", "3:56", []string{"{name: driver, join_keys: [{name: driver_id, type: int64}]}", "{name: driver, join_keys: [{name: driver_id, type: float}]}"}},
		{"an expression on demand", "35:37", []string{"expr: driver_trips.last_fare * pickup_km", "expr: driver_trips.last_fair * pickup_km"}},
		{"all inputs", "42:5", []string{"    inputs: [driver_trips:last", "    input: [driver_trips:last"}},
		{"endpoint", "40:5", []string{"endpoint: http://models:", "endpiont: http://models:"}},
		{"what refreshes", "47:5", []string{"    refresh:", "    refersh:"}},
		{"all models, and their names in services", "37:1", []string{"\nmodels:", "\nmodles:", "[driver_trips]}", `[fraud, "driver_trips:fraud_score"]}`}},
		{"a model's name", "38:5", []string{"- name: fraud\n", "- nam: fraud\n", "[driver_trips]}", `["fraud:score", "driver_trips:fraud_score"]}`}},
		{"an output's name", "44:10", []string{"{name: score", "{nam: score", "[driver_trips]}", `["fraud:score", "driver_trips:fraud_score"]}`}},
		{"an output's name in a view", "44:43", []string{`as: "driver_trips:`, `as: "driver_tips:`, "[driver_trips]}", `["fraud:score", "driver_trips:fraud_score"]}`}},
		{"the key of it", "44:38", []string{`as: "driver_trips:`, `sa: "driver_trips:`, "[driver_trips]}", `["fraud:score", "driver_trips:fraud_score"]}`}},
		{"all outputs", "43:5", []string{"    outputs:\n      - {name: score", "    output:\n      - {name: score", "[driver_trips]}", `["fraud:score", "driver_trips:fraud_score"]}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.NewReplacer(c.change...).Replace(modelBase)
			if got := places(t, text); got != c.want {
				_, err := load(text)
				t.Errorf("mistakes at %s, want %s\n%v", got, c.want, err)
			}
		})
	}
}
