package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// crashLateness is the allowed lateness of the crash tests' windows.
const crashLateness = 30 * time.Hour

// crashDefinitions are tripDefinitions with windows and, if asked for, a source
// that names its events.
func crashDefinitions(eventIDs bool) string {
	text := strings.Replace(tripDefinitions, "services:", windowDefinitions+"services:", 1)
	if eventIDs {
		text = strings.Replace(text, "    event_time: at\n", "      - {name: id, type: string}\n    event_time: at\n    event_id: id\n", 1)
	}
	return text
}

// event is what the oracle knows of one record.
type event struct {
	driver                            int64
	eventMicros, recordMillis, offset int64
	partition                         int32
	serial                            int64
	id                                string // "" is null
}

// newer is the rule of docs/format/row.md, written a second time on purpose:
// greatest event time, then record time, offset, and last the bytes, which
// differ first in the partition.
func (e *event) newer(o *event) bool {
	switch {
	case e.eventMicros != o.eventMicros:
		return e.eventMicros > o.eventMicros
	case e.recordMillis != o.recordMillis:
		return e.recordMillis > o.recordMillis
	case e.offset != o.offset:
		return e.offset > o.offset
	default:
		return e.partition > o.partition
	}
}

func newest(events []event) *event {
	e := &events[0]
	for i := range events {
		if events[i].newer(e) {
			e = &events[i]
		}
	}
	return e
}

func (e *event) json() string {
	id := "null"
	if e.id != "" {
		id = `"` + e.id + `"`
	}
	return fmt.Sprintf(`{"driver_id":%d,"n":%d,"id":%s,"fare":12.5,"km":5,"status":"completed","at":%d}`, e.driver, e.serial, id, e.eventMicros)
}

// drawTimes puts an event somewhere: most are an hour old; some older than one
// window or two, as late as is allowed to the microsecond, or later. None lies
// near the edge of a window. Few distinct times, so that ties are common.
func (e *event) drawTimes(rng *rand.Rand, now time.Time) {
	record := now.Add(-time.Duration(rng.IntN(50)) * time.Second).Truncate(time.Millisecond)
	at := now.Truncate(time.Millisecond).Add(-time.Hour).Add(time.Duration(rng.IntN(20_000)) * time.Millisecond)
	switch n := rng.IntN(200); {
	case n < 20:
		at = at.Add(-14 * time.Hour)
	case n < 30:
		at = at.Add(-26 * time.Hour)
	case n < 34:
		at = record.Add(-crashLateness)
	case n < 38:
		at = record.Add(-crashLateness - time.Microsecond)
	case n < 40:
		at = at.Add(-40 * time.Hour)
	}
	e.eventMicros, e.recordMillis = at.UnixMicro(), record.UnixMilli()
}

// again makes e another record about what happened in an earlier event. With
// ids it is mostly a copy: of a producer that was not told that it was heard.
func (e *event) again(rng *rand.Rand, o *event, eventIDs bool) {
	e.driver, e.eventMicros = o.driver, o.eventMicros
	if !eventIDs {
		e.recordMillis = o.recordMillis
		return
	}
	e.serial, e.id = o.serial, o.id
	if rng.IntN(2) == 0 {
		e.recordMillis = o.recordMillis
	}
	if rng.IntN(5) > 0 { // else it may come by another partition, where it counts
		e.partition = o.partition
	}
}

// drawEvents makes the events of a crash test.
func drawEvents(rng *rand.Rand, n int, eventIDs bool) []event {
	now := time.Now()
	events := make([]event, n)
	for i := range events {
		e := &events[i]
		e.driver, e.serial, e.partition = rng.Int64N(crashDrivers), int64(i), rng.Int32N(crashPartitions)
		e.drawTimes(rng, now)
		if rng.IntN(20) > 0 {
			e.id = fmt.Sprintf("trip-%d", i)
		}
		if i > 0 && rng.IntN(10) == 0 {
			e.again(rng, &events[rng.IntN(i)], eventIDs)
		}
	}
	return events
}

// produceCrashEvents sends n events with so many pauses in between, of ten
// seconds together, and returns them by driver.
func (s *stack) produceCrashEvents(rng *rand.Rand, n, pauses int, eventIDs bool) map[int64][]event {
	client, _ := s.kafka()
	events := drawEvents(rng, n, eventIDs)
	failed := make(chan error, 1)
	for i := range events {
		e := &events[i]
		r := &kgo.Record{Topic: s.topic, Partition: e.partition, Timestamp: time.UnixMilli(e.recordMillis), Value: []byte(e.json())}
		client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
			e.offset = r.Offset
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
		if i%(n/pauses+1) == 0 {
			time.Sleep(time.Duration(rng.IntN(20_000/pauses)) * time.Millisecond) // load spread over the chaos
		}
	}
	if err := client.Flush(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	select {
	case err := <-failed:
		s.t.Fatal(err)
	default:
	}
	want := make(map[int64][]event)
	for i := range events {
		want[events[i].driver] = append(want[events[i].driver], events[i])
	}
	return want
}
