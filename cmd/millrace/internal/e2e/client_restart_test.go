//go:build !real

package e2e_test

import (
	"context"
	"testing"
	"time"

	"millrace/client"
)

// TestClientOutlivesTheServer: a bulk push whose server is killed in the middle
// of it goes on when there is one again, and every row is there.
func TestClientOutlivesTheServer(t *testing.T) {
	s := newStack(t, "client_restart")
	s.write(clientDefinitions)
	p := s.up(1)
	c, err := client.New("http://"+s.http, client.WithRetry(client.Retry{Attempts: 100, Most: 200 * time.Millisecond}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n, killAt = 20_000, 4000
	kill, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		<-kill
		_ = p.cmd.Process.Kill()
		<-p.done
		s.start(s.admin, p.cmd.Args[1:]...)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	now := time.Now()
	got, err := c.PushAll(ctx, client.BulkRequest{Source: "given", Idempotent: true}, func(yield func(any, error) bool) {
		for i := range n {
			if i == killAt {
				close(kill)
			}
			if !yield(map[string]any{"driver_id": i, "i": i, "event_timestamp": now}, nil) {
				return
			}
		}
	})
	<-ended
	if err != nil || got.NextRow != n || got.Stored+got.Uncounted != n {
		t.Fatalf("%+v, %v", got, err)
	}
	for first := 0; first < n; first += 1000 {
		ids := make([]int, 1000)
		for i := range ids {
			ids[i] = first + i
		}
		a, err := c.Lookup(ctx, client.LookupRequest{Features: []string{"facts:i"}, Columns: client.Columns{"driver_id": ids}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range a.Rows {
			if v, err := a.Rows[i].Values[0].Int64(); err != nil || v != int64(first+i) {
				t.Fatalf("row %d is %d, %v", first+i, v, err)
			}
		}
	}
}
