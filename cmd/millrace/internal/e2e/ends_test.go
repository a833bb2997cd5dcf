package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// metrics reads one process's metrics: "name{labels}" -> value.
func (s *stack) metrics(p *process) (map[string]float64, error) {
	resp, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written to it
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return nil, fmt.Errorf("/metrics answered %d: %s", resp.StatusCode, text)
	}
	all := make(map[string]float64)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), "} ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			all[name+"}"] = v
		}
	}
	return all, lines.Err()
}

// checkEnds asserts the law of ends for each view over the ingesting process
// that is running: every record came in for the view, and what came in equals
// what was stored, filtered and dead-lettered.
func (s *stack) checkEnds(views ...string) {
	s.t.Helper()
	s.eventually(5*time.Second, "ends add up", func() error {
		for _, view := range views {
			records, received, ends, err := s.counts(view)
			if err != nil {
				return err
			}
			if records == 0 || records != received || received != ends {
				return fmt.Errorf("view %s: %v records, %v received, %v ends", view, records, received, ends)
			}
		}
		return nil
	})
}

// checkReceived asserts the law of ends where records are for some views only.
func (s *stack) checkReceived(want map[string]float64) {
	s.t.Helper()
	s.eventually(5*time.Second, "ends add up", func() error {
		for view, n := range want {
			_, received, ends, err := s.counts(view)
			if err != nil {
				return err
			}
			if received != n || ends != n {
				return fmt.Errorf("view %s: %v received, %v ends, want %v", view, received, ends, n)
			}
		}
		return nil
	})
}

// counts sums over the ingesting processes that run.
func (s *stack) counts(view string) (records, received, ends float64, err error) {
	for _, p := range s.running() {
		if p.cmd.Args[1] == "serve" {
			continue
		}
		m, err := s.metrics(p)
		if err != nil {
			return 0, 0, 0, err
		}
		received += m[`millrace_rows_received_total{view="`+view+`"}`]
		for name, v := range m {
			if strings.HasPrefix(name, "millrace_source_records_total{") {
				records += v
			}
			if strings.HasPrefix(name, "millrace_rows_total{") && strings.Contains(name, `view="`+view+`"`) {
				ends += v
			}
		}
	}
	return records, received, ends, nil
}

// letter is one dead letter as `deadletter list` prints it.
type letter struct {
	Source    string `json:"source"`
	Partition int32  `json:"partition"`
	View      string `json:"view"`
	Topic     string `json:"topic"`
	Offset    int64  `json:"offset"`
	Stage     string `json:"stage"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	Key       []byte `json:"key"`
	Value     []byte `json:"value"`
	Bytes     int    `json:"value_bytes"`
	Truncated bool   `json:"truncated"`
	Headers   []struct {
		Key   string `json:"key"`
		Value []byte `json:"value"`
	} `json:"headers"`
}

// letters lists all dead letters of the project.
func (s *stack) letters() []letter {
	s.t.Helper()
	out := s.mustRun("deadletter", "list", "--limit", "0", "--definitions", "definitions")
	var all []letter
	decoder := json.NewDecoder(strings.NewReader(out))
	for decoder.More() {
		var l letter
		if err := decoder.Decode(&l); err != nil {
			s.t.Fatalf("deadletter list: %v in %s", err, tail(out, 400))
		}
		all = append(all, l)
	}
	return all
}
