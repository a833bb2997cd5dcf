package client_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"millrace/client"
)

// A row that is readable by everyone when Push returns.
func ExampleClient_Push() {
	srv := answering(http.StatusOK, `{"stored": 1, "filtered": 0, "rejected": 0, "views": {"driver_profile": {"stored": 1, "filtered": 0, "rejected": 0}}, "errors": []}`)
	defer srv.Close()
	c, err := client.New(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	pushed, err := c.Push(ctx, client.PushRequest{
		Source: "driver_profile_push",
		Rows:   client.Rows{{"driver_id": 1001, "rating": 4.75}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(pushed.Stored, "stored, of view driver_profile", pushed.Views["driver_profile"].Stored)
	// Output: 1 stored, of view driver_profile 1
}

// Rows that the caller has computed, stored as they are: such a push is
// idempotent, because it is of finished rows that say when they happened.
func ExampleClient_Push_finishedRows() {
	srv := answering(http.StatusUnprocessableEntity, `{"error": {"code": "invalid_rows", "message": "1 of 1 rows were refused, and nothing was written",
		"details": [{"field": "rows[0]", "message": "missing_column: tier is missing"}]}}`)
	defer srv.Close()
	c, err := client.New(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	_, err = c.Push(context.Background(), client.PushRequest{
		Source: "trips", View: "driver_trips", TransformOnWrite: new(false),
		Rows: client.Rows{{"driver_id": 1001, "event_timestamp": time.Now(), "last_fare": 12.5}},
	})
	var refusal *client.Error
	if errors.As(err, &refusal) && refusal.Code == client.CodeInvalidRows {
		for _, d := range refusal.Details {
			fmt.Println(d.Field, d.Message)
		}
	}
	// Output: rows[0] missing_column: tier is missing
}

// Rows that are safe on the source's topic, and later the word that they are
// stored.
func ExampleClient_PushAsync() {
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && r.Header.Get("Prefer") == "respond-async":
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"receipt": "AQV0cmlwcw", "accepted": 1, "rejected": 0, "errors": []}`)
		case asked == 0:
			asked++
			_, _ = io.WriteString(w, `{"id": "AQV0cmlwcw", "state": "pending", "rows": 1, "finished": 0, "errors": []}`)
		default:
			_, _ = io.WriteString(w, `{"id": "AQV0cmlwcw", "state": "done", "rows": 1, "finished": 1, "errors": []}`)
		}
	}))
	defer srv.Close()
	c, err := client.New(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	receipt, err := c.PushAsync(ctx, client.PushRequest{
		Source: "trips", Rows: client.Rows{{"trip_id": "t-1", "driver_id": 1001, "fare": 12.5, "completed_at": time.Now()}},
		Idempotent: true, // the source has an event_id, and the row its time
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	status, err := c.WaitReceipt(ctx, receipt.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(receipt.Accepted, "accepted,", status.State)
	// Output: 1 accepted, done
}

// A file of JSON lines, of any length, sent as it stands.
func ExampleClient_PushAll() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lines, _ := io.ReadAll(r.Body)
		n := strings.Count(string(lines), "\n")
		fmt.Fprintf(w, `{"stored": %d, "filtered": 0, "rejected": 1, "views": {"driver_profile": {"stored": %d, "filtered": 0, "rejected": 1}},
			"errors": [{"row": 2, "view": "driver_profile", "reason": "type", "message": "field rating: is a string, not float64"}]}`, n-1, n-1)
	}))
	defer srv.Close()
	c, err := client.New(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	file := strings.NewReader(`{"driver_id": 1001, "rating": 4.75}
{"driver_id": 1002, "rating": 4.5}
{"driver_id": 1003, "rating": "five"}
`)
	result, err := c.PushAll(context.Background(), client.BulkRequest{Source: "driver_profile_push"}, func(yield func(any, error) bool) {
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			if !yield(json.RawMessage(lines.Bytes()), nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, err)
		}
	})
	if err != nil {
		fmt.Println("go on at row", result.NextRow, "when this is mended:", err)
		return
	}
	fmt.Println(result.Stored, "stored,", result.Rejected, "refused")
	for _, e := range result.Errors {
		fmt.Println("row", e.Row, e.Message)
	}
	// Output:
	// 2 stored, 1 refused
	// row 2 field rating: is a string, not float64
}
