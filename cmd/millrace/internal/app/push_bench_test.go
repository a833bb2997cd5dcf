//go:build unix

package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/cmd/millrace/internal/embedded"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/internal/telemetry"
	"millrace/sinks"
)

// partEnv makes the test binary play another part of a benchmark, so that its
// work is not measured as ours.
const partEnv = "MILLRACE_BENCH_PART"

func TestMain(m *testing.M) {
	switch os.Getenv(partEnv) {
	case "broker":
		os.Exit(playBroker())
	case "callers":
		os.Exit(playCallers(os.Args[1], os.Args[2]))
	}
	os.Exit(m.Run())
}

// playBroker runs a broker until its standard input ends.
func playBroker() int {
	k, err := embedded.OpenKafka(embedded.Settings{Addr: "127.0.0.1:0", DataDir: os.Getenv("DATA_DIR"), Partitions: 4})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintln(os.Stdout, k.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	k.Close()
	return 0
}

const (
	batchRows = 100
	callers   = 4
)

// playCallers pushes batches asynchronously, some at a time.
func playCallers(url, count string) int {
	n, _ := strconv.Atoi(count)
	work := make(chan int)
	var failed error
	var mu sync.Mutex
	var wg sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	for range callers {
		wg.Go(func() {
			for i := range work {
				if err := push(client, url+"?mode=async", body(batchRows, i*batchRows), http.StatusAccepted); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
	if failed != nil {
		fmt.Fprintln(os.Stderr, failed)
		return 1
	}
	return 0
}

func push(client *http.Client, url string, body []byte, want int) error {
	resp, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != want {
		err = fmt.Errorf("answered %d %s", resp.StatusCode, text)
	}
	return err
}

// body is a push of n rides, of about 150 bytes each.
func body(n, first int) []byte {
	at := time.Now().UTC().Format(time.RFC3339Nano)
	b := []byte(`{"rows": [`)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"driver_id": %d, "fare": %d.25, "km": 4.5, "status": "completed", "ride_id": "ride-%08d", "event_timestamp": %q}`,
			(first+i)%5000, i%50, first+i, at)
	}
	return append(b, "]}"...)
}

const benchDefinitions = `
project: bench
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: rides
    push: {topic: bench.rides}
    event_id: ride_id
    fields: [{name: driver_id, type: int64}, {name: fare, type: float64}, {name: km, type: float64}, {name: status, type: string}, {name: ride_id, type: string}]
views:
  - name: driver_rides
    entity: driver
    source: rides
    where: status = 'completed'
    features:
      - {name: per_km, expr: "fare / nullif(km, 0)"}
      - {name: rides, agg: count, window: 24h}
      - {name: fares, agg: sum, of: fare, window: 24h}
`

// server is what serves pushes, over a broker and an embedded store, with or
// without what takes the topic in.
func server(b *testing.B, broker string, ingest bool) *httptest.Server {
	b.Helper()
	ctx := b.Context()
	c := config.Default()
	c.Store.Type, c.Store.DataDir, c.Kafka.Brokers = "embedded", b.TempDir(), []string{broker}
	log := slog.New(slog.DiscardHandler)
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	p, err := definition.Load([]definition.File{{Name: "a.yaml", Data: []byte(benchDefinitions)}})
	must(err)
	store, err := app.OpenEmbeddedStore(&c, log)
	must(err)
	b.Cleanup(func() { _ = store.Close() })
	_, _, err = history.Apply(ctx, store, sinks.NewSchemas(store), p, "bench", time.Now())
	must(err)
	p, err = app.LoadApplied(ctx, store)
	must(err)
	must(app.EnsureDevTopics(ctx, &c, p))
	metrics := telemetry.NewMetrics("bench")
	if ingest {
		pipe, err := app.NewIngest(&c, p, store, metrics, log, true)
		must(err)
		life, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- pipe.Run(life) }()
		b.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				b.Error(err)
			}
		})
		for !pipe.Joined() {
			time.Sleep(time.Millisecond)
		}
	}
	topic, err := app.OpenTopic(&c, p, store, log)
	must(err)
	b.Cleanup(topic.Close)
	h, err := app.NewServer(&c, p, store, topic, nil, metrics, log)
	must(err)
	b.Cleanup(h.Close)
	s := httptest.NewServer(h)
	b.Cleanup(s.Close)
	return s
}

// BenchmarkSynchronousPush pushes one ride at a time to a windowed view; all
// parts are in this process, as in dev. The answer says that it can be read.
func BenchmarkSynchronousPush(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			k, err := embedded.OpenKafka(embedded.Settings{Addr: "127.0.0.1:0", DataDir: b.TempDir(), Partitions: 4})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(k.Close)
			url := server(b, k.Addr(), true).URL + "/v1/push/rides"
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
			if err := push(client, url, body(1, 0), http.StatusOK); err != nil { // lanes are open
				b.Fatal(err)
			}
			took := make([]time.Duration, b.N)
			work := make(chan int)
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for i := range work {
						began := time.Now()
						if err := push(client, url, body(1, i+1), http.StatusOK); err != nil {
							b.Error(err)
						}
						took[i] = time.Since(began)
					}
				})
			}
			for i := range b.N {
				work <- i
			}
			close(work)
			wg.Wait()
			slices.Sort(took)
			ms := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
			b.ReportMetric(ms(0.5), "p50-ms")
			b.ReportMetric(ms(0.99), "p99-ms")
		})
	}
}

// BenchmarkAsynchronousPush acknowledges batches of 100 rides. Broker and
// callers are processes of their own: rows/cpu-s are what the serving process
// does with a second of one core, HTTP and Kafka client included.
func BenchmarkAsynchronousPush(b *testing.B) {
	url := server(b, startBroker(b), false).URL + "/v1/push/rides"
	b.ResetTimer()
	before := cpu(b)
	run := part(b, "callers", url, strconv.Itoa(b.N))
	if err := run.Run(); err != nil {
		b.Fatal(err)
	}
	rows := float64(b.N * batchRows)
	b.ReportMetric(rows/(cpu(b)-before).Seconds(), "rows/cpu-s")
	b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
}

// part is another process of this benchmark.
func part(b *testing.B, name string, args ...string) *exec.Cmd {
	b.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), partEnv+"="+name, "DATA_DIR="+b.TempDir())
	c.Stderr = os.Stderr
	return c
}

func startBroker(b *testing.B) string {
	b.Helper()
	c := part(b, "broker")
	in, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = errors.Join(in.Close(), c.Wait()) })
	address := make([]byte, 100)
	n, err := out.Read(address)
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(string(address[:n]))
}

// cpu is what this process has used of all cores.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
