package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// streamDrivers is how many drivers a stream has.
const streamDrivers = 50

var downSources = strings.Replace(registrySources, "\n  - name: proto", `
  - name: plain
    kafka: {topic: TOPIC_plain}
    fields:`+declared+`
      - {name: tier, type: string}
      - {name: tip, type: float64}
    event_time: at
  - name: proto`, 1)

// TestRegistryDown takes the schema registry away under load, when records
// begin to name schemas that nobody has asked for yet: their lanes wait and say
// so, others go on, and when it is back nothing is lost and nothing refused.
func TestRegistryDown(t *testing.T) {
	s := newStack(t, "away")
	s.suffixes = []string{"_avro", "_plain", "_proto"}
	r := s.newRegistry()
	w := []dialect{r.avroRides("_avro"), plainRides(t), r.protobufRides("_proto")}
	s.write(formatDefinitions(downSources, "\n      - {name: tip, expr: tip}", "avro", "plain", "proto"))
	p := s.up(1)
	var loads []*stream
	for i := range w {
		x := &stream{s: s, dialect: &w[i], value: w[i].ride}
		loads = append(loads, x)
		x.produce(streamDrivers)
		s.waitRow(driver(streamDrivers), x.format+"_rides", "n tier", strconv.Itoa(streamDrivers)+` "gold"`)
	}

	r.gate.shut()
	began := time.Now()
	for _, x := range loads {
		x.value = x.newRide
		x.produce(1) // registers the new schema, past the gate
	}
	stop := underLoad(s, loads)
	waiting := []string{s.topic + "_avro", s.topic + "_proto"}
	s.waitRetries(p, waiting)
	for {
		s.waitServed(loads[1], loads[1].sent.Load()+1)
		if time.Since(began) > registryOutage {
			break
		}
	}
	for _, view := range []string{"avro_rides", "proto_rides"} {
		if got, err := s.row(driver(streamDrivers), view, "n"); err != nil || got != strconv.Itoa(streamDrivers) {
			t.Errorf("%s while the registry is away: %s, %v", view, got, err)
		}
	}
	if got := s.logged(p, "lane waits and retries", "look up schema"); !slices.Equal(got, waiting) {
		t.Errorf("lanes that wait: %v, want %v", got, waiting)
	}
	r.gate.open()
	away := time.Since(began)
	for _, x := range loads {
		s.waitServed(x, x.sent.Load()+1)
	}
	stop()
	s.waitCaughtUp(60 * time.Second)
	if got := s.logged(p, "lane goes on", ""); !slices.Equal(got, waiting) {
		t.Errorf("lanes that go on: %v, want %v", got, waiting)
	}
	received := make(map[string]float64)
	for _, x := range loads {
		x.check()
		received[x.format+"_rides"], received[x.format+"_stops"] = float64(x.sent.Load()), float64(2*x.sent.Load())
	}
	s.wantLetters(nil)
	s.checkReceived(received)
	t.Logf("%d records of each source; the registry was away for %v", loads[0].sent.Load(), away.Round(time.Millisecond))
}

// plainRides are rides without schemas.
func plainRides(t *testing.T) dialect {
	t.Helper()
	return dialect{
		format: "plain", absent: "null", gone: "null", tip: "7", key: decimal, newKey: decimal,
		ride:    func(n int64, town string) []byte { return asJSON(t, rideOf(n, town)) },
		newRide: func(n int64, town string) []byte { return asJSON(t, newRideOf(n, town)) },
	}
}

// stream is what one source is sent: rides of drivers in turn.
type stream struct {
	*dialect
	s     *stack
	value func(n int64, town string) []byte
	sent  atomic.Int64
}

func driverOf(n int64) int64 { return (n-1)%streamDrivers + 1 }

// produce sends the next n rides.
func (x *stream) produce(n int) {
	x.s.t.Helper()
	client, _ := x.s.kafka()
	for range n {
		n := x.sent.Add(1)
		d := driverOf(n)
		client.Produce(context.Background(), &kgo.Record{Topic: x.s.topic + "_" + x.format, Key: x.key(d), Value: x.value(n, fmt.Sprint(d))}, func(_ *kgo.Record, err error) {
			if err != nil {
				x.s.t.Errorf("produce: %v", err)
			}
		})
	}
}

// check compares all rows with the newest ride of each driver.
func (x *stream) check() {
	x.s.t.Helper()
	last := x.sent.Load()
	for n := last - streamDrivers + 1; n <= last; n++ {
		d := driverOf(n)
		x.s.waitRow(driver(d), x.format+"_rides", "n fare tier tip", fmt.Sprintf("%d %d.5 %s %s", n, n, x.gone, x.tip))
		x.s.waitRow(townOf(fmt.Sprint(d)), x.format+"_stops", "minutes by", fmt.Sprintf("%d %d", n%1000, d))
	}
}

// underLoad produces about 500 rides a second of each stream until the function
// that it returns is called, which waits for the broker to have them.
func underLoad(s *stack, all []*stream) (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			for _, x := range all {
				x.produce(5)
			}
			select {
			case <-end:
				client, _ := s.kafka()
				if err := client.Flush(context.Background()); err != nil {
					s.t.Error(err)
				}
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(end); <-done }
}

// waitServed waits until a stream's driver has its n'th ride, or a later one.
func (s *stack) waitServed(x *stream, n int64) {
	s.t.Helper()
	s.eventually(30*time.Second, fmt.Sprintf("ride %d of %s is served", n, x.format), func() error {
		got, err := s.row(driver(driverOf(n)), x.format+"_rides", "n")
		if err != nil {
			return err
		}
		if at, err := strconv.ParseInt(got, 10, 64); err != nil || at < n {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}

// waitRetries waits until a metric says that the lanes of topics wait for what
// decodes their records.
func (s *stack) waitRetries(p *process, topics []string) {
	s.t.Helper()
	s.eventually(20*time.Second, "lanes retry", func() error {
		m, err := s.metrics(p)
		if err != nil {
			return err
		}
		for _, topic := range topics {
			if name := fmt.Sprintf(`millrace_sink_retries_total{operation="decode",topic=%q}`, topic); m[name] == 0 {
				return fmt.Errorf("%s is 0", name)
			}
		}
		return nil
	})
}

// logged lists, in order, the topics of which a process logged a message about
// decoding, whose error says something.
func (s *stack) logged(p *process, message, says string) []string {
	s.t.Helper()
	var topics []string
	for text := range strings.Lines(p.log.String()) {
		var line struct{ Msg, Topic, Operation, Err string }
		if json.Unmarshal([]byte(text), &line) == nil && line.Msg == message && line.Operation == "decode" && strings.Contains(line.Err, says) {
			topics = append(topics, line.Topic)
		}
	}
	slices.Sort(topics)
	return topics
}

// TestStartWithoutRegistry starts and ends processes while the registry is
// away: they run what was applied, other sources are served, a lane that waits
// keeps nobody from ending, and what waited is served when it is back.
func TestStartWithoutRegistry(t *testing.T) {
	s := newStack(t, "start")
	s.suffixes = []string{"_avro", "_plain", "_proto"}
	r := s.newRegistry()
	w := []dialect{r.avroRides("_avro"), plainRides(t), r.protobufRides("_proto")}
	s.write(formatDefinitions(downSources, "\n      - {name: tip, expr: tip}", "avro", "plain", "proto"))
	p := s.up(1)
	s.put("_plain", w[1].key(1), w[1].ride(1, "Rome"))
	s.waitRow(driver(1), "plain_rides", "n", "1")
	r.gate.shut()
	for round := range int64(2) {
		s.endIngest(p)
		p = s.goOn()
		for i := range w {
			s.put("_"+w[i].format, w[i].key(2), w[i].ride(2+round, "Oslo"))
		}
		s.waitRow(driver(2), "plain_rides", "n", strconv.FormatInt(2+round, 10))
		s.waitRetries(p, []string{s.topic + "_avro", s.topic + "_proto"})
		s.waitRow(driver(2), "avro_rides", "n", "NOT_FOUND")
	}
	began := time.Now()
	s.endIngest(p)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("ending took %v while lanes wait", took)
	}
	s.goOn()
	r.gate.open()
	for i := range w {
		s.waitRow(driver(2), w[i].format+"_rides", "n fare tier tip", `3 3.5 "gold" `+w[i].absent)
		s.waitRow(townOf("Oslo"), w[i].format+"_stops", "minutes by", "3 2")
	}
	s.wantLetters(nil)
}
