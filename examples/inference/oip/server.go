package oip

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
)

// Model is what a server serves.
type Model struct {
	Name, Version   string
	Inputs, Outputs []Declared
	// Infer computes the outputs of rows. in has all declared inputs, of their
	// datatypes; a *TensorError is the caller's fault. It may be called concurrently.
	Infer func(r *http.Request, in map[string]Tensor) ([]Tensor, error)
}

// maxBody bounds a request.
const maxBody = 4 << 20

// Handler serves models: health, metadata and inference.
func Handler(models ...Model) http.Handler {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, struct{}{}) }
	mux.HandleFunc("GET /v2", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"name": "examples", "version": "1", "extensions": []string{}})
	})
	mux.HandleFunc("GET /v2/health/live", ok)
	mux.HandleFunc("GET /v2/health/ready", ok)
	for _, m := range models {
		for _, path := range []string{"/v2/models/" + m.Name, "/v2/models/" + m.Name + "/versions/" + m.Version} {
			mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, m.metadata()) })
			mux.HandleFunc("GET "+path+"/ready", ok)
			mux.HandleFunc("POST "+path+"/infer", m.serve)
		}
	}
	return mux
}

func (m *Model) metadata() any {
	return map[string]any{
		"name": m.Name, "versions": []string{m.Version}, "platform": "example", "inputs": m.Inputs, "outputs": m.Outputs,
	}
}

// request is the body of an inference.
type request struct {
	ID     string   `json:"id,omitempty"`
	Inputs []Tensor `json:"inputs"`
}

// response is the body of its answer.
type response struct {
	ID      string   `json:"id,omitempty"`
	Model   string   `json:"model_name"`
	Version string   `json:"model_version"`
	Outputs []Tensor `json:"outputs"`
}

// failure is the body of an error.
type failure struct {
	Error string `json:"error"`
}

func (m *Model) serve(w http.ResponseWriter, r *http.Request) {
	var body request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&body); err != nil {
		answer(w, http.StatusBadRequest, failure{"the body is no inference request: " + err.Error()})
		return
	}
	in, err := m.inputs(body.Inputs)
	var outputs []Tensor
	if err == nil {
		outputs, err = m.Infer(r, in)
	}
	_, theirs := errors.AsType[*TensorError](err)
	switch {
	case theirs:
		answer(w, http.StatusBadRequest, failure{err.Error()})
	case err != nil:
		answer(w, http.StatusInternalServerError, failure{err.Error()})
	default:
		answer(w, http.StatusOK, response{ID: body.ID, Model: m.Name, Version: m.Version, Outputs: outputs})
	}
}

// inputs checks that the declared tensors are there, with as many rows each.
func (m *Model) inputs(given []Tensor) (map[string]Tensor, error) {
	in, rows := make(map[string]Tensor), -1
	for _, d := range m.Inputs {
		i := slices.IndexFunc(given, func(t Tensor) bool { return t.Name == d.Name })
		if i < 0 {
			return nil, tensorError("input %s is missing", d.Name)
		}
		t := given[i]
		n, err := t.rows()
		switch {
		case err != nil:
			return nil, err
		case t.Datatype != d.Datatype:
			return nil, tensorError("input %s is %s, want %s", d.Name, t.Datatype, d.Datatype)
		case rows >= 0 && n != rows:
			return nil, tensorError("input %s has %d rows, and another one %d", d.Name, n, rows)
		}
		in[d.Name], rows = t, n
	}
	return in, nil
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // no body of ours fails
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the caller has gone
}
