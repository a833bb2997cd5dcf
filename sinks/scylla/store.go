package scylla

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/gocql/gocql"

	"millrace/sinks"
)

// Store implements every contract of package sinks. It is safe for concurrent
// use.
type Store struct {
	session *gocql.Session
	set     Settings
	limit   *limiter
	meta    metaStatements
	tiles   gocql.Consistency // of what lanes write and load
	scan    scanSizes
	close   sync.Once

	together bool // a row may be written with that, too
}

// ErrNotCreated is wrapped by Open when keyspaces or tables are missing.
var ErrNotCreated = errors.New("the project's tables do not exist; run millrace apply to create them")

// Open connects and checks that the tables exist. It blocks until a node
// answers or ctx ends.
func Open(ctx context.Context, settings Settings) (*Store, error) {
	set, err := settings.filled()
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	session, err := connect(ctx, &set, set.Keyspace)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", set.Keyspace, explainOpen(err))
	}
	s := &Store{
		session: session, set: set, limit: newLimiter(set.MaxInFlight), meta: newMetaStatements(set.meta()), tiles: set.tileConsistency(),
		scan: defaultScan,
	}
	there, err := tablesOf(ctx, session, &set)
	if err == nil && !there.complete() {
		err = fmt.Errorf("%s: %w", strings.Join(there.missing(), ", "), ErrNotCreated)
	}
	if err != nil {
		session.Close()
		return nil, fmt.Errorf("open store %s: %w", set.Keyspace, err)
	}
	s.together, err = writesTogether(ctx, session, &set)
	if err != nil {
		session.Close()
		return nil, fmt.Errorf("open store %s: %w", set.Keyspace, err)
	}
	return s, nil
}

const selectReplication = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?"

// writesTogether reports whether rows may be written with the consistency of
// tiles: it must wait for all that the rows' own would wait for, so that reads
// of rows see them. Over several data centres a quorum is no local quorum.
func writesTogether(ctx context.Context, session *gocql.Session, set *Settings) (bool, error) {
	switch rows := strings.ToUpper(set.Consistency); rows {
	case set.TileConsistency:
		return true, nil
	case "ONE", "LOCAL_ONE", "LOCAL_QUORUM", "QUORUM":
	default:
		return false, nil
	}
	var replication map[string]string
	err := session.QueryWithContext(ctx, selectReplication, set.Keyspace).Scan(&replication)
	if err != nil {
		return false, fmt.Errorf("look for replication: %w", failure(ctx, err))
	}
	return oneDataCentre(replication), nil
}

// oneDataCentre reports whether all copies are surely in one data centre.
func oneDataCentre(replication map[string]string) bool {
	class := replication["class"]
	if strings.HasSuffix(class, "SimpleStrategy") {
		return replication["replication_factor"] == "1"
	}
	return strings.HasSuffix(class, "NetworkTopologyStrategy") && len(replication) == 2
}

// explainOpen recognises the database's own words for a missing keyspace.
func explainOpen(err error) error {
	if text := err.Error(); strings.Contains(text, "eyspace") && strings.Contains(text, "does not exist") {
		return fmt.Errorf("%w (%w)", ErrNotCreated, err)
	}
	return err
}

// connect opens a session; keyspace may be "". The driver cannot be
// interrupted while it connects, so when ctx ends first the session is closed
// as soon as it exists.
func connect(ctx context.Context, set *Settings, keyspace string) (*gocql.Session, error) {
	cluster, err := set.cluster()
	if err != nil {
		return nil, err
	}
	cluster.Keyspace = keyspace
	type answer struct {
		session *gocql.Session
		err     error
	}
	answered := make(chan answer, 1)
	go func() {
		session, err := cluster.CreateSession()
		answered <- answer{session, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			return nil, fmt.Errorf("connect to %s port %d: %w: %w", strings.Join(set.Hosts, ", "), set.Port, sinks.ErrUnavailable, a.err)
		}
		return a.session, nil
	case <-ctx.Done():
		go func() {
			if a := <-answered; a.session != nil {
				a.session.Close()
			}
		}()
		return nil, fmt.Errorf("connect to %s port %d: %w", strings.Join(set.Hosts, ", "), set.Port, ctx.Err())
	}
}

// Sync implements sinks.Sink: what Write acknowledged is as durable as the
// replicas at the consistency in use make it.
func (s *Store) Sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sync store: %w", err)
	}
	return nil
}

// Ping asks a node for an answer.
func (s *Store) Ping(ctx context.Context) error {
	var key string
	if err := s.session.QueryWithContext(ctx, "SELECT key FROM system.local").Consistency(gocql.One).Scan(&key); err != nil {
		return fmt.Errorf("ping store: %w", failure(ctx, err))
	}
	return nil
}

// Close ends the connections. Calls under way fail. A second call does nothing.
func (s *Store) Close() error {
	s.close.Do(s.session.Close)
	return nil
}

// Concurrency returns how many requests all Write calls may have under way
// now: less than Settings.MaxInFlight while the database is overloaded.
func (s *Store) Concurrency() int { return s.limit.places() }
