// Command http writes to the rides example through the API, with the Go
// client: at once and asynchronously, raw rows, from which Millrace computes
// the features, and rows whose features were computed here.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"millrace/client"
)

func main() {
	server := flag.String("server", "http://127.0.0.1:6566", "address of the API")
	driver := flag.Int64("driver", 1, "raw rows are of this driver, the computed row of the next, many rows of those after it")
	flag.Parse()
	if err := run(*server, *driver); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(server string, driver int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	millrace, err := client.New(server) // once per process
	if err != nil {
		return err
	}
	defer millrace.Close()
	for _, write := range []func(context.Context, *client.Client, int64) error{raw, rawAsync, computed, many} {
		if err := write(ctx, millrace, driver); err != nil {
			return err
		}
	}
	return nil
}

// raw writes a row of a source's fields by name. When Push returns, any server
// serves what was made of it.
func raw(ctx context.Context, millrace *client.Client, driver int64) error {
	pushed, err := millrace.Push(ctx, client.PushRequest{
		Source: "driver_profile_push", Rows: client.Rows{{"driver_id": driver, "rating": 4.75}},
	})
	if e, ok := errors.AsType[*client.Error](err); ok && e.Code == client.CodeInvalidRows {
		return fmt.Errorf("correct the rows, nothing was written: %w", err) // e.Details name rows and fields
	}
	if err != nil {
		return err
	}
	fmt.Printf("stored %d raw profile of driver %d\n", pushed.Stored, driver)
	return nil
}

// rawAsync leaves a row on the source's topic and goes on; the receipt says
// later what became of it.
func rawAsync(ctx context.Context, millrace *client.Client, driver int64) error {
	receipt, err := millrace.PushAsync(ctx, client.PushRequest{Source: "trips", Rows: client.Rows{{
		"trip_id":   fmt.Sprintf("http-go-%d-%d", driver, time.Now().UnixNano()),
		"driver_id": driver, "fare": 12.5, "km": 5, "status": "completed", "completed_at": time.Now(),
	}}, Idempotent: true}) // each row has its time, and the source has an event_id: twice is once
	if err != nil {
		return err
	}
	status, err := millrace.WaitReceipt(ctx, receipt.ID)
	if err != nil {
		return err
	}
	fmt.Printf("%d raw trip of driver %d is %s\n", status.Rows, driver, status.State)
	return nil
}

// computed writes a finished row of a view: join key, time, and every stored
// column, as `millrace explain driver_trips` lists them.
func computed(ctx context.Context, millrace *client.Client, driver int64) error {
	pushed, err := millrace.Push(ctx, client.PushRequest{
		Source: "trips", View: "driver_trips", TransformOnWrite: new(false), Rows: client.Rows{{
			"driver_id": driver + 1, "event_timestamp": time.Now(),
			"last_fare": 99.5, "fare_per_km": 9.95, "tier": "PLATINUM", "last_trip_id": "elsewhere-1",
		}},
	})
	if err != nil {
		return err
	}
	fmt.Printf("stored %d computed row of driver %d\n", pushed.Stored, driver+1)
	return nil
}

// many streams rows of any number. They may come from a file of JSON lines, as
// they are.
func many(ctx context.Context, millrace *client.Client, driver int64) error {
	const n = 1000
	pushed, err := millrace.PushAll(ctx, client.BulkRequest{Source: "driver_profile_push"}, func(yield func(any, error) bool) {
		for i := range int64(n) {
			if !yield(json.RawMessage(fmt.Sprintf(`{"driver_id": %d, "rating": 4.5}`, driver+2+i)), nil) {
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("go on at row %d: %w", pushed.NextRow, err)
	}
	fmt.Printf("stored %d raw profiles from driver %d on, refused %d\n", pushed.Stored, driver+2, pushed.Rejected)
	return nil
}
