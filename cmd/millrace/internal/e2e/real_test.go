//go:build real

package e2e_test

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gocql/gocql"
)

// newStack makes a project on the servers that the environment names.
func newStack(t *testing.T, name string) *stack {
	t.Helper()
	s := newBase(t, name)
	s.real = true
	brokers, cql := os.Getenv("MILLRACE_TEST_KAFKA"), os.Getenv("MILLRACE_TEST_CQL")
	if brokers == "" || cql == "" {
		t.Fatal("set MILLRACE_TEST_KAFKA and MILLRACE_TEST_CQL to host:port, or run make test-real")
	}
	s.brokers = strings.Split(brokers, ",")
	host, port, err := net.SplitHostPort(cql)
	if err != nil {
		t.Fatal(err)
	}
	s.env = []string{
		"MILLRACE_KAFKA_BROKERS=" + brokers, "MILLRACE_STORE_TYPE=scylla", "MILLRACE_STORE_HOSTS=" + host,
		"MILLRACE_STORE_PORT=" + port, "MILLRACE_SERVE_HTTP=" + s.http, "MILLRACE_PROJECT=" + s.project,
		"MILLRACE_KAFKA_SESSION_TIMEOUT=6s",
	}
	return s
}

// crashPartitions is more than there are processes.
const crashPartitions = 6

// up creates the topic, applies, and starts one ingest and one serve.
func (s *stack) up(partitions int32) *process {
	s.t.Helper()
	s.createTopic(partitions, nil)
	s.mustRun("apply", "--definitions", "definitions")
	serve := s.start(s.admin, "serve")
	p := s.startIngest()
	s.ready(serve)
	return p
}

// startIngest starts one more ingesting process.
func (s *stack) startIngest() *process {
	s.t.Helper()
	p := s.start(freePort(s.t), "ingest")
	s.ready(p)
	return p
}

// ingesters is how many ingesting processes share the work in a crash test.
const ingesters = 3

// inCI is the size of the crash test in make test-real.
var inCI = struct{ seeds, idSeeds, events, rekeySeeds, rekeyEvents, pushSeeds, predictionSeeds int }{3, 2, 100_000, 2, 50_000, 2, 2}

// restartIngest starts another process and does not wait for it.
func (s *stack) restartIngest() { s.start(freePort(s.t), "ingest") }

// TestMemberWithoutPartitions starts more processes than there are partitions:
// the spare one is ready too, or a rolling update would wait for ever.
func TestMemberWithoutPartitions(t *testing.T) {
	s := newStack(t, "spare")
	s.write(tripDefinitions)
	s.up(1)
	s.startIngest()
}

// rawUpsert writes a row of 80 bytes to the project's table, by itself.
func (s *stack) rawUpsert() func(ctx context.Context, n int64) error {
	s.t.Helper()
	host, port, err := net.SplitHostPort(os.Getenv("MILLRACE_TEST_CQL"))
	if err != nil {
		s.t.Fatal(err)
	}
	c := gocql.NewCluster(host)
	c.Port, _ = strconv.Atoi(port)
	c.Keyspace, c.Timeout, c.Consistency, c.WriteCoalesceWaitTime = "millrace_"+s.project, 20*time.Second, gocql.LocalQuorum, 0
	session, err := c.CreateSession()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(session.Close)
	return func(ctx context.Context, n int64) error {
		return session.Query("INSERT INTO latest (entity, key, feature_view, v) VALUES ('raw', '1', 'raw', ?) USING TIMESTAMP ?", make([]byte, 80), n+1).
			Idempotent(true).WithContext(ctx).Exec()
	}
}
