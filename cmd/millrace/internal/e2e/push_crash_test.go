package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// pushCrashDefinitions have rows that go to the store directly, and events that
// windows count once, whoever pushes them how often.
const pushCrashDefinitions = `
project: PROJECT
entities:
  - {name: driver, join_keys: [{name: driver_id, type: int64}]}
sources:
  - name: facts
    push: {}
    fields: [{name: driver_id, type: int64}, {name: n, type: int64}]
  - name: clicks
    push: {topic: TOPIC}
    event_id: id
    fields: [{name: driver_id, type: int64}, {name: n, type: int64}, {name: id, type: string}]
views:
  - {name: fact, entity: driver, source: facts, features: [{name: n}]}
  - {name: click, entity: driver, source: clicks, features: [{name: clicks, agg: count, window: unlimited}, {name: sum, agg: sum, of: n, window: unlimited}]}
services:
  - {name: s, features: [fact, click]}
`

const (
	pushCrashKeys  = 50  // drivers whose clicks a caller counts
	pushCrashLines = 800 // of a stream
	pushCrashTries = 90 * time.Second
)

// pusher is a caller that pushes until it is told to stop, and asks again for
// whatever was not answered with a success. It notes what was.
type pusher struct {
	s    *stack
	name string
	base int64 // its drivers are from there on
	stop <-chan struct{}
	push func(p *pusher, i int) error

	facts    map[int64]int
	clicks   map[int64][2]int // count and sum
	receipts []string
	rows     int // that were answered with a success
	failed   int // answers and connections
}

// errAgain says that nothing is known of the rows.
var errAgain = errors.New("push again")

func (p *pusher) run() error {
	p.facts, p.clicks = make(map[int64]int), make(map[int64][2]int)
	for i := 0; ; i++ {
		select {
		case <-p.stop:
			return nil
		default:
		}
		for began := time.Now(); ; {
			err := p.push(p, i)
			if err == nil {
				break
			}
			p.failed++
			if !errors.Is(err, errAgain) || time.Since(began) > pushCrashTries {
				return fmt.Errorf("%s, push %d: %w", p.name, i, err)
			}
			time.Sleep(10 * time.Millisecond) // the server is being started: there is no event to wait for
		}
	}
}

// pushReply is what a push is answered.
type pushReply struct {
	status           int
	Receipt          string
	Stored, Accepted int
	Error            struct {
		Receipt string
		NextRow int `json:"next_row"`
	}
}

// post pushes once. A server that is not there, or says that it cannot, is asked
// again; anything but a success is an error.
func (p *pusher) post(path, kind, body string) (pushReply, error) {
	var r pushReply
	client := http.Client{Timeout: 20 * time.Second}
	resp, err := client.Post("http://"+p.s.http+path, kind, strings.NewReader(body))
	if err != nil {
		return r, errAgain
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(text, &r) != nil {
		return r, errAgain
	}
	switch r.status = resp.StatusCode; r.status {
	case http.StatusOK, http.StatusAccepted:
		return r, nil
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return r, errAgain
	}
	return r, fmt.Errorf("answered %d %s", r.status, text)
}

// pushFacts pushes two rows and waits until they are stored.
func pushFacts(p *pusher, i int) error {
	a, b := p.base+int64(2*i), p.base+int64(2*i+1)
	r, err := p.post("/v1/push/facts", jsonBody, fmt.Sprintf(`{"rows":[{"driver_id":%d,"n":%d},{"driver_id":%d,"n":%d}]}`, a, i, b, i))
	if err != nil {
		return err
	}
	if r.Stored != 2 {
		return fmt.Errorf("%d of 2 rows are stored", r.Stored)
	}
	p.facts[a], p.facts[b], p.rows = i, i, p.rows+2
	return nil
}

// pushStream streams rows, and goes on where a stream broke off.
func pushStream(p *pusher, i int) error {
	first := p.base + int64(i*pushCrashLines)
	for next := 0; next < pushCrashLines; {
		var b strings.Builder
		for n := next; n < pushCrashLines; n++ {
			fmt.Fprintf(&b, "{\"driver_id\":%d,\"n\":%d}\n", first+int64(n), i)
		}
		r, err := p.post("/v1/push/facts", lineBody, b.String())
		done := r.Error.NextRow
		if err == nil {
			done = r.Stored
		} else if r.status == 0 || done == 0 {
			return err
		}
		for n := next; n < next+done; n++ {
			p.facts[first+int64(n)] = i
		}
		next, p.rows = next+done, p.rows+done
	}
	return nil
}

// click is the body of a push of three events of one driver.
func (p *pusher) click(i int) (driver int64, body string) {
	driver = p.base + int64(i%pushCrashKeys)
	var rows []string
	for n := range 3 {
		rows = append(rows, fmt.Sprintf(`{"driver_id":%d,"n":%d,"id":"%s-%d-%d"}`, driver, n+1, p.name, i, n))
	}
	return driver, `{"rows":[` + strings.Join(rows, ",") + `]}`
}

func (p *pusher) clicked(driver int64, receipt string) {
	c := p.clicks[driver]
	p.clicks[driver], p.rows = [2]int{c[0] + 3, c[1] + 6}, p.rows+3
	if receipt != "" {
		p.receipts = append(p.receipts, receipt)
	}
}

// pushClicks pushes events and waits until windows have counted them, or has a
// receipt for them.
func pushClicks(p *pusher, i int) error {
	driver, body := p.click(i)
	r, err := p.post("/v1/push/clicks", jsonBody, body)
	if err != nil && r.Error.Receipt == "" {
		return err
	}
	p.clicked(driver, r.Error.Receipt)
	return nil
}

func pushClicksAsync(p *pusher, i int) error {
	driver, body := p.click(i)
	r, err := p.post("/v1/push/clicks?mode=async", jsonBody, body)
	if err != nil {
		return err
	}
	if r.Receipt == "" || r.Accepted != 3 {
		return fmt.Errorf("%d of 3 rows are accepted", r.Accepted)
	}
	p.clicked(driver, r.Receipt)
	return nil
}

// TestPushCrash kills the serving process at random while callers push: every
// row that was answered with a success is there, and counted once.
func TestPushCrash(t *testing.T) {
	eachCrashSeed(t, inCI.pushSeeds, 201, pushCrashRun)
}

func pushCrashRun(t *testing.T, seed uint64) {
	s := newStack(t, fmt.Sprintf("pushcrash%d", seed))
	s.write(pushCrashDefinitions)
	s.up(crashPartitions)
	stop := make(chan struct{})
	var all []*pusher
	for kind, push := range map[string]func(*pusher, int) error{"facts": pushFacts, "stream": pushStream, "clicks": pushClicks, "async": pushClicksAsync} {
		for n := range 2 {
			all = append(all, &pusher{s: s, name: fmt.Sprint(kind, n), push: push, stop: stop})
		}
	}
	var ended sync.WaitGroup
	errs := make([]error, len(all))
	for i, p := range all {
		p.base = int64(i+1) * 10_000_000
		ended.Go(func() { errs[i] = p.run() })
	}
	rng := rand.New(rand.NewPCG(seed, 3))
	kills := 5
	for range kills {
		time.Sleep(time.Duration(400+rng.IntN(1000)) * time.Millisecond) // chance is the point
		s.killServing()
	}
	time.Sleep(300 * time.Millisecond)
	close(stop)
	ended.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, p := range all {
		s.checkPushed(p)
		t.Logf("%s: %d rows, %d receipts, %d failures", p.name, p.rows, len(p.receipts), p.failed)
		failed += p.failed
	}
	if failed < kills {
		t.Errorf("%d kills made %d pushes fail: they were not in the middle of anything", kills, failed)
	}
}

// killServing kills the process that serves and starts another.
func (s *stack) killServing() {
	s.t.Helper()
	s.mu.Lock()
	at := slices.IndexFunc(s.procs, func(p *process) bool { return p.running() && (p.cmd.Args[1] == "serve" || !s.real) })
	victim := s.procs[at]
	s.mu.Unlock()
	victim.stop(syscall.SIGKILL)
	s.ready(s.start(victim.admin, victim.cmd.Args[1:]...))
}

// checkPushed compares what a caller was told with what is there.
func (s *stack) checkPushed(p *pusher) {
	s.t.Helper()
	if p.rows == 0 {
		s.t.Errorf("%s pushed nothing", p.name)
	}
	for _, receipt := range p.receipts {
		if r := s.waitReceipt("/v1/receipts/" + receipt); r.State != "done" || r.Finished != r.Rows {
			s.t.Errorf("%s: a receipt says %s", p.name, r.text)
		}
	}
	wrong := 0
	check := func(features []string, drivers []int64, want func(int64) string) {
		for chunk := range slices.Chunk(drivers, lookupChunk) {
			a, err := s.lookup(features, chunk...)
			if err != nil {
				s.t.Fatal(err)
			}
			for i, d := range chunk {
				var got []string
				for _, v := range a.Rows[i].Values {
					got = append(got, string(v))
				}
				if have := strings.Join(got, " "); have != want(d) {
					if wrong++; wrong <= 3 {
						s.t.Errorf("%s: %v of driver %d is %s, want %s", p.name, features, d, have, want(d))
					}
				}
			}
		}
	}
	check([]string{"fact:n"}, slices.Sorted(maps.Keys(p.facts)), func(d int64) string { return fmt.Sprint(p.facts[d]) })
	check([]string{"click:clicks", "click:sum"}, slices.Sorted(maps.Keys(p.clicks)), func(d int64) string { return fmt.Sprintf("%d %d", p.clicks[d][0], p.clicks[d][1]) })
	if wrong > 0 {
		s.t.Errorf("%s: %d of %d are wrong", p.name, wrong, len(p.facts)+len(p.clicks))
	}
}
