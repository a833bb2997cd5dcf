package oip_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"millrace/examples/inference/fraud"
	"millrace/examples/inference/oip"
)

func serve(t *testing.T, models ...oip.Model) string {
	t.Helper()
	s := httptest.NewServer(oip.Handler(models...))
	t.Cleanup(s.Close)
	return s.URL
}

func TestInfer(t *testing.T) {
	server := serve(t, fraud.Model())
	amounts, err1 := oip.Column(fraud.LastAmount, "FP64", []float64{250, 0})
	orders, err2 := oip.Column(fraud.Orders, "INT64", []int64{1, 1 << 60})
	outputs, err := oip.Infer(t.Context(), server, fraud.Name, fraud.Version, amounts, orders)
	if err := errors.Join(err, err1, err2); err != nil {
		t.Fatal(err)
	}
	scores, err := oip.Values[float64](outputs[fraud.Output])
	if err != nil || len(scores) != 2 || scores[0] != 0.5 || scores[1] != 1 {
		t.Errorf("scores %v, %v", scores, err)
	}
	_, err = oip.Infer(t.Context(), server, fraud.Name, fraud.Version, amounts)
	if err == nil || !strings.Contains(err.Error(), "model fraud answered 400 Bad Request: input orders_24h is missing") {
		t.Errorf("without an input: %v", err)
	}
	if _, err = oip.Infer(t.Context(), server, fraud.Name, "2", amounts, orders); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("another version: %v", err)
	}
	if _, err = oip.Infer(t.Context(), "http://127.0.0.1:1", fraud.Name, "1", amounts); err == nil || !strings.Contains(err.Error(), "is the model server running there?") {
		t.Errorf("no server: %v", err)
	}
}

func TestRequests(t *testing.T) {
	server := serve(t, fraud.Model())
	const (
		orders = `, {"name": "orders_24h", "datatype": "INT64", "shape": [2], "data": [1, 2]}`
		scores = `{"id":"a","model_name":"fraud","model_version":"1","outputs":[{"name":"score","shape":[2,1],"datatype":"FP64","data":[0.5,0.5]}]}`
	)
	for amounts, want := range map[string]string{
		`"FP64", "shape": [2, 1], "data": [250, 200]`:     scores,
		`"FP64", "shape": [2, 1], "data": [[250], [200]]`: scores,
		`"FP32", "shape": [2, 1], "data": [250, 200]`:     `{"error":"input last_amount is FP32, want FP64"}`,
		`"FP64", "shape": [1, 1], "data": [250]`:          `{"error":"input orders_24h has 2 rows, and another one 1"}`,
		`"FP64", "shape": [2, 2], "data": [1, 2, 3, 4]`:   `{"error":"tensor last_amount has the shape [2 2], want [n, 1]"}`,
		`"FP64", "shape": [2, 1], "data": [1]`:            `{"error":"tensor last_amount has 1 values and the shape [2 1]; want one per row"}`,
		`"FP64", "shape": [2, 1], "data": ["a", "b"]`:     `{"error":"tensor last_amount: json: cannot unmarshal string`,
		`"FP64", "shape": [2`:                             `{"error":"the body is no inference request`,
	} {
		body := `{"id": "a", "inputs": [{"name": "last_amount", "datatype": ` + amounts + "}" + orders + `]}`
		resp, err := http.Post(server+"/v2/models/fraud/infer", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.HasPrefix(string(got), want) || (resp.StatusCode == http.StatusBadRequest) != strings.HasPrefix(want, `{"error"`) {
			t.Errorf("%s\nis answered %s\nwant %s", body, got, want)
		}
	}
}

func TestMetadata(t *testing.T) {
	server := serve(t, fraud.Model())
	for path, want := range map[string]string{
		"/v2/health/live": "{}", "/v2/health/ready": "{}", "/v2/models/fraud/versions/1/ready": "{}",
		"/v2":              `"extensions":[]`,
		"/v2/models/fraud": `"inputs":[{"name":"last_amount","datatype":"FP64","shape":[-1,1]},{"name":"orders_24h","datatype":"INT64","shape":[-1,1]}]`,
		"/v2/models/froud": "404",
	} {
		resp, err := http.Get(server + path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s is answered %s, %v", path, got, err)
		}
	}
}
