package rest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/serving"
	"millrace/serving/rest"
	"millrace/serving/servingtest"
)

var rewrite = flag.Bool("rewrite", false, "accept the answers of the scripts in testdata")

// TestScripts runs testdata/*.txt. A script is a list of blocks, each begun by
// a line "== …":
//
//	== definitions            YAML of a project; starts afresh
//	== now TIME               what the clock says; on from here
//	== row VIEW KEY TIME      a stored row, as a JSON object of columns
//	== deleted VIEW KEY TIME  a deleted row
//	== from VIEW KEY PARTITION@OFFSET TIME   the record, and its time, that the row came from
//	== event VIEW PARTITION TIME   an event that its windows count, as a JSON object of fields
//	== since VIEW FEATURE PARTITION TIME   from when on an aggregate counts
//	== tile VIEW KEY HOP PARTITION TIME    bytes of a tile, as text
//	== store up|down|silent   how the store answers from here on
//	== limit N                entities per request
//	== GET|POST PATH [Header:value]
//	body
//	-- 200
//	answer
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) { runScript(t, name) })
	}
}

// remarks are the blank lines and comments before the next block.
var remarks = regexp.MustCompile(`(\n(#[^\n]*)?)+$`)

func runScript(t *testing.T, name string) {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, store: servingtest.NewStore()}
	head, blocks, _ := strings.Cut("\n"+string(text), "\n== ")
	out := head
	for block := range strings.SplitSeq(blocks, "\n== ") {
		end := len(remarks.ReplaceAllString(block, ""))
		out += "\n== " + s.run(block[:end]) + block[end:]
	}
	if *rewrite {
		if err := os.WriteFile(name, []byte(strings.TrimPrefix(out, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

type script struct {
	t       *testing.T
	store   *servingtest.Store
	now     time.Time
	limits  serving.Limits
	project *definition.Project
	handler http.Handler // made by the first request after a change
}

// run executes one block and returns it with the answer that was given.
func (s *script) run(block string) string {
	s.t.Helper()
	head, body, _ := strings.Cut(block, "\n")
	words := strings.Fields(head)
	switch words[0] {
	case "definitions":
		s.define(body)
	case "now":
		s.now = s.time(words[1])
	case "row":
		s.must(s.store.Put(words[1]+"@1", words[2], s.time(words[3]), body))
	case "deleted":
		s.store.Delete(words[1]+"@1", words[2], s.time(words[3]))
	case "from":
		s.from(words[1], words[2], words[3], s.time(words[4]))
	case "event":
		s.must(s.store.Count(s.project.Plans[words[1]], s.partition(words[2]), s.time(words[3]), body))
	case "since":
		f, _ := s.project.Plans[words[1]].Windows.Feature(words[2])
		s.store.PutSince(feature.Since{View: words[1] + "@1", Partition: s.partition(words[3]), Aggregate: f.ID(), Micros: s.time(words[4]).UnixMicro()})
		s.handler = nil // what it knew of others
	case "tile":
		hop, err := time.ParseDuration(words[3])
		s.must(err)
		s.store.PutTile(words[1]+"@1", words[2], hop, s.time(words[5]), s.partition(words[4]), []byte(body))
	case "store":
		s.setStore(words[1])
	case "limit":
		_, err := fmt.Sscan(words[1], &s.limits.MaxEntities)
		s.must(err)
		s.handler = nil
	case "GET", "POST", "PUT":
		return head + "\n" + s.request(words, body)
	default:
		s.t.Fatalf("no such block: %s", head)
	}
	return block
}

func (s *script) define(yaml string) {
	p, err := definition.Load([]definition.File{{Name: "p.yaml", Data: []byte(yaml)}})
	s.must(err)
	s.project, s.handler = p, nil
}

func (s *script) from(view, key, record string, at time.Time) {
	var partition int32
	origin := feature.Origin{RecordMillis: at.UnixMilli()}
	_, err := fmt.Sscanf(record, "%d@%d", &partition, &origin.Offset)
	s.must(err)
	s.store.From(view+"@1", key, partition, feature.NewSequence(1, origin))
}

func (s *script) setStore(how string) {
	faults := map[string]func(context.Context) error{
		"up":     nil,
		"down":   func(context.Context) error { return errors.New("dial 10.0.0.1: connection refused") },
		"silent": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	}
	fault, ok := faults[how]
	if !ok {
		s.t.Fatalf("a store cannot be %s", how)
	}
	s.store.Fail(fault)
}

func (s *script) request(words []string, rest string) string {
	body, want, _ := strings.Cut("\n"+rest, "\n-- ")
	r := httptest.NewRequest(words[0], words[1], strings.NewReader(strings.TrimPrefix(body, "\n")))
	for _, h := range words[2:] {
		name, value, _ := strings.Cut(h, ":")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.serve(w, r)
	got := fmt.Sprint(w.Code)
	for _, h := range []string{"Retry-After", "Allow"} {
		if v := w.Header().Get(h); v != "" {
			got += " " + h + ":" + v
		}
	}
	got += "\n" + w.Body.String()
	if strings.TrimSpace(want) != strings.TrimSpace(got) && !*rewrite {
		s.t.Errorf("%s\n%s\nanswered\n%s\nnot\n%s", strings.Join(words, " "), body, got, want)
	}
	return strings.TrimPrefix(body+"\n-- "+strings.TrimSpace(got), "\n")
}

func (s *script) serve(w http.ResponseWriter, r *http.Request) {
	if s.handler == nil {
		svc, err := serving.New(serving.Settings{
			Catalog: s.project.Catalog, Plans: s.project.Plans, OnDemand: s.project.OnDemand, Store: s.store, Tiles: s.store, Limits: s.limits,
			Clock: func() time.Time { return s.now },
		})
		s.must(err)
		s.handler = rest.Handler(svc, rest.Settings{})
	}
	s.handler.ServeHTTP(w, r)
}

func (s *script) partition(text string) int32 {
	n, err := strconv.ParseInt(text, 10, 32)
	s.must(err)
	return int32(n)
}

func (s *script) time(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	s.must(err)
	return at
}

func (s *script) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
