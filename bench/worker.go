package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// worker is a running `millrace ingest` that waits for events.
type worker struct {
	p        *project
	cmd      *exec.Cmd
	admin    string
	client   *kgo.Client
	produced int64
}

// burst is what some events took, from the first that was sent until all of
// them were committed.
type burst struct {
	usage
	events          int
	written, loaded float64 // tiles
}

// work starts `millrace ingest`.
func (p *project) work(ctx context.Context) (*worker, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(p.s.kafka))
	if err != nil {
		return nil, fmt.Errorf("make an admin client: %w", err)
	}
	w := &worker{p: p, client: client, admin: freeAddr()}
	p.env = append(p.env, "MILLRACE_TELEMETRY_ADMIN="+w.admin)
	w.cmd = p.command("ingest")
	if err := w.cmd.Start(); err != nil {
		client.Close()
		return nil, fmt.Errorf("start ingest: %w", err)
	}
	if err := waitReady(ctx, w.admin); err != nil {
		w.stop()
		return nil, fmt.Errorf("start ingest: %w", err)
	}
	return w, nil
}

// end ends the process and says how much memory it had at most, in KiB.
func (w *worker) end() (maxRSS int64, err error) {
	if w.cmd.ProcessState != nil {
		return 0, errors.New("the process has ended before")
	}
	w.client.Close()
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	if err := w.cmd.Wait(); err != nil {
		return 0, fmt.Errorf("end ingest: %w", err)
	}
	if ru, ok := w.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		maxRSS = ru.Maxrss
	}
	return maxRSS, nil
}

// stop ends the process if it runs, and forgets the project.
func (w *worker) stop() {
	if w.cmd.ProcessState == nil {
		_, _ = w.end()
	}
	w.p.close()
}

// take sends n events and waits until they are committed.
func (w *worker) take(ctx context.Context, n int, write func(i int, r *kgo.Record)) (burst, error) {
	b := burst{events: n}
	before, err := w.counters(ctx)
	if err != nil {
		return b, err
	}
	cpu, began := w.cpu(), time.Now()
	if err := w.p.send(ctx, n, write); err != nil {
		return b, err
	}
	w.produced += int64(n)
	if err := waitCommitted(ctx, kadm.NewClient(w.client), "millrace-"+w.p.name, w.p.name, w.produced, w.cmd); err != nil {
		return b, err
	}
	b.wall, b.cpu = time.Since(began), w.cpu()-cpu
	after, err := w.counters(ctx)
	b.written = after["millrace_tiles_written_total"] - before["millrace_tiles_written_total"]
	b.loaded = after["millrace_tiles_loaded_total"] - before["millrace_tiles_loaded_total"]
	return b, err
}

const ticksPerSecond = 100 // of /proc on Linux

// cpu is what the process has used so far.
func (w *worker) cpu() time.Duration { return cpuOfProcess(w.cmd.Process.Pid) }

// cpuOfProcess is what a process has used so far; 0 where there is no /proc.
func cpuOfProcess(pid int) time.Duration {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name, in parentheses, may have spaces; fields are counted behind it.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int64
	for _, at := range []int{11, 12} { // utime, stime
		n, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

func (w *worker) counters(ctx context.Context) (map[string]float64, error) {
	return countersOf(ctx, w.admin)
}

// countersOf reads the metrics of the process with this admin address, sums over
// their labels.
func countersOf(ctx context.Context, admin string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("ask for metrics: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for metrics: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	sums := make(map[string]float64)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		name, _, _ = strings.Cut(name, "{")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			sums[name] += v
		}
	}
	return sums, nil
}
