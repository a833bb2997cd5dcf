package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"millrace/feature"
	"millrace/sinks"
)

// metaRequest and metaAnswer are the bodies of the /v1/meta calls.
type metaRequest struct {
	Table string `json:"table"`
	ID    string `json:"id,omitempty"`
	Old   []byte `json:"old,omitempty"`
	Value []byte `json:"value,omitempty"`
	IsNew bool   `json:"is_new,omitempty"` // old is "no entry"
	Drop  bool   `json:"drop,omitempty"`   // value is "delete"
}

type metaAnswer struct {
	Value   []byte            `json:"value,omitempty"`
	Swapped bool              `json:"swapped,omitempty"`
	Entries []sinks.MetaEntry `json:"entries,omitempty"`
}

const maxMetaBytes = 64 << 20

// Store is what a running process lets commands reach.
type Store interface {
	sinks.Meta
	sinks.Sink
	sinks.DeadLetter
	sinks.LetterReader
	sinks.LetterKeeper
	sinks.TileSink
	sinks.TileLoader
	sinks.KeyScanner
}

// Handle adds the store's routes to mux. They carry no authentication, so the
// listener behind mux must be this machine's only.
func Handle(mux *http.ServeMux, store Store) {
	meta, letters := store, store
	handleStore(mux, store)
	handleKeys(mux, store)
	mux.HandleFunc("POST /v1/meta/{verb}", func(w http.ResponseWriter, r *http.Request) { serveMeta(w, r, meta) })
	mux.HandleFunc("GET /v1/deadletters", func(w http.ResponseWriter, r *http.Request) { serveLetters(w, r, letters) })
}

func serveMeta(w http.ResponseWriter, r *http.Request, meta sinks.Meta) {
	var q metaRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxMetaBytes)).Decode(&q); err != nil {
		http.Error(w, "decode request: "+err.Error(), http.StatusBadRequest)
		return
	}
	var a metaAnswer
	var err error
	switch t := sinks.MetaTable(q.Table); r.PathValue("verb") {
	case "get":
		a.Value, err = meta.Get(r.Context(), t, q.ID)
	case "list":
		a.Entries, err = meta.List(r.Context(), t)
	case "swap":
		a.Swapped, err = meta.Swap(r.Context(), t, q.ID, present(q.Old, !q.IsNew), present(q.Value, !q.Drop))
	default:
		http.Error(w, "no such call", http.StatusNotFound)
		return
	}
	switch {
	case errors.Is(err, sinks.ErrNoEntry):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		writeJSON(w, a)
	}
}

// present tells empty from absent, which JSON does not.
func present(b []byte, is bool) []byte {
	if !is {
		return nil
	}
	if b == nil {
		return []byte{}
	}
	return b
}

func serveLetters(w http.ResponseWriter, r *http.Request, letters sinks.LetterReader) {
	f, err := parseFilter(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	err = letters.EachLetter(r.Context(), f, func(l *sinks.Letter) bool { return encoder.Encode(l) == nil })
	if err != nil {
		// The status line is gone; a cut stream tells the client.
		panic(http.ErrAbortHandler)
	}
}

func parseFilter(r *http.Request) (sinks.LetterFilter, error) {
	q := r.URL.Query()
	f := sinks.LetterFilter{Source: q.Get("source"), View: q.Get("view"), Reason: feature.Reason(q.Get("reason"))}
	if s := q.Get("after"); s != "" {
		f.After = new(sinks.LetterID)
		if err := json.Unmarshal([]byte(s), f.After); err != nil {
			return f, fmt.Errorf("after: %w", err)
		}
	}
	var err, err2 error
	if s := q.Get("limit"); s != "" {
		f.Limit, err = strconv.Atoi(s)
	}
	if s := q.Get("since"); s != "" {
		f.SinceMillis, err2 = strconv.ParseInt(s, 10, 64)
	}
	return f, errors.Join(err, err2)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(http.ErrAbortHandler) // the caller went away in mid-answer
	}
}
