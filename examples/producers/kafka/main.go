// Command kafka publishes to the topic of the rides example: a raw trip, from
// which Millrace computes the features, and a row whose features were computed
// here. Any Kafka client will do; nothing of Millrace is needed.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	brokers := flag.String("brokers", "127.0.0.1:9092", "a broker, host:port")
	driver := flag.Int64("driver", 1, "the raw trip is of this driver, the computed row of the next")
	flag.Parse()
	if err := run(*brokers, *driver); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(brokers string, driver int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	producer, err := kgo.NewClient(kgo.SeedBrokers(brokers)) // idempotent, acknowledged by all replicas
	if err != nil {
		return err
	}
	defer producer.Close()

	raw, err := rawTrip(driver)
	if err != nil {
		return err
	}
	computed, err := computedRow(driver + 1)
	if err != nil {
		return err
	}
	if err := producer.ProduceSync(ctx, raw, computed).FirstErr(); err != nil {
		return fmt.Errorf("publish to topic trips: %w", err)
	}
	fmt.Printf("published a raw trip of driver %d and a computed row of driver %d\n", driver, driver+1)
	return nil
}

// rawTrip is an event as it happened, in the shape that sources.yaml describes.
func rawTrip(driver int64) (*kgo.Record, error) {
	value, err := json.Marshal(map[string]any{
		"trip_id": fmt.Sprintf("kafka-go-%d-%d", driver, time.Now().UnixNano()), // twice the same counts once
		"driver":  map[string]any{"id": driver}, "fare": 12.5, "km": 5, "status": "completed",
		"completed_at": time.Now(),
	})
	return &kgo.Record{Topic: "trips", Key: key(driver), Value: value}, err
}

// computedRow is a finished row of view driver_trips: join key, time, and every
// stored column, as `millrace explain driver_trips` lists them. The headers say
// what it is.
func computedRow(driver int64) (*kgo.Record, error) {
	value, err := json.Marshal(map[string]any{
		"driver_id": driver, "event_timestamp": time.Now(),
		"last_fare": 99.5, "fare_per_km": 9.95, "tier": "PLATINUM", "last_trip_id": "elsewhere-1",
	})
	return &kgo.Record{Topic: "trips", Key: key(driver), Value: value, Headers: []kgo.RecordHeader{
		{Key: "transform_on_write", Value: []byte("false")},
		{Key: "millrace-view", Value: []byte("driver_trips")},
	}}, err
}

// key keeps the events of a driver in order, on one partition.
func key(driver int64) []byte { return strconv.AppendInt(nil, driver, 10) }
