package predict_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"millrace/feature"
	"millrace/serving/predict"
	"millrace/serving/predict/predicttest"
)

// Two drivers are scored by one call of a model.
func Example() {
	server := httptest.NewServer(predicttest.New(predicttest.Sum("fraud", "7", "score")))
	defer server.Close()

	client, err := predict.New(predict.Model{
		Name: "fraud", Version: "7", Endpoint: server.URL, Timeout: 10 * time.Second,
		Inputs: []predict.Port{
			{Name: "fare_avg_1d", Type: feature.Of(feature.KindFloat64)},
			{Name: "trips_1d", Type: feature.Of(feature.KindInt64)},
		},
		Outputs: []predict.Port{{Name: "score", Type: feature.Of(feature.KindFloat64)}},
	}, predict.Settings{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	var fares, trips feature.Column
	fares.Reset(feature.Of(feature.KindFloat64))
	fares.Resize(2)
	fares.SetFloat(0, 12.5)
	fares.SetFloat(1, 8) // of a driver whose trips are not known
	trips.Reset(feature.Of(feature.KindInt64))
	trips.Resize(2)
	trips.SetInt(0, 3)

	var result predict.Result
	request := &predict.Request{
		Inputs: []*feature.Column{&fares, &trips}, Rows: 2,
		Keys: []predict.Key{{Entity: "17", Fingerprint: "a"}, {Entity: "18", Fingerprint: "b"}},
	}
	if err := client.Predict(context.Background(), request, &result); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Outputs[0].Floats[0])
	fmt.Println(result.Faults[1])
	// Output:
	// 15.5
	// predict with model "fraud" version "7": input: input "trips_1d" is null
}
