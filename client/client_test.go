package client_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"millrace/client"
)

const noRows = `{"features":[],"rows":[]}`

// TestConnectionsAreKept: calls one after another use one connection, those
// that are refused too, and connections of callers at a time are used again.
func TestConnectionsAreKept(t *testing.T) {
	var made atomic.Int64
	var n atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":{"code":"invalid_request","message":"no"}}`)
			return
		}
		_, _ = io.WriteString(w, noRows)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			made.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c, err := client.New(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	look := func() {
		_, _ = c.Lookup(t.Context(), client.LookupRequest{Service: "s", Entities: client.Rows{{}}})
	}
	for range 50 {
		look()
	}
	if made.Load() != 1 {
		t.Errorf("50 calls one after another made %d connections", made.Load())
	}
	const callers = 16
	for range 20 {
		var all sync.WaitGroup
		for range callers {
			all.Go(look)
		}
		all.Wait()
	}
	// Some are made while another becomes free; were they not kept, there would
	// be some three hundred.
	if made.Load() > 4*callers {
		t.Errorf("%d callers at a time made %d connections", callers, made.Load())
	}
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{"", "localhost:6566", "ftp://host", "http://", "http://host?x=1", "http://host#x", "http://ho st", ":"} {
		if _, err := client.New(bad); err == nil || !strings.Contains(err.Error(), "make a client") {
			t.Errorf("%q is an address: %v", bad, err)
		}
	}
	var path string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.Path
		_, _ = io.WriteString(w, noRows)
	}))
	defer srv.Close()
	for suffix, want := range map[string]string{"": "/v1/lookup", "/": "/v1/lookup", "/behind/proxy/": "/behind/proxy/v1/lookup"} {
		c, err := client.New(srv.URL + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Lookup(t.Context(), client.LookupRequest{Service: "s", Entities: client.Rows{{}}}); err != nil || path != want {
			t.Errorf("address %q called %s: %v", suffix, path, err)
		}
		c.Close()
		c.Close()
	}
}

func TestHeadersOfEveryRequest(t *testing.T) {
	var got http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		_, _ = io.WriteString(w, noRows)
	}))
	defer srv.Close()
	c, err := client.New(srv.URL, client.WithHeader("Authorization", "Bearer t"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Lookup(context.Background(), client.LookupRequest{Service: "s", Entities: client.Rows{{}}}); err != nil {
		t.Fatal(err)
	}
	if got.Get("Authorization") != "Bearer t" {
		t.Errorf("the request had %v", got)
	}
}
