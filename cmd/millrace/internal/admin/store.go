package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"millrace/sinks"
)

// The part of the store that a replay needs: one call per method, its argument
// as JSON.

// maxStoreBytes bounds a request; letters and rows of a replay's batch fit.
const maxStoreBytes = 64 << 20

func handleStore(mux *http.ServeMux, store Store) {
	handle(mux, "POST /v1/store/write", store.Write)
	handle(mux, "POST /v1/store/sync", func(ctx context.Context, _ struct{}) error { return store.Sync(ctx) })
	handle(mux, "POST /v1/store/tiles", store.WriteTiles)
	handle(mux, "POST /v1/store/put", store.Put)
	handle(mux, "POST /v1/store/mark", store.MarkLetters)
	handle(mux, "POST /v1/store/drop", store.DropLetters)
	mux.HandleFunc("POST /v1/store/states", func(w http.ResponseWriter, r *http.Request) {
		var ids []sinks.TileID
		if !readBody(w, r, &ids) {
			return
		}
		var set sinks.TileSet
		if err := store.ReadTiles(r.Context(), ids, &set); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		writeJSON(w, set.States)
	})
	mux.HandleFunc("POST /v1/store/letters", func(w http.ResponseWriter, r *http.Request) {
		var ids []sinks.LetterID
		if !readBody(w, r, &ids) {
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		encoder := json.NewEncoder(w)
		if err := store.GetLetters(r.Context(), ids, func(l *sinks.Letter) bool { return encoder.Encode(l) == nil }); err != nil {
			panic(http.ErrAbortHandler) // the status line is gone; a cut stream tells the client
		}
	})
}

func handle[T any](mux *http.ServeMux, pattern string, do func(context.Context, T) error) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var in T
		if !readBody(w, r, &in) {
			return
		}
		if err := do(r.Context(), in); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		writeJSON(w, struct{}{})
	})
}

func readBody(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxStoreBytes)).Decode(into); err != nil {
		http.Error(w, "decode request: "+err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

// Write implements sinks.Sink.
func (c *Client) Write(ctx context.Context, rows []sinks.Row) error {
	return c.send(ctx, "write", rows)
}

// maxTilesBytes bounds the states of one request, with room for their text.
const maxTilesBytes = 16 << 20

// WriteTiles implements sinks.TileSink.
func (c *Client) WriteTiles(ctx context.Context, tiles []sinks.Tile) error {
	first, bytes := 0, 0
	for i := range tiles {
		size := len(tiles[i].State) + len(tiles[i].Key)
		if bytes += size; bytes > maxTilesBytes && i > first {
			if err := c.send(ctx, "tiles", tiles[first:i]); err != nil {
				return err
			}
			first, bytes = i, size
		}
	}
	return c.send(ctx, "tiles", tiles[first:])
}

// ReadTiles implements sinks.TileLoader.
func (c *Client) ReadTiles(ctx context.Context, ids []sinks.TileID, dst *sinks.TileSet) error {
	resp, err := c.post(ctx, "/v1/store/states", ids)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written to it
	var states [][]byte
	if err := json.NewDecoder(resp.Body).Decode(&states); err != nil {
		return fmt.Errorf("read tiles from the running process: %w", err)
	}
	if len(states) != len(ids) {
		return fmt.Errorf("read tiles from the running process: asked for %d, it sent %d", len(ids), len(states))
	}
	dst.Reset(len(ids))
	for i, state := range states {
		if state != nil {
			dst.Put(i, state)
		}
	}
	return nil
}

// Sync implements sinks.Sink.
func (c *Client) Sync(ctx context.Context) error { return c.send(ctx, "sync", struct{}{}) }

// Put implements sinks.DeadLetter.
func (c *Client) Put(ctx context.Context, letters []sinks.Letter) error {
	return c.send(ctx, "put", letters)
}

// MarkLetters implements sinks.LetterKeeper.
func (c *Client) MarkLetters(ctx context.Context, marks []sinks.LetterMark) error {
	return c.send(ctx, "mark", marks)
}

// DropLetters implements sinks.LetterKeeper.
func (c *Client) DropLetters(ctx context.Context, ids []sinks.LetterID) error {
	return c.send(ctx, "drop", ids)
}

// GetLetters implements sinks.LetterKeeper.
func (c *Client) GetLetters(ctx context.Context, ids []sinks.LetterID, fn func(*sinks.Letter) bool) error {
	resp, err := c.post(ctx, "/v1/store/letters", ids)
	if err != nil {
		return err
	}
	return readLetters(resp, fn)
}

func (c *Client) send(ctx context.Context, verb string, body any) error {
	resp, err := c.post(ctx, "/v1/store/"+verb, body)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return fmt.Errorf("read the running process's answer: %w", err)
	}
	return nil
}

func (c *Client) post(ctx context.Context, path string, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return c.do(ctx, http.MethodPost, path, text)
}
