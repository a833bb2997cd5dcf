package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	partitions = 4
	entities   = 100_000
)

// trip is the event of the ingest scenarios, about 200 bytes.
func trip(dst []byte, n, driver int, rng *rand.Rand, at time.Time) []byte {
	return fmt.Appendf(dst[:0], `{"trip_id":"t-%010d","driver":{"id":%d},"fare":%.2f,"km":%.1f,"status":"completed","city":"c-%03d","vehicle":"sedan","completed_at":"%s"}`,
		n, driver, 3+rng.Float64()*40, rng.ExpFloat64()*6, rng.IntN(500), at.UTC().Format("2006-01-02T15:04:05.000000Z"))
}

const ingestDefinitions = `
project: PROJECT
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: trips
    kafka: {topic: PROJECT, start: earliest}
    format: json
    fields:
      - {name: driver_id, type: int64, path: driver.id}
      - {name: fare, type: float64}
      - {name: km, type: float64}
      - {name: status, type: string}
      - {name: completed_at, type: timestamp}
    event_time: completed_at
views:
  - name: driver_trips
    entity: driver
    source: trips
    features:
      - {name: last_fare, expr: fare}
      - {name: fare_per_km, expr: "fare / nullif(km, 0)"}
      - {name: tier, expr: upper(status)}
`

// project is a fresh project on the servers.
type project struct {
	name, dir, binary string
	env               []string
	s                 settings
}

func newProject(s settings, name, definitions string) (*project, error) {
	dir, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	p := &project{name: fmt.Sprintf("%s_%d", name, time.Now().Unix()%1e7), dir: dir, binary: s.binary, s: s}
	p.env = append(os.Environ(), "MILLRACE_PROJECT="+p.name, "MILLRACE_TELEMETRY_LOG_LEVEL=warn")
	if !s.embedded() {
		host, port, err := net.SplitHostPort(s.cql)
		if err != nil {
			return nil, fmt.Errorf("read -cql: %w", err)
		}
		p.env = append(p.env, "MILLRACE_KAFKA_BROKERS="+s.kafka, "MILLRACE_STORE_TYPE=scylla",
			"MILLRACE_STORE_HOSTS="+host, "MILLRACE_STORE_PORT="+port, "MILLRACE_STORE_TIMEOUT=20s")
	}
	defs := filepath.Join(dir, "definitions")
	if err := os.Mkdir(defs, 0o750); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	text := strings.ReplaceAll(definitions, "PROJECT", p.name)
	if err := os.WriteFile(filepath.Join(defs, "features.yaml"), []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write definitions: %w", err)
	}
	return p, nil
}

func (p *project) close() { _ = os.RemoveAll(p.dir) }

func (p *project) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), p.binary, args...)
	cmd.Dir, cmd.Env, cmd.Stderr = p.dir, p.env, os.Stderr
	return cmd
}

func (p *project) apply() error {
	out, err := p.command("apply", "--definitions", "definitions").Output()
	if err != nil {
		return fmt.Errorf("apply: %w: %s", err, out)
	}
	return nil
}

// produce fills the project's topic with n events.
func (p *project) produce(ctx context.Context, n int) error {
	if err := p.createTopic(ctx, partitions); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(p.s.seed, 1))
	base := time.Now().Add(-time.Hour)
	return p.send(ctx, n, func(i int, r *kgo.Record) {
		r.Key = []byte(strconv.Itoa(i))
		r.Value = trip(nil, i, rng.IntN(entities), rng, base.Add(time.Duration(i)*time.Microsecond))
	})
}

// createTopic makes the project's topic.
func (p *project) createTopic(ctx context.Context, partitions int32) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(p.s.kafka))
	if err != nil {
		return fmt.Errorf("make an admin client: %w", err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, p.name); err != nil {
		return fmt.Errorf("create the topic: %w", err)
	}
	return nil
}

// send produces n records to the project's topic: by their keys, or to the
// partition they say when options ask for that.
func (p *project) send(ctx context.Context, n int, write func(i int, r *kgo.Record), options ...kgo.Opt) error {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(p.s.kafka), kgo.ProducerLinger(5 * time.Millisecond),
		kgo.MaxBufferedRecords(50_000), kgo.DefaultProduceTopic(p.name),
	}, options...)...)
	if err != nil {
		return fmt.Errorf("make a producer: %w", err)
	}
	defer client.Close()
	failed := make(chan error, 1)
	for i := range n {
		record := new(kgo.Record)
		write(i, record)
		client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	select {
	case err := <-failed:
		return fmt.Errorf("produce: %w", err)
	default:
		return nil
	}
}

// usage is what a process or a loop used.
type usage struct {
	wall, cpu time.Duration
	maxRSS    int64 // KiB
}

func selfCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return cpuOf(&u)
}

func cpuOf(u *syscall.Rusage) time.Duration {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure times a loop of this process.
func measure(loop func() error) (usage, error) {
	cpu, began := selfCPU(), time.Now()
	err := loop()
	return usage{wall: time.Since(began), cpu: selfCPU() - cpu}, err
}
