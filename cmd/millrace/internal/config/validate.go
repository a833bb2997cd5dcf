package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// validate returns every problem of the values themselves. What only some
// commands need (brokers, hosts) is asked for by RequireKafka and RequireStore.
func (c *Config) validate() Problems {
	var ps Problems
	oneOf := func(path, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			ps = append(ps, Problem{path, fmt.Sprintf("%q is not one of %s", value, strings.Join(allowed, ", "))})
		}
	}
	atLeast := func(path string, value, least int64) {
		if value < least {
			ps = append(ps, Problem{path, fmt.Sprintf("%d is too small: at least %d", value, least)})
		}
	}
	address := func(path, value string) {
		if _, _, err := net.SplitHostPort(value); err != nil {
			ps = append(ps, Problem{path, fmt.Sprintf("%q is not host:port", value)})
		}
	}
	oneOf("store.type", c.Store.Type, "embedded", "scylla")
	oneOf("store.consistency", strings.ToUpper(c.Store.Consistency), "LOCAL_QUORUM", "QUORUM", "LOCAL_ONE", "ONE", "ALL")
	oneOf("store.tile_consistency", strings.ToUpper(c.Store.TileConsistency), "QUORUM", "LOCAL_QUORUM")
	oneOf("auth.type", c.Auth.Type, "none")
	oneOf("telemetry.log_level", c.Telemetry.LogLevel, "debug", "info", "warn", "error")
	oneOf("telemetry.log_format", c.Telemetry.LogFormat, "auto", "text", "json")
	oneOf("kafka.sasl.mechanism", strings.ToUpper(c.Kafka.SASL.Mechanism), "", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
	atLeast("store.port", int64(c.Store.Port), 1)
	atLeast("store.connections", int64(c.Store.Connections), 1)
	atLeast("store.max_in_flight", int64(c.Store.MaxInFlight), 1)
	atLeast("ingest.max_rows", int64(c.Ingest.MaxRows), 1)
	atLeast("ingest.max_bytes", int64(c.Ingest.MaxBytes), 1)
	atLeast("ingest.lane_bytes", int64(c.Ingest.LaneBytes), 64<<10)
	atLeast("ingest.total_bytes", int64(c.Ingest.TotalBytes), int64(c.Ingest.LaneBytes))
	atLeast("ingest.tile_bytes", int64(c.Ingest.TileBytes), 1<<20)
	atLeast("ingest.in_flight", int64(c.Ingest.InFlight), 1)
	atLeast("ingest.commit_interval", int64(c.Ingest.CommitInterval), 1)
	atLeast("ingest.rekey_partitions", int64(c.Ingest.RekeyPartitions), 0)
	atLeast("ingest.rekey_retention", int64(c.Ingest.RekeyRetention), int64(time.Minute))
	atLeast("kafka.transaction_timeout", int64(c.Kafka.TransactionTimeout), int64(time.Second))
	atLeast("serve.max_entities", int64(c.Serve.MaxEntities), 1)
	atLeast("serve.max_body", int64(c.Serve.MaxBody), 1)
	atLeast("serve.timeout", int64(c.Serve.Timeout), 1)
	atLeast("serve.concurrency", int64(c.Serve.Concurrency), 1)
	atLeast("serve.push.max_rows", int64(c.Serve.Push.MaxRows), 1)
	atLeast("serve.push.max_bytes", int64(c.Serve.Push.MaxBytes), 1)
	atLeast("serve.push.max_row_bytes", int64(c.Serve.Push.MaxRowBytes), 1)
	atLeast("serve.push.in_flight_bytes", int64(c.Serve.Push.InFlightBytes), int64(c.Serve.Push.MaxBytes))
	atLeast("serve.push.concurrency", int64(c.Serve.Push.Concurrency), 1)
	atLeast("serve.push.timeout", int64(c.Serve.Push.Timeout), 1)
	address("serve.http", c.Serve.HTTP)
	address("telemetry.admin", c.Telemetry.Admin)
	for _, b := range c.Kafka.Brokers {
		address("kafka.brokers", b)
	}
	for _, u := range c.SchemaRegistry.URLs {
		if at, err := url.Parse(u); err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
			ps = append(ps, Problem{"schema_registry.urls", fmt.Sprintf("%q is not an http or https URL", u)})
		}
	}
	if c.SchemaRegistry.Token != "" && c.SchemaRegistry.User != "" {
		ps = append(ps, Problem{"schema_registry.token", "is set beside user: use one of the two"})
	}
	atLeast("schema_registry.timeout", int64(c.SchemaRegistry.Timeout), 1)
	return ps
}

// RequireKafka says what is missing to reach brokers.
func (c *Config) RequireKafka() error {
	if len(c.Kafka.Brokers) == 0 {
		return Problems{{"kafka.brokers", "is empty: write brokers: [host:9092] in " + FileName + " or set MILLRACE_KAFKA_BROKERS"}}
	}
	return nil
}

// RequireStore says what is missing to reach the store.
func (c *Config) RequireStore() error {
	if c.Store.Type == "scylla" && len(c.Store.Hosts) == 0 {
		return Problems{{"store.hosts", "is empty: write hosts: [host] in " + FileName + ", set MILLRACE_STORE_HOSTS, or use store.type: embedded"}}
	}
	return nil
}
