// Command client reads the features of users and calls the model itself:
// Millrace knows nothing of the prediction.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"

	"millrace/client"
	"millrace/examples/inference/fraud"
	"millrace/examples/inference/oip"
)

func main() {
	server := flag.String("server", "http://127.0.0.1:6566", "address of Millrace's API")
	model := flag.String("model", "http://127.0.0.1:8080", "address of the model server")
	flag.Parse()
	if err := run(*server, *model, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(server, model string, args []string) error {
	if len(args) == 0 {
		return errors.New("name users: client 7 8")
	}
	var users client.Rows
	for _, a := range args {
		id, err := strconv.ParseInt(a, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is no user: %w", a, err)
		}
		users = append(users, map[string]any{"user_id": id})
	}
	millrace, err := client.New(server) // once per process
	if err != nil {
		return err
	}
	defer millrace.Close()
	// One deadline for both calls: what the features took is gone for the model.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	scores, err := predict(ctx, millrace, model, users)
	if err != nil {
		return err
	}
	for i, score := range scores {
		fmt.Printf("user %v: %g\n", users[i]["user_id"], score)
	}
	return nil
}

// predict reads the features of all users at once, and infers them at once.
func predict(ctx context.Context, millrace *client.Client, model string, users client.Rows) ([]float64, error) {
	answer, err := millrace.Lookup(ctx, client.LookupRequest{
		Features: []string{"user_data:last_amount", "user_activity:orders_24h"}, Entities: users,
	})
	if err != nil {
		return nil, err
	}
	amounts, orders := make([]float64, len(users)), make([]int64, len(users))
	for i := range answer.Rows {
		row := &answer.Rows[i]
		var err1, err2 error // defaults take the place of null: an unknown user has none
		amounts[i], err1 = row.Get("user_data:last_amount").Float64()
		orders[i], err2 = row.Get("user_activity:orders_24h").Int64()
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("features of user %v: %w", users[i]["user_id"], err)
		}
	}
	amount, err1 := oip.Column(fraud.LastAmount, "FP64", amounts)
	order, err2 := oip.Column(fraud.Orders, "INT64", orders)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	outputs, err := oip.Infer(ctx, model, fraud.Name, fraud.Version, amount, order)
	if err != nil {
		return nil, err
	}
	scores, err := oip.Values[float64](outputs[fraud.Output])
	if err == nil && len(scores) != len(users) {
		err = fmt.Errorf("model %s answered %d scores for %d users", fraud.Name, len(scores), len(users))
	}
	return scores, err
}
