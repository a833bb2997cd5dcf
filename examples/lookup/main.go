// Command lookup asks for the features of a driver, as a model service does
// before it predicts, with the Go client.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"millrace/client"
)

func main() {
	server := flag.String("server", "http://127.0.0.1:6566", "address of the API")
	driver := flag.Int64("driver", 1001, "whose features")
	flag.Parse()
	if err := run(*server, *driver); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(server string, driver int64) error {
	millrace, err := client.New(server) // once per process
	if err != nil {
		return err
	}
	defer millrace.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	answer, err := millrace.Lookup(ctx, client.LookupRequest{
		Service:  "eta_v1",
		Entities: client.Rows{{"driver_id": driver}},
		Context:  map[string]any{"pickup_km": 3.2},
		Include:  []client.Include{client.IncludeStatus, client.IncludeAge},
	})
	if err != nil {
		return err
	}
	row := &answer.Rows[0]
	for i, feature := range answer.Features {
		v := row.Values[i]
		fmt.Printf("%-32s %-16s %s\n", feature, v.Status, v)
	}
	return show(row)
}

// show reads single features, typed.
func show(row *client.Row) error {
	last := row.Get("driver_trips:last_fare")
	fare, err := last.Float64()
	switch {
	case errors.Is(err, client.ErrNull):
		fmt.Println("no trip is known of this driver") // a model has a value of its own for this
	case err != nil:
		return err
	default:
		fmt.Printf("the last fare is %g, %s old\n", fare, last.Age)
	}
	return nil
}
