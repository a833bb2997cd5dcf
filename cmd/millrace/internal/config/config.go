// Package config reads millrace.yaml: one struct per section, defaults that
// work, every problem reported at once with its path.
//
// Invariant: a Config that Load returned needs no further validation, and
// secrets in it never print.
package config

import (
	"time"
)

// Config is what a user writes.
type Config struct {
	Project     string     `yaml:"project"`     // needed where no definitions folder is given
	Definitions string     `yaml:"definitions"` // folder of YAML files
	Kafka       Kafka      `yaml:"kafka"`
	Store       Store      `yaml:"store"`
	DeadLetter  DeadLetter `yaml:"deadletter"`

	SchemaRegistry SchemaRegistry `yaml:"schema_registry"`
	Ingest         Ingest         `yaml:"ingest"`
	Serve          Serve          `yaml:"serve"`
	Auth           Auth           `yaml:"auth"`
	Telemetry      Telemetry      `yaml:"telemetry"`
}

// Kafka says how to reach the brokers.
type Kafka struct {
	Brokers        []string `yaml:"brokers"`
	Group          string   `yaml:"group"` // default millrace-<project>
	ClientID       string   `yaml:"client_id"`
	SessionTimeout Duration `yaml:"session_timeout"`
	TLS            TLS      `yaml:"tls"`
	SASL           SASL     `yaml:"sasl"`
}

// TLS switches transport encryption on and says whom to trust.
type TLS struct {
	Enabled            bool   `yaml:"enabled"`
	CA                 string `yaml:"ca"`
	Cert               string `yaml:"cert"`
	Key                string `yaml:"key"`
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify"`
}

// SASL says who we are to the brokers.
type SASL struct {
	Mechanism string `yaml:"mechanism"` // PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512 | OAUTHBEARER
	User      string `yaml:"user"`
	Password  Secret `yaml:"password"`
	Token     Secret `yaml:"token"`
	TokenFile string `yaml:"token_file"`
}

// Store says where features live.
type Store struct {
	Type        string   `yaml:"type"` // embedded | scylla
	DataDir     string   `yaml:"data_dir"`
	Hosts       []string `yaml:"hosts"`
	Port        int      `yaml:"port"`
	Keyspace    string   `yaml:"keyspace"` // default millrace_<project>
	DataCenter  string   `yaml:"data_center"`
	Consistency string   `yaml:"consistency"`

	TileConsistency string         `yaml:"tile_consistency"` // QUORUM, or LOCAL_QUORUM where one data center alone ingests
	Replication     map[string]int `yaml:"replication"`      // data center -> copies; empty: one copy, for a single node
	User            string         `yaml:"user"`
	Password        Secret         `yaml:"password"`
	TLS             TLS            `yaml:"tls"`
	Timeout         Duration       `yaml:"timeout"`
	Connections     int            `yaml:"connections"` // per host
	MaxInFlight     int            `yaml:"max_in_flight"`
	LetterTTL       Duration       `yaml:"dead_letter_ttl"`
}

// SchemaRegistry says where the schemas of Avro and Protobuf records are.
type SchemaRegistry struct {
	URLs     []string `yaml:"urls"` // tried in order
	User     string   `yaml:"user"`
	Password Secret   `yaml:"password"`
	Token    Secret   `yaml:"token"`
	TLS      TLS      `yaml:"tls"` // https in a URL switches it on
	Timeout  Duration `yaml:"timeout"`
}

// DeadLetter says where dead letters go beside the store.
type DeadLetter struct {
	Topic string `yaml:"topic"` // empty: nowhere
}

// Ingest bounds the lanes.
type Ingest struct {
	MaxRows        int      `yaml:"max_rows"`
	MaxBytes       Size     `yaml:"max_bytes"`
	Linger         Duration `yaml:"linger"`
	LaneBytes      Size     `yaml:"lane_bytes"`
	TotalBytes     Size     `yaml:"total_bytes"`
	TileBytes      Size     `yaml:"tile_bytes"`
	InFlight       int      `yaml:"in_flight"`
	CommitInterval Duration `yaml:"commit_interval"`
	DrainTimeout   Duration `yaml:"drain_timeout"`
	MaxFutureSkew  Duration `yaml:"max_future_skew"`
}

// Serve bounds the read API.
type Serve struct {
	HTTP        string   `yaml:"http"`
	MaxEntities int      `yaml:"max_entities"`
	MaxBody     Size     `yaml:"max_body"`
	Timeout     Duration `yaml:"timeout"`
	Concurrency int      `yaml:"concurrency"`
	Push        Push     `yaml:"push"`
}

// Push bounds writing through the API.
type Push struct {
	MaxRows       int      `yaml:"max_rows"`
	MaxBytes      Size     `yaml:"max_bytes"`
	MaxRowBytes   Size     `yaml:"max_row_bytes"`
	InFlightBytes Size     `yaml:"in_flight_bytes"`
	Concurrency   int      `yaml:"concurrency"`
	Timeout       Duration `yaml:"timeout"`
}

// Auth says who may do what.
type Auth struct {
	Type string `yaml:"type"` // none
}

// Telemetry says what is told about the process, and where.
type Telemetry struct {
	Admin     string `yaml:"admin"`
	LogLevel  string `yaml:"log_level"`
	LogFormat string `yaml:"log_format"` // auto | text | json
	Pprof     bool   `yaml:"pprof"`
}

// Default returns the values that hold where nothing is written.
func Default() Config {
	return Config{
		Definitions: "definitions",
		Kafka: Kafka{
			ClientID: "millrace", SessionTimeout: Duration(45 * time.Second),
		},
		Store: Store{
			Type: "scylla", DataDir: ".millrace", Port: 9042, Consistency: "LOCAL_QUORUM", TileConsistency: "QUORUM",
			Timeout: Duration(2 * time.Second), Connections: 2, MaxInFlight: 256,
			LetterTTL: Duration(30 * 24 * time.Hour),
		},
		SchemaRegistry: SchemaRegistry{Timeout: Duration(10 * time.Second)},
		Ingest: Ingest{
			MaxRows: 2048, MaxBytes: 1 << 20, LaneBytes: 4 << 20, TotalBytes: 48 << 20, TileBytes: 256 << 20, InFlight: 3,
			CommitInterval: Duration(200 * time.Millisecond), DrainTimeout: Duration(4 * time.Second),
			MaxFutureSkew: Duration(5 * time.Minute),
		},
		Serve: Serve{
			HTTP: "127.0.0.1:6566", MaxEntities: 1000, MaxBody: 4 << 20,
			Timeout: Duration(time.Second), Concurrency: 256,
			Push: Push{
				MaxRows: 10_000, MaxBytes: 4 << 20, MaxRowBytes: 1 << 20, InFlightBytes: 64 << 20, Concurrency: 256,
				Timeout: Duration(5 * time.Second),
			},
		},
		Auth:      Auth{Type: "none"},
		Telemetry: Telemetry{Admin: "127.0.0.1:9464", LogLevel: "info", LogFormat: "auto"},
	}
}
