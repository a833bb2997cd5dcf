package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"millrace/client"
)

// answering starts a server that answers every request as documented in
// docs/api.md.
func answering(status int, body string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
}

// Features of two drivers, by the name of a service.
func ExampleClient_Lookup() {
	srv := answering(http.StatusOK, `{"features": ["driver_trips:last_fare", "driver_trips:tier"], "rows": [
		{"entity": {"driver_id": 1001}, "values": [12.5, "GOLD"], "status": ["PRESENT", "PRESENT"]},
		{"entity": {"driver_id": 1002}, "values": [null, "NONE"], "status": ["NOT_FOUND", "NOT_FOUND"]}]}`)
	defer srv.Close()
	c, err := client.New(srv.URL) // http://127.0.0.1:6566
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
	defer cancel()
	answer, err := c.Lookup(ctx, client.LookupRequest{
		Service:  "eta_v1",
		Entities: client.Rows{{"driver_id": 1001}, {"driver_id": 1002}},
		Context:  map[string]any{"pickup_km": 3.2},
		Include:  []client.Include{client.IncludeStatus},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range answer.Rows {
		row := &answer.Rows[i]
		tier, err := row.Get("driver_trips:tier").Text()
		if err != nil {
			fmt.Println(err)
			return
		}
		fare, err := row.Get("driver_trips:last_fare").Float64()
		if errors.Is(err, client.ErrNull) {
			fmt.Println("driver", row.Key("driver_id"), tier, "no fare:", row.Get("driver_trips:last_fare").Status)
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("driver", row.Key("driver_id"), tier, fare)
	}
	// Output:
	// driver 1001 GOLD 12.5
	// driver 1002 NONE no fare: NOT_FOUND
}

// A refusal says what is wrong, where, and what was probably meant.
func ExampleError() {
	srv := answering(http.StatusNotFound, `{"error": {"code": "unknown_feature", "message": "view driver_trips has no feature last_fair",
		"details": [{"field": "features[0]", "message": "unknown feature", "suggestion": "driver_trips:last_fare"}]}}`)
	defer srv.Close()
	c, err := client.New(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	_, err = c.Lookup(context.Background(), client.LookupRequest{
		Features: []string{"driver_trips:last_fair"}, Entities: client.Rows{{"driver_id": 1001}},
	})
	var refusal *client.Error
	if errors.As(err, &refusal) && refusal.Code == client.CodeUnknownFeature {
		fmt.Println(refusal.Message)
		fmt.Println(refusal.Details[0].Field, "is probably", refusal.Details[0].Suggestion)
	}
	// Output:
	// view driver_trips has no feature last_fair
	// features[0] is probably driver_trips:last_fare
}
