// Package fraud is the model of the examples: a logistic formula in place of
// weights that were learned.
package fraud

import (
	"math"
	"net/http"

	"millrace/examples/inference/oip"
)

// The model's name and version at its server.
const (
	Name    = "fraud"
	Version = "1"
)

// The tensors that it takes, of the names that its features have, and answers.
const (
	LastAmount = "last_amount"
	Orders     = "orders_24h"
	Output     = "score"
)

// Score says how likely an order is a fraud: the larger the last one was, and
// the more there were in a day.
func Score(lastAmount float64, orders int64) float64 {
	return 1 / (1 + math.Exp(3-lastAmount/100-float64(orders)/2))
}

// Model serves Score.
func Model() oip.Model {
	return oip.Model{
		Name: Name, Version: Version, Infer: infer,
		Inputs: []oip.Declared{
			{Name: LastAmount, Datatype: "FP64", Shape: []int{-1, 1}},
			{Name: Orders, Datatype: "INT64", Shape: []int{-1, 1}},
		},
		Outputs: []oip.Declared{{Name: Output, Datatype: "FP64", Shape: []int{-1, 1}}},
	}
}

func infer(_ *http.Request, in map[string]oip.Tensor) ([]oip.Tensor, error) {
	amounts, err := oip.Values[float64](in[LastAmount])
	if err != nil {
		return nil, err
	}
	orders, err := oip.Values[int64](in[Orders])
	if err != nil {
		return nil, err
	}
	scores := make([]float64, len(amounts))
	for i := range scores {
		scores[i] = Score(amounts[i], orders[i])
	}
	out, err := oip.Column(Output, "FP64", scores)
	return []oip.Tensor{out}, err
}
