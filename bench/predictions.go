package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/serving/predict/predicttest"
)

// fraudModel is a model over two of the features of the ingest scenario, with a
// service without its prediction and one with it.
const fraudModel = `models:
  - name: fraud
    version: "1"
    endpoint: ENDPOINT
    entity: driver
    inputs: ["driver_trips:last_fare", "driver_trips:fare_per_km"]
    outputs: [{name: score, type: float64}]
    on_error: last_value
    refresh: REFRESH
services:
  - {name: features, features: [driver_trips]}
  - {name: scored, features: [driver_trips, "fraud:score"]}
`

// modelServer is a model of this process, over real connections.
type modelServer struct {
	fake        *predicttest.Server
	http        *http.Server
	addr        string
	calls, rows atomic.Int64 // of the model
}

// startModel serves the model, which takes so long for each call.
func startModel(delay time.Duration) (*modelServer, error) {
	m := new(modelServer)
	sum := predicttest.Sum("fraud", "1", "score")
	infer := sum.Infer
	sum.Infer = func(in map[string]predicttest.Tensor, rows int) ([]predicttest.Tensor, error) {
		m.rows.Add(int64(rows))
		return infer(in, rows)
	}
	m.fake = predicttest.New(sum)
	m.fake.Behave(predicttest.Behaviour{Delay: delay})
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start a model server: %w", err)
	}
	m.addr = l.Addr().String()
	m.http = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/infer") {
			m.calls.Add(1)
		}
		m.fake.ServeHTTP(w, r)
	})}
	go m.http.Serve(l) //nolint:errcheck // it ends when it is closed
	return m, nil
}

// close ends the server: from now on connections are refused.
func (m *modelServer) close() { _ = m.http.Close() }

// system is a project whose processes run, and the model that they ask.
type system struct {
	*project

	model     *modelServer
	http      string
	client    *http.Client
	processes []*exec.Cmd
	admins    []string // parallel to processes
}

// startSystem runs everything of a project with the model, which is refreshed as
// refresh says: one `millrace dev`, or `ingest`, `serve` and `refresh` on the
// servers. extra is added to the model's definition.
func startSystem(ctx context.Context, s settings, name, refresh, extra string, m *modelServer) (y *system, err error) {
	definitions := strings.NewReplacer("ENDPOINT", "http://"+m.addr, "REFRESH", refresh+extra).Replace(fraudModel)
	p, err := newProject(s, name, ingestDefinitions+definitions)
	if err != nil {
		return nil, err
	}
	y = &system{project: p, model: m, http: freeAddr(), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1100}}}
	defer func() {
		if err != nil {
			y.stop()
		}
	}()
	y.env = append(y.env, "MILLRACE_SERVE_HTTP="+y.http, "MILLRACE_SERVE_CONCURRENCY=1200")
	if s.embedded() {
		y.s.kafka = freeAddr()
		err := y.start(ctx, "dev", "--kafka", y.s.kafka, "--data-dir", filepath.Join(y.dir, "data"), "--definitions", "definitions")
		return y, err
	}
	if err := y.createTopic(ctx, partitions); err != nil {
		return y, err
	}
	if err := y.apply(); err != nil {
		return y, err
	}
	roles := []string{"ingest", "serve"}
	if strings.Contains(refresh, "on_write") {
		roles = append(roles, "refresh")
	}
	for _, role := range roles {
		if err := y.start(ctx, role); err != nil {
			return y, err
		}
	}
	return y, nil
}

// start starts one process and waits until it is ready.
func (y *system) start(ctx context.Context, args ...string) error {
	admin := freeAddr()
	cmd := y.command(args...)
	cmd.Env = append(slices.Clip(cmd.Env), "MILLRACE_TELEMETRY_ADMIN="+admin)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", args[0], err)
	}
	y.processes, y.admins = append(y.processes, cmd), append(y.admins, admin)
	if err := waitReady(ctx, admin); err != nil {
		return fmt.Errorf("start %s: %w", args[0], err)
	}
	return nil
}

func (y *system) stop() {
	for _, cmd := range y.processes {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, cmd := range y.processes {
		_ = cmd.Wait()
	}
	y.client.CloseIdleConnections()
	y.close()
}

// cpu is what the project's processes have used so far.
func (y *system) cpu() (sum time.Duration) {
	for _, cmd := range y.processes {
		sum += cpuOfProcess(cmd.Process.Pid)
	}
	return sum
}

// counters are the metrics of all processes, sums over their labels.
func (y *system) counters(ctx context.Context) (map[string]float64, error) {
	sums := make(map[string]float64)
	for _, admin := range y.admins {
		of, err := countersOf(ctx, admin)
		if err != nil {
			return nil, err
		}
		for name, v := range of {
			sums[name] += v
		}
	}
	return sums, nil
}

// fare is an event of a driver whose score is twice its serial number.
func fare(driver, serial int) *kgo.Record {
	return &kgo.Record{Key: []byte(strconv.Itoa(driver)), Value: fmt.Appendf(nil,
		`{"driver":{"id":%d},"fare":%d,"km":1,"status":"completed","completed_at":%q}`, driver, serial, time.Now().UTC().Format(time.RFC3339Nano))}
}

// fill has the drivers below n take in an event each, and waits until it is
// committed. Nothing was produced before.
func (y *system) fill(ctx context.Context, n int) error { return y.take(ctx, n, n, n) }

// take produces n events over drivers, and waits until altogether total are
// committed.
func (y *system) take(ctx context.Context, n, drivers, total int) error {
	err := y.send(ctx, n, func(i int, r *kgo.Record) { *r = *fare(i%drivers, i) })
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(y.s.kafka))
	if err != nil {
		return fmt.Errorf("make an admin client: %w", err)
	}
	defer client.Close()
	return waitCommitted(ctx, kadm.NewClient(client), "millrace-"+y.name, y.name, int64(total), y.processes[0])
}

// score is a prediction as it was answered, 0 if it was null.
type score struct {
	value  float64
	origin string
}

// scores asks for predictions of drivers.
func (y *system) scores(ctx context.Context, timeout time.Duration, drivers ...int) ([]score, error) {
	text, err := y.ask(ctx, timeout, fmt.Sprintf(`{"features":["fraud:score"],"entities":{"driver_id":%s},"include":["origin"]}`,
		strings.ReplaceAll(fmt.Sprint(drivers), " ", ",")))
	if err != nil {
		return nil, err
	}
	var a struct {
		Rows []struct {
			Values []*float64 `json:"values"`
			Origin []*string  `json:"origin"`
		} `json:"rows"`
	}
	if err := json.Unmarshal(text, &a); err != nil || len(a.Rows) != len(drivers) {
		return nil, fmt.Errorf("answered %s: %w", text, err)
	}
	scores := make([]score, len(drivers))
	for i := range a.Rows {
		if v := a.Rows[i].Values[0]; v != nil {
			scores[i].value = *v
		}
		if o := a.Rows[i].Origin[0]; o != nil {
			scores[i].origin = *o
		}
	}
	return scores, nil
}

// errUnavailable is said of lookups for which the store was too slow, or there
// were too many.
var errUnavailable = errors.New("no answer")

// ask sends a lookup and returns the answer.
func (y *system) ask(ctx context.Context, timeout time.Duration, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+y.http+"/v1/lookup", strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("X-Request-Timeout", timeout.String())
	resp, err := y.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("send the request: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusGatewayTimeout || resp.StatusCode == http.StatusServiceUnavailable {
		return nil, fmt.Errorf("%w: %d", errUnavailable, resp.StatusCode)
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("answered %d: %s", resp.StatusCode, text)
	}
	return text, err
}

// patient is the deadline of lookups that are to be measured, not refused.
const patient = 20 * time.Second

// waitFresh asks for the scores of drivers until all are stored and fresh.
func (y *system) waitFresh(ctx context.Context, drivers int) error {
	const batch = 100
	end := time.Now().Add(2 * time.Minute)
	for first := 0; first < drivers; {
		keys := make([]int, min(batch, drivers-first))
		for i := range keys {
			keys[i] = first + i
		}
		got, err := y.scores(ctx, patient, keys...)
		if err != nil {
			return err
		}
		fresh := 0
		for _, s := range got {
			if strings.HasPrefix(s.origin, "prediction_fresh:") {
				fresh++
			}
		}
		switch {
		case fresh == len(keys):
			first += batch
		case time.Now().After(end):
			return errors.New("the predictions were not fresh in two minutes: " + got[0].origin)
		}
	}
	return nil
}

// crowd calls do n times at once and returns how long each took.
func crowd(n int, do func() error) ([]time.Duration, error) {
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	took, errs := make([]time.Duration, n), make([]error, n)
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-begin
			began := time.Now()
			errs[i] = do()
			took[i] = time.Since(began)
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
	return took, errors.Join(errs...)
}
