// Package demo produces live, realistic trips for the rides example: drivers
// 1001 to 1100, events out of order, some late, some twice, one malformed in a
// thousand.
//
// Invariant: what it produces follows from its seed and the clock it is given.
package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Topic is where trips go.
const Topic = "trips"

const (
	firstDriver = 1001
	drivers     = 100
)

// Trip is one event as producers of the rides example write it.
type Trip struct {
	TripID      string  `json:"trip_id"`
	Driver      Driver  `json:"driver"`
	Fare        float64 `json:"fare"`
	Km          float64 `json:"km"`
	Status      string  `json:"status"`
	CompletedAt string  `json:"completed_at"`
	Lines       []Line  `json:"lines"`
}

// Driver identifies who drove.
type Driver struct {
	ID int64 `json:"id"`
}

// Line is one item sold on board.
type Line struct {
	SKU string `json:"sku"`
	Qty int64  `json:"qty"`
}

// Generator makes trips. It belongs to one goroutine.
type Generator struct {
	rng  *rand.Rand
	n    int64
	last []byte // the latest event, for duplicates
	key  []byte

	format Format
}

// Format turns the JSON text of a trip into what is published.
type Format func(event []byte) ([]byte, error)

// NewGenerator returns a Generator for a seed. Without a format trips are JSON.
func NewGenerator(seed uint64, format Format) *Generator {
	if format == nil {
		format = func(event []byte) ([]byte, error) { return event, nil }
	}
	return &Generator{rng: rand.New(rand.NewPCG(seed, 1)), format: format}
}

// Next returns the key and value of the next event at now. The malformed one is
// no record of any format.
func (g *Generator) Next(now time.Time) (key, value []byte, err error) {
	g.n++
	switch {
	case g.n%1000 == 0:
		return []byte("1001"), []byte(`{"trip_id": "t-broken", "driver": {"id": 10`), nil
	case g.last != nil && g.rng.IntN(100) == 0:
		return g.key, g.last, nil
	}
	id := firstDriver + g.rng.Int64N(drivers)
	g.key = strconv.AppendInt(nil, id, 10)
	g.last, err = g.format(encode(g.trip(id, now)))
	return g.key, g.last, err
}

func (g *Generator) trip(driver int64, now time.Time) Trip {
	km := math.Round(g.rng.ExpFloat64()*60) / 10
	status := "completed"
	if g.rng.IntN(12) == 0 {
		status = "cancelled"
	}
	t := Trip{
		TripID: fmt.Sprintf("t-%d-%d", now.UnixMilli(), g.n), Driver: Driver{driver},
		Fare: math.Round((3+km*1.7+g.rng.Float64()*4)*100) / 100, Km: km, Status: status,
		CompletedAt: now.Add(-g.delay()).UTC().Format("2006-01-02T15:04:05.000000Z07:00"),
		Lines:       []Line{},
	}
	for range g.rng.IntN(3) {
		t.Lines = append(t.Lines, Line{SKU: "sku-" + strconv.Itoa(g.rng.IntN(20)), Qty: 1 + g.rng.Int64N(3)})
	}
	return t
}

// delay is how old an event is when it is published: mostly next to nothing,
// sometimes seconds, so that events come out of order, rarely hours.
func (g *Generator) delay() time.Duration {
	switch n := g.rng.IntN(200); {
	case n == 0:
		return time.Duration(g.rng.Int64N(int64(3 * time.Hour)))
	case n < 20:
		return time.Duration(g.rng.Int64N(int64(5 * time.Second)))
	default:
		return time.Duration(g.rng.Int64N(int64(20 * time.Millisecond)))
	}
}

func encode(t Trip) []byte {
	b, err := json.Marshal(t)
	if err != nil { // a Trip of finite numbers and plain text always encodes
		return []byte("{}")
	}
	return b
}

// ticks is how often a second Run publishes.
const ticks = 50

// Run publishes rate events a second to Topic until ctx ends, or one does not
// fit the format.
func Run(ctx context.Context, client *kgo.Client, rate int, seed uint64, format Format) error {
	g := NewGenerator(seed, format)
	tick := time.NewTicker(time.Second / ticks)
	defer tick.Stop()
	owed := 0.0
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			owed = math.Min(owed+float64(rate)/ticks, float64(rate))
			for ; owed >= 1; owed-- {
				key, value, err := g.Next(now)
				if err != nil {
					return fmt.Errorf("write a trip of the demo: %w", err)
				}
				client.Produce(ctx, &kgo.Record{Topic: Topic, Key: key, Value: value}, nil)
			}
		}
	}
}
