//go:build real

package scylla_test

import (
	"context"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"millrace/sinks/scylla"
	"millrace/sinks/sinktest"
)

// realSettings are of the database that MILLRACE_TEST_CQL names (host:port).
func realSettings(t testing.TB, keyspace string) scylla.Settings {
	t.Helper()
	address := os.Getenv("MILLRACE_TEST_CQL")
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatalf("MILLRACE_TEST_CQL is %q, want host:port of a database: %v", address, err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("MILLRACE_TEST_CQL is %q: %v", address, err)
	}
	return scylla.Settings{Hosts: []string{host}, Port: port, Keyspace: keyspace}
}

func realStore(t testing.TB, keyspace string) *scylla.Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	set := realSettings(t, keyspace)
	if err := scylla.Create(ctx, set); err != nil {
		t.Fatalf("Create: %v", err)
	}
	s, err := scylla.Open(ctx, set)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestRealStoreKeepsTheContract(t *testing.T) {
	s := realStore(t, "millrace_sinktest")
	sinktest.Run(t, func(*testing.T) sinktest.Store { return s })
}
