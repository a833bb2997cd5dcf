package predict_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"millrace/feature"
	"millrace/serving/predict"
)

const benchRows, benchInputs = 64, 6

func benchServer(b *testing.B) string {
	b.Helper()
	var out bytes.Buffer
	out.WriteString(`{"model_name":"sum","model_version":"7","outputs":[{"name":"score","shape":[64,1],"datatype":"FP64","data":[`)
	for i := range benchRows {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, "%v", 0.7431926051*float64(i+1))
	}
	out.WriteString("]}]}")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(out.Bytes())
	}))
	b.Cleanup(s.Close)
	return s.URL
}

func benchValue(input, row int) float64 { return 0.31926051 * float64(row*benchInputs+input+1) }

// BenchmarkPredict is 64 rows of 6 floats, over a real connection: with the
// client, and by hand with net/http and encoding/json.
func BenchmarkPredict(b *testing.B) {
	b.Run("client", func(b *testing.B) {
		m := sum()
		m.Endpoint, m.Inputs = benchServer(b), nil
		q := &predict.Request{Rows: benchRows}
		for i := range benchInputs {
			m.Inputs = append(m.Inputs, port(fmt.Sprint("input", i), feature.KindFloat64))
			c := column(m.Inputs[i])
			for row := range benchRows {
				appendValue(c, benchValue(i, row))
			}
			q.Inputs = append(q.Inputs, c)
		}
		for row := range benchRows {
			q.Keys = append(q.Keys, predict.Key{Entity: fmt.Sprint("driver", row), Fingerprint: fmt.Sprint("print", row)})
		}
		c, err := predict.New(m, predict.Settings{Window: -1, Reuse: -1})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		var r predict.Result
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Predict(b.Context(), q, &r); err != nil || r.Faults[0] != nil {
				b.Fatal(err, r.Faults[0])
			}
		}
	})
	b.Run("by hand", func(b *testing.B) {
		url := benchServer(b) + "/v2/models/sum/versions/7/infer"
		b.ReportAllocs()
		for b.Loop() {
			if scores, err := byHand(url); err != nil || len(scores) != benchRows {
				b.Fatal(err)
			}
		}
	})
}

type handTensor struct {
	Name     string    `json:"name"`
	Shape    []int     `json:"shape"`
	Datatype string    `json:"datatype"`
	Data     []float64 `json:"data"`
}

func byHand(url string) ([]float64, error) {
	var q struct {
		Inputs []handTensor `json:"inputs"`
	}
	for i := range benchInputs {
		t := handTensor{Name: fmt.Sprint("input", i), Shape: []int{benchRows, 1}, Datatype: "FP64"}
		for row := range benchRows {
			t.Data = append(t.Data, benchValue(i, row))
		}
		q.Inputs = append(q.Inputs, t)
	}
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	response, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var a struct {
		Outputs []handTensor `json:"outputs"`
	}
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
		return nil, err
	}
	return a.Outputs[0].Data, nil
}
