// Command bench measures Millrace as a whole against real servers, each figure
// beside the cheapest loop that does the same on the same server in the same
// run, because absolute numbers drift on shared machines.
//
// Invariant: every figure of a report comes from that run, and the report says
// on what machine, with what versions and seed.
//
//	go run ./bench -scenario ingest,read -out bench/results
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings is what the command line says.
type settings struct {
	scenarios string
	kafka     string
	cql       string
	out       string
	seed      uint64
	events    int
	burst     int
	hot       int
	rounds    int
	reads     time.Duration
	changes   time.Duration
	binary    string // the built millrace
}

// embedded reports whether no servers are named: projects then run `millrace
// dev`, where the scenario can.
func (s *settings) embedded() bool { return s.kafka == "" && s.cql == "" }

var scenarios = map[string]func(context.Context, settings, *report) error{
	"ingest": ingest, "changelog": changelogIngest, "read": read, "read-windows": readWindows,
	"predict-read": predictRead, "predict-change": predictChange, "predict-fault": predictFault,
	"windows": windowsIngest, "windows-sketches": windowsSketches, "windows-event-id": windowsEventID,
}

// canRun reports whether a scenario has the servers it needs.
func (s *settings) canRun(name string) bool {
	if s.embedded() {
		return strings.HasPrefix(name, "predict-")
	}
	return s.kafka != "" && s.cql != ""
}

func main() {
	var s settings
	flag.StringVar(&s.scenarios, "scenario", "ingest,read", "scenarios to run, separated by commas")
	flag.StringVar(&s.kafka, "kafka", os.Getenv("MILLRACE_TEST_KAFKA"), "Kafka broker, host:port")
	flag.StringVar(&s.cql, "cql", os.Getenv("MILLRACE_TEST_CQL"), "Cassandra or ScyllaDB node, host:port")
	flag.StringVar(&s.out, "out", "bench/results", "folder for the report")
	flag.Uint64Var(&s.seed, "seed", 1, "seed of the events")
	flag.IntVar(&s.events, "events", 300_000, "events per round of the ingest scenario")
	flag.IntVar(&s.burst, "burst", 100_000, "events per round of the windows scenarios")
	flag.IntVar(&s.hot, "hot", entities, "entities of the windows scenarios")
	flag.IntVar(&s.rounds, "rounds", 3, "rounds; medians are reported")
	flag.DurationVar(&s.reads, "reads", 4*time.Second, "time per measurement of the read scenarios")
	flag.DurationVar(&s.changes, "changes", 20*time.Second, "time of changes per variant of predict-change")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	build, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(build) //nolint:errcheck // a temporary folder
	s.binary = filepath.Join(build, "millrace")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", s.binary, "millrace/cmd/millrace").CombinedOutput(); err != nil {
		return fmt.Errorf("build millrace: %w: %s", err, out)
	}
	r := newReport(s)
	for name := range strings.SplitSeq(s.scenarios, ",") {
		scenario, ok := scenarios[name]
		if !ok {
			return fmt.Errorf("no scenario %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(scenarios)), ", "))
		}
		if !s.canRun(name) {
			return fmt.Errorf("scenario %s: name the servers with -kafka and -cql, or run make bench, which starts them", name)
		}
		if err := scenario(ctx, s, r); err != nil {
			fmt.Print(r.markdown()) // what was measured before is not lost
			return fmt.Errorf("scenario %s: %w", name, err)
		}
	}
	text := r.markdown()
	fmt.Print(text)
	if err := os.MkdirAll(s.out, 0o750); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	path := filepath.Join(s.out, time.Now().UTC().Format("2006-01-02T150405Z")+".md")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	fmt.Println("\nwritten to", path)
	return nil
}
