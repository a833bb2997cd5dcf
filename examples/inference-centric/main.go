// Command inference-centric is a predictor in the style of KServe that fetches
// features itself: who asks it sends ids, and knows nothing of features.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"millrace/client"
	"millrace/examples/inference/fraud"
	"millrace/examples/inference/oip"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8081", "address to serve on")
	server := flag.String("server", "http://127.0.0.1:6566", "address of Millrace's API")
	flag.Parse()
	millrace, err := client.New(*server) // once per process
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer millrace.Close()
	p := &predictor{millrace: millrace}
	fmt.Fprintln(os.Stderr, "model fraud_by_user at http://"+*listen+"/v2")
	s := http.Server{Addr: *listen, Handler: oip.Handler(p.model()), ReadHeaderTimeout: 5 * time.Second}
	fmt.Fprintln(os.Stderr, s.ListenAndServe())
	os.Exit(1) //nolint:gocritic // the process ends, and its connections with it
}

// predictor is a model with its features.
type predictor struct {
	millrace *client.Client
}

func (p *predictor) model() oip.Model {
	return oip.Model{
		Name: "fraud_by_user", Version: fraud.Version, Infer: p.infer,
		Inputs:  []oip.Declared{{Name: "user_id", Datatype: "INT64", Shape: []int{-1, 1}}},
		Outputs: []oip.Declared{{Name: fraud.Output, Datatype: "FP64", Shape: []int{-1, 1}}},
	}
}

// infer looks all rows of a request up at once. The request's context ends the
// lookup when the caller goes.
func (p *predictor) infer(r *http.Request, in map[string]oip.Tensor) ([]oip.Tensor, error) {
	ids, err := oip.Values[int64](in["user_id"])
	if err != nil {
		return nil, err
	}
	users := make(client.Rows, len(ids))
	for i, id := range ids {
		users[i] = map[string]any{"user_id": id}
	}
	answer, err := p.millrace.Lookup(r.Context(), client.LookupRequest{
		Features: []string{"user_data:last_amount", "user_activity:orders_24h"}, Entities: users,
	})
	if err != nil {
		return nil, err
	}
	scores := make([]float64, len(ids))
	for i := range answer.Rows {
		amount, err1 := answer.Rows[i].Get("user_data:last_amount").Float64()
		orders, err2 := answer.Rows[i].Get("user_activity:orders_24h").Int64()
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("features of row %d: %w", i, err)
		}
		scores[i] = fraud.Score(amount, orders)
	}
	out, err := oip.Column(fraud.Output, "FP64", scores)
	return []oip.Tensor{out}, err
}
