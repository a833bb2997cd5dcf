// Command model is the model server of the examples: the Open Inference
// Protocol over HTTP, and two models that fit in a line each.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"
	"unicode"

	"millrace/examples/inference/fraud"
	"millrace/examples/inference/oip"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to serve on")
	flag.Parse()
	fmt.Fprintln(os.Stderr, "models fraud and shouting at http://"+*listen+"/v2")
	server := http.Server{Addr: *listen, Handler: oip.Handler(fraud.Model(), shouting()), ReadHeaderTimeout: 5 * time.Second}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}

// shouting needs no features: all that it asks for is in the request.
func shouting() oip.Model {
	return oip.Model{
		Name: "shouting", Version: "1",
		Inputs:  []oip.Declared{{Name: "text", Datatype: "BYTES", Shape: []int{-1, 1}}},
		Outputs: []oip.Declared{{Name: "score", Datatype: "FP64", Shape: []int{-1, 1}}},
		Infer: func(_ *http.Request, in map[string]oip.Tensor) ([]oip.Tensor, error) {
			texts, err := oip.Values[string](in["text"])
			if err != nil {
				return nil, err
			}
			scores := make([]float64, len(texts))
			for i, text := range texts {
				scores[i] = capitals(text)
			}
			out, err := oip.Column("score", "FP64", scores)
			return []oip.Tensor{out}, err
		},
	}
}

// capitals is which part of the letters of a text are capitals.
func capitals(text string) float64 {
	letters, upper := 0, 0
	for _, r := range text {
		if unicode.IsLetter(r) {
			letters++
		}
		if unicode.IsUpper(r) {
			upper++
		}
	}
	return float64(upper) / float64(max(letters, 1))
}
