package predicttest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Declared is a tensor of a model's metadata.
type Declared struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
}

// Model is what a server serves.
type Model struct {
	Name, Version   string
	Inputs, Outputs []Declared // of its metadata; may be empty
	// Infer computes the outputs of some rows. It may be called concurrently. An
	// error is answered as status 500 in plain text, as MLServer does, or as the
	// StatusError says.
	Infer func(in map[string]Tensor, rows int) ([]Tensor, error)
}

// StatusError is an error of Infer that is answered with this HTTP status.
type StatusError int

// Error is the status' text.
func (s StatusError) Error() string { return http.StatusText(int(s)) }

// Behaviour is how a call of a model ends. The zero value answers.
type Behaviour struct {
	Delay    time.Duration         // before anything else; the end of the request ends it
	Hang     <-chan struct{}       // waits until it is closed, or the request ends
	Status   int                   // another status than 200
	Text     string                // a body instead of the answer
	Location string                // with Status: where a redirect points
	Cut      int                   // the connection breaks after so many bytes of the body, which claims to be longer
	Drop     bool                  // the connection breaks before an answer
	Chunked  bool                  // the answer does not say how long it is
	Change   func(answer *Answer)  // makes an answer wrong
	Rewrite  func(b []byte) []byte // makes its bytes wrong
}

// Call is a call of a model that the server has seen.
type Call struct {
	Model, Version string
	Binary         bool
	Rows           int
	Inputs         map[string]Tensor
	Outputs        []string // that were asked for
}

// Server serves models. It is an http.Handler, safe for concurrent use.
type Server struct {
	Binary bool // it speaks the binary tensor extension, and says so; others refuse it with 400
	Silent bool // it says nothing of itself and its models

	models map[string]Model

	mu struct {
		sync.Mutex

		script func(call int) Behaviour
		calls  []Call
		began  int
		dead   bool
	}
}

// New returns a server of models, which answers.
func New(models ...Model) *Server {
	s := &Server{models: make(map[string]Model)}
	for _, m := range models {
		s.models[m.Name] = m
	}
	return s
}

// Behave makes all calls from now on end like b.
func (s *Server) Behave(b Behaviour) { s.Script(func(int) Behaviour { return b }) }

// Script makes calls end as f says, which is told how many calls there were
// before, since the server was made.
func (s *Server) Script(f func(call int) Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.script = f
}

// Kill makes the server refuse connections (in memory) or drop them (on a real
// one), until Revive.
func (s *Server) Kill() { s.setDead(true) }

// Revive makes a server that was killed answer again.
func (s *Server) Revive() { s.setDead(false) }

func (s *Server) setDead(dead bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.dead = dead
}

func (s *Server) isDead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.dead
}

// Calls returns the well-formed calls of models so far, in the order in which
// they were read, whatever became of them.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mu.calls)
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.isDead() {
		hangUp(w)
		return
	}
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case s.Silent && r.Method == http.MethodGet, len(path) == 0 || path[0] != "v2":
		say(w, http.StatusNotFound, "Not Found")
	case len(path) == 1:
		s.metadata(w)
	case path[1] == "health":
		w.WriteHeader(http.StatusOK)
	case path[1] == "models" && len(path) > 2:
		s.model(w, r, path[2:])
	default:
		say(w, http.StatusNotFound, "Not Found")
	}
}

func (s *Server) metadata(w http.ResponseWriter) {
	extensions := []string{}
	if s.Binary {
		extensions = append(extensions, "binary_tensor_data")
	}
	document(w, http.StatusOK, map[string]any{"name": "predicttest", "version": "1", "extensions": extensions})
}

// model answers below /v2/models: NAME, versions/VERSION, ready or infer.
func (s *Server) model(w http.ResponseWriter, r *http.Request, path []string) {
	m, known := s.models[path[0]]
	path = path[1:]
	if known && len(path) > 1 && path[0] == "versions" {
		known = path[1] == m.Version
		path = path[2:]
	}
	switch {
	case !known:
		document(w, http.StatusNotFound, map[string]string{"error": "Model not found"})
	case len(path) == 0:
		document(w, http.StatusOK, map[string]any{
			"name": m.Name, "versions": []string{m.Version}, "platform": "test", "inputs": m.Inputs, "outputs": m.Outputs,
		})
	case path[0] == "ready":
		w.WriteHeader(http.StatusOK)
	case path[0] == "infer" && r.Method == http.MethodPost:
		s.infer(w, r, m)
	default:
		say(w, http.StatusMethodNotAllowed, "Method Not Allowed")
	}
}

func (s *Server) infer(w http.ResponseWriter, r *http.Request, m Model) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	b := s.next()
	call, err := readCall(r.Header, body)
	if err == nil && call.Binary && !s.Binary {
		err = errors.New("this is no JSON")
	}
	if err != nil {
		document(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	call.Model, call.Version = m.Name, m.Version
	s.mu.Lock()
	s.mu.calls = append(s.mu.calls, call)
	s.mu.Unlock()
	if !wait(r.Context(), b) {
		return
	}
	switch {
	case b.Drop:
		hangUp(w)
	case b.Location != "":
		w.Header().Set("Location", b.Location)
		w.WriteHeader(b.Status)
	case b.Status != 0:
		say(w, b.Status, b.Text)
	default:
		s.answer(w, m, call, b)
	}
}

func (s *Server) next() Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.mu.began
	s.mu.began++
	if s.mu.script == nil {
		return Behaviour{}
	}
	return s.mu.script(n)
}

// wait reports whether the request is still there after what b waits for.
func wait(ctx context.Context, b Behaviour) bool {
	if b.Hang != nil {
		select {
		case <-b.Hang:
		case <-ctx.Done():
			return false
		}
	}
	if b.Delay > 0 {
		timer := time.NewTimer(b.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// answer infers and writes.
func (s *Server) answer(w http.ResponseWriter, m Model, call Call, b Behaviour) {
	outputs, err := m.Infer(call.Inputs, call.Rows)
	if err != nil {
		status := http.StatusInternalServerError
		if s, is := errors.AsType[StatusError](err); is {
			status = int(s)
		}
		say(w, status, http.StatusText(status))
		return
	}
	a := Answer{ModelName: m.Name, ModelVersion: m.Version, Outputs: outputs}
	if b.Change != nil {
		b.Change(&a)
	}
	text, header := a.write(call.Binary && s.Binary)
	if b.Rewrite != nil {
		text = b.Rewrite(text)
	}
	if b.Text != "" {
		text = []byte(b.Text)
	}
	w.Header().Set("Content-Type", "application/json")
	if call.Binary && s.Binary {
		w.Header().Set("Inference-Header-Content-Length", strconv.Itoa(header))
	}
	if !b.Chunked {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	}
	if b.Cut > 0 {
		text = text[:min(b.Cut, len(text))]
	}
	_, err = w.Write(text)
	if b.Cut > 0 && err == nil {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // the server sends what there is and closes
	}
}

// hangUp breaks the connection before an answer.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func document(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // a mistake of this package
	}
	_, _ = w.Write(text)
}
