package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/serving"
	"millrace/sinks"
)

func TestKeysAreTheStores(t *testing.T) {
	store, c := pair(t)
	const n = maxPageKeys + 3500 // of more than one answer
	rows := make([]sinks.Row, n)
	for i := range rows {
		rows[i] = sinks.Row{Entity: "e", Key: fmt.Sprintf("%06d|鍵", i), View: "v@1", Value: []byte("value")}
	}
	if err := store.Write(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	var keys []string
	var cursors []sinks.KeyCursor
	collect := func(p *sinks.KeyPage) error {
		keys, cursors = append(keys, p.Keys...), append(cursors, p.Next)
		return nil
	}
	if err := c.EachKey(t.Context(), "e", "", collect); err != nil || len(keys) != n || !slices.IsSorted(keys) {
		t.Fatalf("%d keys, %v, want %d", len(keys), err, n)
	}
	keys = nil
	if err := c.EachKey(t.Context(), "e", cursors[2], collect); err != nil || len(keys) != n-3000 {
		t.Errorf("from the third cursor on: %d keys, %v, want %d", len(keys), err, n-3000)
	}
	stop := errors.New("enough")
	if err := c.EachKey(t.Context(), "e", "", func(*sinks.KeyPage) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a caller that stops: %v", err)
	}
	if err := c.EachKey(t.Context(), "e", "x", collect); !errors.Is(err, sinks.ErrKeyCursor) {
		t.Errorf("another store's cursor: %v", err)
	}
	store.Fail(func(string) error { return errors.New("down") })
	if err := c.EachKey(t.Context(), "e", "", collect); err == nil || !strings.Contains(err.Error(), "down") {
		t.Errorf("a store that fails: %v", err)
	}
}

// refresher ends each key as its text says.
type refresher struct {
	err   error
	takes time.Duration
}

func (r refresher) Refresh(ctx context.Context, model string, keys []string, by string, dst []serving.RefreshEnd) ([]serving.RefreshEnd, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(r.takes):
	}
	for _, k := range keys {
		for end := range serving.RefreshEnd(serving.Refreshes) {
			if model == "fraud" && by == "refresh" && end.String() == k {
				dst = append(dst, end)
			}
		}
	}
	return dst, r.err
}

func TestRefreshIsTheProcesss(t *testing.T) {
	mux := http.NewServeMux()
	r := &refresher{}
	HandleRefresh(mux, r)
	server := httptest.NewServer(mux)
	defer server.Close()
	c := NewClient(strings.TrimPrefix(server.URL, "http://"))
	got, err := c.Refresh(t.Context(), "fraud", []string{"refused", "fresh", "failed", "stored"}, "refresh", nil)
	want := []serving.RefreshEnd{serving.RefreshRefused, serving.RefreshFresh, serving.RefreshFailed, serving.RefreshStored}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	c.http.Timeout, r.takes = 20*time.Millisecond, 100*time.Millisecond // a model may take longer than other requests
	if got, err = c.Refresh(t.Context(), "fraud", []string{"stored"}, "refresh", nil); err != nil || !slices.Equal(got, want[3:]) {
		t.Errorf("a slow model: %v, %v", got, err)
	}
	r.err = errors.New("no such model")
	if _, err := c.Refresh(t.Context(), "fraud", nil, "refresh", nil); err == nil || !strings.Contains(err.Error(), "no such model") {
		t.Errorf("a refresh that fails: %v", err)
	}
}
