package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	readFeatures = 50
	readEntities = 10_000
)

// readDefinitions is a view of 50 features: 20 floats, 15 integers, 15 texts.
func readDefinitions() string {
	var fields, features strings.Builder
	for i := range readFeatures {
		kind := "float64"
		switch {
		case i >= 35:
			kind = "string"
		case i >= 20:
			kind = "int64"
		}
		fmt.Fprintf(&fields, "      - {name: f%d, type: %s}\n", i, kind)
		fmt.Fprintf(&features, "      - {name: f%d}\n", i)
	}
	return `
project: PROJECT
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: wide
    kafka: {topic: PROJECT, start: earliest}
    format: json
    fields:
      - {name: driver_id, type: int64}
` + fields.String() + `views:
  - name: wide_view
    entity: driver
    source: wide
    features:
` + features.String() + `services:
  - {name: wide, features: [wide_view]}
`
}

// read measures lookups of 1, 10 and 100 entities × 50 features over HTTP
// beside raw concurrent selects of the same rows.
func read(ctx context.Context, s settings, r *report) error {
	p, err := newProject(s, "bench_read", readDefinitions())
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.apply(); err != nil {
		return err
	}
	if err := p.fillWide(ctx); err != nil {
		return err
	}
	one := *p
	one.s.events = readEntities
	if _, err := ingestOnce(ctx, &one); err != nil {
		return err
	}
	return p.whileServed(ctx, func(db *rawStore, addr string) error { return readTable(ctx, s, r, db, addr) })
}

// whileServed calls fn with the project's tables and the address of `millrace
// serve`, which runs meanwhile.
func (p *project) whileServed(ctx context.Context, fn func(db *rawStore, addr string) error) error {
	db, err := openRaw(p.s.cql, "millrace_"+p.name)
	if err != nil {
		return err
	}
	defer db.close()
	addr, stop, err := p.serve(ctx)
	if err != nil {
		return err
	}
	defer stop()
	return fn(db, addr)
}

func (p *project) fillWide(ctx context.Context) error {
	if err := p.createTopic(ctx, partitions); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(p.s.seed, 2))
	return p.send(ctx, readEntities, func(d int, r *kgo.Record) {
		r.Key, r.Value = []byte(strconv.Itoa(d)), wide(rng, d)
	})
}

// wide is the event of the read scenario.
func wide(rng *rand.Rand, driver int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"driver_id":%d`, driver)
	for i := range readFeatures {
		switch {
		case i >= 35:
			fmt.Fprintf(&b, `,"f%d":"text-%06d"`, i, rng.IntN(1e6))
		case i >= 20:
			fmt.Fprintf(&b, `,"f%d":%d`, i, rng.Int64N(1e12))
		default:
			fmt.Fprintf(&b, `,"f%d":%g`, i, rng.NormFloat64())
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

// serve starts `millrace serve` and waits until it is ready.
func (p *project) serve(ctx context.Context) (addr string, stop func(), err error) {
	addr, admin := freeAddr(), freeAddr()
	p.env = append(p.env, "MILLRACE_SERVE_HTTP="+addr, "MILLRACE_TELEMETRY_ADMIN="+admin)
	cmd := p.command("serve")
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("start serve: %w", err)
	}
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	if err := waitReady(ctx, admin); err != nil {
		stop()
		return "", nil, fmt.Errorf("start serve: %w", err)
	}
	return addr, stop, nil
}

// waitReady waits until the process with this admin address can work.
func waitReady(ctx context.Context, admin string) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", nil)
		if err != nil {
			return fmt.Errorf("ask whether it is ready: %w", err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close() //nolint:errcheck // nothing is written to it
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return errors.New("it was not ready in 30 s")
		}
		select {
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // the caller says of what
		case <-time.After(50 * time.Millisecond): // readiness is told only to those who ask
		}
	}
}

func freeAddr() string {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer l.Close() //nolint:errcheck // only its number was wanted
	return l.Addr().String()
}

func readTable(ctx context.Context, s settings, r *report, db *rawStore, addr string) error {
	t := r.table(fmt.Sprintf("read: lookups of %d features", readFeatures), "entities", "in flight",
		"raw p50 ms", "raw p99 ms", "raw entities/s", "millrace p50 ms", "millrace p99 ms", "millrace entities/s")
	for _, c := range []struct{ entities, inFlight int }{{1, 1}, {1, 16}, {10, 1}, {10, 4}, {100, 1}, {100, 4}} {
		raw, err := hammer(ctx, s, c.inFlight, func(rng *rand.Rand) error {
			return db.read(ctx, randomKeys(rng, readEntities, c.entities), "wide_view@1")
		})
		if err != nil {
			return fmt.Errorf("raw select: %w", err)
		}
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: c.inFlight}}
		ours, err := hammer(ctx, s, c.inFlight, func(rng *rand.Rand) error {
			return lookup(ctx, client, addr, "wide", readFeatures, randomKeys(rng, readEntities, c.entities))
		})
		if err != nil {
			return fmt.Errorf("lookup: %w", err)
		}
		t.add(strconv.Itoa(c.entities), strconv.Itoa(c.inFlight),
			millis(quantile(raw, 0.5)), millis(quantile(raw, 0.99)), perSecond(float64(len(raw)*c.entities)/s.reads.Seconds()),
			millis(quantile(ours, 0.5)), millis(quantile(ours, 0.99)), perSecond(float64(len(ours)*c.entities)/s.reads.Seconds()))
	}
	t.notef("%d entities; the caller, the server and the store share the machine; "+
		"the caller's own JSON handling is not counted against either side: raw reads do not decode.", readEntities)
	return nil
}

// randomKeys is n different ones of so many entities.
func randomKeys(rng *rand.Rand, of, n int) []string {
	first := rng.IntN(of)
	keys := make([]string, n)
	for i := range keys {
		keys[i] = strconv.Itoa((first + i*97) % of)
	}
	return keys
}

func lookup(ctx context.Context, client *http.Client, addr, service string, features int, keys []string) error {
	body := `{"service":"` + service + `","entities":{"driver_id":[` + strings.Join(keys, ",") + `]}}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/lookup", strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("X-Request-Timeout", "20s") // what is slow is to be measured, not refused
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("send the request: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || n < int64(len(keys)*features)) {
		err = fmt.Errorf("answered %d with %d bytes", resp.StatusCode, n)
	}
	return err
}

// hammer repeats do from inFlight goroutines and returns every duration.
func hammer(ctx context.Context, s settings, inFlight int, do func(*rand.Rand) error) ([]time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	var first error
	var done sync.WaitGroup
	warm := time.Now().Add(s.reads / 4)
	end := warm.Add(s.reads)
	for worker := range inFlight {
		done.Go(func() {
			rng := rand.New(rand.NewPCG(s.seed, uint64(worker)))
			var mine []time.Duration
			for ctx.Err() == nil && time.Now().Before(end) {
				began := time.Now()
				if err := do(rng); err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
					return
				}
				if began.After(warm) {
					mine = append(mine, time.Since(began))
				}
			}
			mu.Lock()
			all = append(all, mine...)
			mu.Unlock()
		})
	}
	done.Wait()
	return all, first
}
