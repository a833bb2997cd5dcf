package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"millrace/feature"
	"millrace/internal/telemetry"
	"millrace/pipeline"
)

// Status collects what a process can tell about itself. It is safe for
// concurrent use.
type Status struct {
	doc   Document
	began time.Time

	mu    sync.Mutex
	pipe  *Ingest
	feeds *Refresh
	ready bool
	views map[string]*ViewStatus
	total totals
}

// totals feed the live line.
type totals struct{ records, rows, letters int64 }

// Document is the answer of GET /v1/status.
type Document struct {
	Role           string                `json:"role"`
	Version        string                `json:"version"`
	Project        string                `json:"project"`
	CatalogVersion int64                 `json:"catalog_version"`
	PID            int                   `json:"pid"`
	UptimeSeconds  float64               `json:"uptime_seconds"`
	Lanes          []pipeline.LaneStatus `json:"lanes,omitempty"`
	Views          []ViewStatus          `json:"views,omitempty"`
	Rekeyed        []RekeyStatus         `json:"rekeyed,omitempty"`
	Refreshed      []RefreshStatus       `json:"refreshed,omitempty"`
}

// RekeyStatus tells how copying goes for one rekeyed view.
type RekeyStatus struct {
	View  string `json:"view"`
	Topic string `json:"topic"` // that copies go to
	Group string `json:"group"`
	State string `json:"state"` // starting, copying, waiting
	Error string `json:"error,omitempty"`
}

func (r *rekeyer) status() RekeyStatus {
	s := RekeyStatus{View: r.view.Name, Topic: r.topic, Group: r.group, State: "starting"}
	if r.relay.Member() {
		s.State = "copying"
	}
	if err := r.relay.Health(); err != nil {
		s.State, s.Error = "waiting", err.Error()
	}
	return s
}

// ViewStatus counts a view's rows since the process began.
type ViewStatus struct {
	View             string  `json:"view"`
	Stored           int64   `json:"stored"`
	Filtered         int64   `json:"filtered"`
	DeadLettered     int64   `json:"dead_lettered"`
	FreshnessSeconds float64 `json:"freshness_seconds"` // event time to durable, median of the last batch
}

// NewStatus returns the status of a role.
func NewStatus(role, version string, c *feature.Catalog) *Status {
	s := &Status{began: time.Now(), views: make(map[string]*ViewStatus)}
	s.doc = Document{Role: role, Version: version, Project: c.Project, CatalogVersion: c.Version, PID: os.Getpid()}
	return s
}

// Watch makes the lanes of pipe part of the status.
func (s *Status) Watch(pipe *Ingest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pipe = pipe
}

// WatchRefresh makes the changes that r follows part of the status.
func (s *Status) WatchRefresh(r *Refresh) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeds = r
}

// SetReady says that the role works.
func (s *Status) SetReady() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = true
}

// Events keeps the counters up to date.
func (s *Status) Events() pipeline.Events { return pipeline.Events{BatchDone: s.batchDone} }

func (s *Status) batchDone(b *pipeline.BatchStats) {
	now := time.Now().UnixMicro()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total.records += int64(b.Records)
	s.total.letters += int64(len(b.Rejects))
	for i := range b.Views {
		e := &b.Views[i]
		v := s.views[e.View]
		if v == nil {
			v = &ViewStatus{View: e.View}
			s.views[e.View] = v
		}
		v.Stored += int64(e.Stored)
		v.Filtered += int64(e.Filtered)
		v.DeadLettered += int64(e.DeadLettered)
		s.total.rows += int64(e.Stored)
		s.total.letters += int64(len(e.Rejects))
		if n := len(e.Origins); n > 0 {
			v.FreshnessSeconds = float64(now-e.Origins[n/2].EventMicros) / 1e6
		}
	}
}

// Document describes the process now.
func (s *Status) Document() Document {
	s.mu.Lock()
	doc, pipe, feeds := s.doc, s.pipe, s.feeds
	for _, name := range sortedKeys(s.views) {
		doc.Views = append(doc.Views, *s.views[name])
	}
	s.mu.Unlock()
	doc.UptimeSeconds = time.Since(s.began).Seconds()
	if pipe != nil {
		doc.Lanes = pipe.Snapshot()
		for _, r := range pipe.rekeyers {
			doc.Rekeyed = append(doc.Rekeyed, r.status())
		}
	}
	if feeds != nil {
		for i := range feeds.feeds {
			doc.Refreshed = append(doc.Refreshed, feeds.feeds[i].status())
		}
	}
	return doc
}

// ServeHTTP answers with the document.
func (s *Status) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(s.Document()); err != nil {
		panic(http.ErrAbortHandler) // the caller went away in mid-answer
	}
}

// Checks are the conditions of readiness of a role.
func (s *Status) Checks(store Store) []telemetry.Check {
	return []telemetry.Check{
		{Name: "store", Run: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, pingTimeout)
			defer cancel()
			return store.Ping(ctx)
		}},
		{Name: s.doc.Role, Run: func(context.Context) error { return s.working() }},
	}
}

// working holds when the API answers or, for a process that ingests or
// refreshes, when it has lanes and none of them waits for a person, and when its
// groups have taken it in.
func (s *Status) working() error {
	s.mu.Lock()
	ready, pipe, feeds := s.ready, s.pipe, s.feeds
	s.mu.Unlock()
	switch {
	case ready:
		return nil
	case pipe == nil && feeds == nil:
		return errNotReady
	}
	if pipe != nil {
		if err := pipe.working(); err != nil {
			return err
		}
	}
	if feeds != nil {
		return feeds.working()
	}
	return nil
}

func (i *Ingest) working() error {
	for _, l := range i.Snapshot() {
		if l.State == "held" {
			return fmt.Errorf("the lane of topic %s, partition %d is stopped", l.Topic, l.Partition)
		}
	}
	if !i.Joined() {
		return errNotReady
	}
	for _, r := range i.rekeyers {
		if err := r.relay.Health(); err != nil {
			return err //nolint:wrapcheck // says already what and where
		}
		if !r.relay.Member() {
			return errNotReady
		}
	}
	return nil
}

// ShowLine prints, on a terminal, a line that says every second what moves.
func (s *Status) ShowLine(ctx context.Context, out io.Writer, terminal bool) {
	if !terminal {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last totals
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(out)
			return
		case <-tick.C:
			last = s.printLine(out, last)
		}
	}
}

func (s *Status) printLine(out io.Writer, last totals) totals {
	doc := s.Document()
	s.mu.Lock()
	now := s.total
	s.mu.Unlock()
	var lag int64
	for _, l := range doc.Lanes {
		lag += l.Lag
	}
	freshness := 0.0
	for _, v := range doc.Views {
		freshness = max(freshness, v.FreshnessSeconds)
	}
	const clearLine = "\r\x1b[2K"
	fmt.Fprintf(out, "%s%d events/s  %d rows/s  lag %d  freshness %.0f ms  dead letters %d",
		clearLine, now.records-last.records, now.rows-last.rows, lag, freshness*1000, now.letters)
	return now
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
