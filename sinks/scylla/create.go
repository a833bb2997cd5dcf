package scylla

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gocql/gocql"

	"millrace/sinks"
)

// createTimeout bounds one statement that changes tables, for which all nodes
// have to agree: a request's own bound is too short on a busy cluster.
const createTimeout = time.Minute

// Create makes what is missing of the keyspaces and tables and returns when
// all nodes agree on them. It changes nothing that exists, so it may be called
// at any time and by several processes, one after another.
func Create(ctx context.Context, settings Settings) error {
	set, err := settings.filled()
	if err != nil {
		return fmt.Errorf("create keyspace: %w", err)
	}
	set.Timeout = max(set.Timeout, createTimeout)
	session, err := connect(ctx, &set, "")
	if err != nil {
		return fmt.Errorf("create keyspace %s: %w", set.Keyspace, err)
	}
	defer session.Close()
	if err := create(ctx, session, &set); err != nil {
		return fmt.Errorf("create keyspace %s: %w", set.Keyspace, err)
	}
	return nil
}

func create(ctx context.Context, session *gocql.Session, set *Settings) error {
	there, err := tablesOf(ctx, session, set)
	if err != nil {
		return err
	}
	if there.complete() {
		return nil
	}
	scylla, err := isScylla(ctx, session)
	if err != nil {
		return err
	}
	for _, statement := range ddl(set, scylla) {
		if err := session.QueryWithContext(ctx, statement).Exec(); err != nil {
			return fmt.Errorf("%s: %w", strings.SplitN(statement, "(", 2)[0], err)
		}
	}
	if err := session.AwaitSchemaAgreement(ctx); err != nil {
		return fmt.Errorf("wait for all nodes to agree: %w", err)
	}
	return nil
}

// isScylla looks for a system table that Apache Cassandra does not have.
func isScylla(ctx context.Context, session *gocql.Session) (bool, error) {
	var name string
	const ask = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system' AND table_name = 'scylla_local'"
	err := session.QueryWithContext(ctx, ask).Scan(&name)
	if errors.Is(err, gocql.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask which database it is: %w", err)
	}
	return true, nil
}

// ddl returns the statements that make everything.
func ddl(set *Settings, scylla bool) []string {
	replication := replicationOf(set.Replication)
	noTablets := ""
	if scylla {
		noTablets = " AND tablets = {'enabled': false}" // conditional updates need it
	}
	statements := []string{
		fmt.Sprintf("CREATE KEYSPACE IF NOT EXISTS %s WITH replication = %s", set.Keyspace, replication),
		fmt.Sprintf("CREATE KEYSPACE IF NOT EXISTS %s WITH replication = %s%s", set.meta(), replication, noTablets),
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s.latest (
  entity text, key text, feature_view text, v blob,
  PRIMARY KEY ((entity, key), feature_view)
)`, set.Keyspace),
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s.tiles (
  entity text, key text, feature_view text, hop int, start bigint, src int, state blob,
  PRIMARY KEY ((entity, key), feature_view, hop, start, src)
)`, set.Keyspace),
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s.deadletters (
  source text, src int, day int, position bigint, element int, feature_view text,
  topic text, record_offset bigint, record_millis bigint, stage text, reason text, message text,
  revision int, catalog_version bigint, record_key blob, record_value blob, headers text, value_bytes int, truncated boolean,
  attempts int, replay_number bigint, replay_done boolean,
  PRIMARY KEY ((source, src, day), position, element, feature_view)
)`, set.Keyspace),
	}
	for _, t := range sinks.MetaTables() {
		statements = append(statements, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s.%s (
  project text, id text, v text,
  PRIMARY KEY ((project), id)
)`, set.meta(), t))
	}
	return statements
}

func replicationOf(copies map[string]int) string {
	if len(copies) == 0 {
		copies = map[string]int{"replication_factor": 1}
	}
	parts := []string{"'class': 'NetworkTopologyStrategy'"}
	for _, dc := range slices.Sorted(maps.Keys(copies)) {
		parts = append(parts, fmt.Sprintf("'%s': %d", strings.ReplaceAll(dc, "'", "''"), copies[dc]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// tables says which of the tables exist.
type tables map[string]bool

func wantedTables(set *Settings) []string {
	names := []string{set.Keyspace + ".latest", set.Keyspace + ".tiles", set.Keyspace + ".deadletters"}
	for _, t := range sinks.MetaTables() {
		names = append(names, set.meta()+"."+string(t))
	}
	return names
}

func (t tables) complete() bool { return len(t.missing()) == 0 }

func (t tables) missing() []string {
	var names []string
	for name, there := range t {
		if !there {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

const listTables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?"

// tablesOf looks for the tables in the database's own catalog.
func tablesOf(ctx context.Context, session *gocql.Session, set *Settings) (tables, error) {
	found := make(tables)
	for _, name := range wantedTables(set) {
		found[name] = false
	}
	for _, keyspace := range []string{set.Keyspace, set.meta()} {
		it := session.QueryWithContext(ctx, listTables, keyspace).Iter()
		for name := ""; it.Scan(&name); {
			if _, wanted := found[keyspace+"."+name]; wanted {
				found[keyspace+"."+name] = true
			}
		}
		if err := it.Close(); err != nil {
			return nil, fmt.Errorf("look for tables: %w", err)
		}
	}
	return found, nil
}
