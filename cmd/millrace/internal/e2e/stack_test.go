package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// binary is the built millrace, made once for all tests.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "millrace-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	binary = filepath.Join(dir, "millrace")
	out, err := exec.Command("go", "build", "-o", binary, "millrace/cmd/millrace").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "build millrace: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// stack is a project with everything around it: a broker, a store, and the
// processes of Millrace that a test starts.
type stack struct {
	t        *testing.T
	project  string
	topic    string
	suffixes []string // of topics, where a project has several; "" is topic itself
	dir      string
	brokers  []string
	env      []string // of every process
	real     bool     // Apache Kafka and Apache Cassandra instead of `dev`
	http     string
	admin    string

	mu     sync.Mutex
	procs  []*process
	client *kgo.Client
	adm    *kadm.Client
}

// process is one running millrace.
type process struct {
	cmd   *exec.Cmd
	log   *logBuffer
	done  chan struct{}
	admin string
	err   error
}

// logBuffer keeps what a process said, for the failure message.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // only its number was wanted
	return l.Addr().String()
}

// newBase makes the parts of a stack that both kinds share.
func newBase(t *testing.T, name string) *stack {
	t.Helper()
	s := &stack{t: t, project: fmt.Sprintf("e2e_%s_%d", name, time.Now().UnixNano()%1e9), dir: t.TempDir()}
	s.topic = s.project + "_trips"
	s.http, s.admin = freePort(t), freePort(t)
	t.Cleanup(s.close)
	return s
}

func (s *stack) close() {
	for _, p := range s.procs {
		p.stop(syscall.SIGTERM)
	}
	if s.client != nil {
		s.client.Close()
	}
	if s.t.Failed() {
		for i, p := range s.procs {
			s.t.Logf("process %d (%s):\n%s", i, strings.Join(p.cmd.Args[1:], " "), tail(p.log.String(), 6000))
		}
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// start runs the binary with args; admin is its admin address.
func (s *stack) start(admin string, args ...string) *process {
	s.t.Helper()
	return s.startWith(nil, admin, args...)
}

// startWith is start with an environment that overrides the stack's.
func (s *stack) startWith(env []string, admin string, args ...string) *process {
	s.t.Helper()
	p := &process{cmd: exec.Command(binary, args...), log: new(logBuffer), done: make(chan struct{}), admin: admin}
	p.cmd.Env = slices.Concat(os.Environ(), s.env, []string{"MILLRACE_TELEMETRY_ADMIN=" + admin}, env)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = p.log, p.log, s.dir
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	s.mu.Lock()
	s.procs = append(s.procs, p)
	s.mu.Unlock()
	return p
}

// stop sends a signal and waits for the end; a process that ignores it is killed.
func (p *process) stop(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// running returns the processes that run.
func (s *stack) running() []*process {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*process
	for _, p := range s.procs {
		if p.running() {
			all = append(all, p)
		}
	}
	return all
}

// run executes a command to its end and returns what it printed.
func (s *stack) run(args ...string) (string, error) {
	s.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env, cmd.Dir = append(os.Environ(), s.env...), s.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *stack) mustRun(args ...string) string {
	s.t.Helper()
	out, err := s.run(args...)
	if err != nil {
		s.t.Fatalf("millrace %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// write makes the definitions folder.
func (s *stack) write(definitions string) {
	s.t.Helper()
	text := strings.NewReplacer("PROJECT", s.project, "TOPIC", s.topic).Replace(definitions)
	dir := filepath.Join(s.dir, "definitions")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "features.yaml"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// pythonPackages installs the packages of a list, by default those of the
// Python examples, on first use, and returns the repository and their folder.
func pythonPackages(t *testing.T, name string, list ...string) (root, folder string) {
	t.Helper()
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	folder = filepath.Join(root, ".tools", name)
	out, err := exec.Command(filepath.Join(root, "tools/python.sh"), append([]string{folder}, list...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("install Python packages: %v\n%s", err, out)
	}
	return root, folder
}

// kafka returns a producer and admin client.
func (s *stack) kafka() (*kgo.Client, *kadm.Client) {
	s.t.Helper()
	if s.client == nil {
		opts := []kgo.Opt{
			kgo.SeedBrokers(s.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerBatchMaxBytes(16 << 20), kgo.ProducerLinger(time.Millisecond), kgo.UnknownTopicRetries(10),
		}
		if !s.real {
			// The embedded broker forgets producers when it is killed, and an
			// idempotent one that is forgotten with several requests in flight
			// may wait for good (docs/dependencies.md). What comes twice is in
			// the log twice, which is what tests count.
			opts = append(opts, kgo.DisableIdempotentWrite())
		}
		c, err := kgo.NewClient(opts...)
		if err != nil {
			s.t.Fatal(err)
		}
		s.client, s.adm = c, kadm.NewClient(c)
	}
	return s.client, s.adm
}

// topics are what producers write to.
func (s *stack) topics() []string {
	if len(s.suffixes) == 0 {
		return []string{s.topic}
	}
	var all []string
	for _, suffix := range s.suffixes {
		all = append(all, s.topic+suffix)
	}
	return all
}

// createTopic makes the stack's topics.
func (s *stack) createTopic(partitions int32, configs map[string]*string) {
	s.t.Helper()
	_, adm := s.kafka()
	s.eventually(20*time.Second, "create topic", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		made, err := adm.CreateTopics(ctx, partitions, 1, configs, s.topics()...)
		if err != nil {
			return err
		}
		return made.Error()
	})
}

// produce sends one record and waits for the acknowledgement.
func (s *stack) produce(partition int32, key, value string, headers ...kgo.RecordHeader) *kgo.Record {
	s.t.Helper()
	return s.send(&kgo.Record{Topic: s.topic, Partition: partition, Key: []byte(key), Value: []byte(value), Headers: headers})
}

// send sends a record and waits for the acknowledgement.
func (s *stack) send(r *kgo.Record) *kgo.Record {
	s.t.Helper()
	client, _ := s.kafka()
	if err := client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// eventually repeats check until it succeeds or the time is over.
func (s *stack) eventually(limit time.Duration, what string, check func() error) {
	s.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		time.Sleep(20 * time.Millisecond) // polling the outside of another process: there is no event to wait for
	}
}

// answer is what POST /v1/lookup returns.
type answer struct {
	Features []string `json:"features"`
	Rows     []struct {
		Entity map[string]any    `json:"entity"`
		Values []json.RawMessage `json:"values"`
		Status []string          `json:"status"`
	} `json:"rows"`
}

// lookup asks the read API for features of drivers.
func (s *stack) lookup(features []string, drivers ...int64) (*answer, error) {
	rows := make([]map[string]any, len(drivers))
	for i, d := range drivers {
		rows[i] = map[string]any{"driver_id": d}
	}
	var a answer
	status, text, err := s.post("/v1/lookup", map[string]any{"features": features, "entities": rows, "include": []string{"status"}})
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("status %d: %s", status, text)
	}
	return &a, json.Unmarshal(text, &a)
}

func (s *stack) post(path string, body any) (int, []byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.Post("http://"+s.http+path, "application/json", bytes.NewReader(b))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// waitValue waits until a driver's feature has a value.
func (s *stack) waitValue(limit time.Duration, driver int64, feature, want string) {
	s.t.Helper()
	s.eventually(limit, fmt.Sprintf("%s = %s", feature, want), func() error {
		a, err := s.lookup([]string{feature}, driver)
		if err != nil {
			return err
		}
		if got := string(a.Rows[0].Values[0]); got != want {
			return fmt.Errorf("it is %s (%s)", got, a.Rows[0].Status[0])
		}
		return nil
	})
}

// ready waits until a process says that it is.
func (s *stack) ready(p *process) {
	s.t.Helper()
	s.eventually(60*time.Second, "ready", func() error {
		if !p.running() {
			s.t.Fatalf("the process ended: %v\n%s", p.err, p.log)
		}
		resp, err := http.Get("http://" + p.admin + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close() //nolint:errcheck // nothing is written to it
		if resp.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(resp.Body)
			return fmt.Errorf("%d: %s", resp.StatusCode, text)
		}
		return nil
	})
}

// lag returns how many records the group has not committed.
func (s *stack) lag() (int64, error) { return s.lagOf(s.group(), s.topics()...) }

func (s *stack) lagOf(group string, topics ...string) (int64, error) {
	_, adm := s.kafka()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	committed, err := adm.FetchOffsets(ctx, group)
	if err != nil {
		return 0, err
	}
	ends, err := adm.ListEndOffsets(ctx, topics...)
	if err != nil {
		return 0, err
	}
	var lag int64
	ends.Each(func(e kadm.ListedOffset) {
		if e.Offset <= 0 {
			return
		}
		at, ok := committed.Lookup(e.Topic, e.Partition)
		if !ok {
			err = fmt.Errorf("partition %d of topic %s has no committed offset", e.Partition, e.Topic)
		}
		lag += e.Offset - at.At
	})
	return lag, err
}

// waitCaughtUp waits until every record has its end.
func (s *stack) waitCaughtUp(limit time.Duration) {
	s.t.Helper()
	s.eventually(limit, "caught up", func() error {
		lag, err := s.lag()
		if err == nil && lag != 0 {
			err = fmt.Errorf("lag is %d", lag)
		}
		return err
	})
}

// group is the consumer group in use.
func (s *stack) group() string {
	for _, e := range s.env {
		if name, ok := strings.CutPrefix(e, "MILLRACE_KAFKA_GROUP="); ok {
			return name
		}
	}
	return "millrace-" + s.project
}

// configure changes the topic's settings.
func (s *stack) configure(configs map[string]string) {
	s.t.Helper()
	_, adm := s.kafka()
	var changes []kadm.AlterConfig
	for name, value := range configs {
		changes = append(changes, kadm.AlterConfig{Name: name, Value: &value})
	}
	if _, err := adm.AlterTopicConfigs(context.Background(), changes, s.topic); err != nil {
		s.t.Fatal(err)
	}
}
