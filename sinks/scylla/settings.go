// Package scylla keeps rows in ScyllaDB or Apache Cassandra.
//
// Invariant: a row or tile is one cell written with its own stamp, never inside
// a batch over several partitions, and every statement may be sent any number
// of times: the database itself keeps the greatest, so no write is ever decided
// by what this process read before.
package scylla

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/gocql/gocql"
)

// Settings are what a Store is opened with. Hosts and Keyspace are needed, the
// rest has defaults.
type Settings struct {
	Hosts    []string // names or addresses, any few of the cluster
	Port     int      // 0 is 9042
	Keyspace string   // of the rows; metadata is kept in the one named <Keyspace>_meta
	// LocalDC is the data centre that is asked first and that local
	// consistencies count in; "" treats all nodes alike.
	LocalDC string
	// Consistency of writes and reads of rows, of reads of letters by people, and
	// of the tiles that serving reads; "" is LOCAL_QUORUM.
	Consistency string
	// TileConsistency is of tiles and letters, written and loaded: QUORUM, which "" is, or
	// LOCAL_QUORUM where nobody outside LocalDC writes. Less would let a lane
	// count on from a replica that lags.
	TileConsistency string
	// Replication is how many copies each data centre keeps, for Create; empty
	// is one copy, which is right for a single node only.
	Replication map[string]int
	Username    string
	Password    string
	TLS         TLS
	// Timeout bounds one request; 0 is 5 s.
	Timeout time.Duration
	// RetryFor bounds how long Write repeats what fails for a passing reason
	// before it gives up; 0 is 2 s.
	RetryFor time.Duration
	NumConns int // connections to a node that has no shards; 0 is 2
	// MaxInFlight is the most requests that all Write calls have under way
	// together; overload lowers it for a while. 0 is 256.
	MaxInFlight int
	// LetterTTL is how long dead letters are kept; 0 is 30 days.
	LetterTTL time.Duration
	// Logger hears of connections and of warnings the database gives; nil
	// discards them.
	Logger *slog.Logger

	adjust func(*gocql.ClusterConfig) // for tests against a fake server
}

// TLS is how connections are encrypted.
type TLS struct {
	Enabled            bool
	CA                 string // file; "" trusts what the system trusts
	Cert, Key          string // files of this client's certificate, if it needs one
	InsecureSkipVerify bool   // accept any certificate of the server
}

const (
	defaultPort        = 9042
	defaultTimeout     = 5 * time.Second
	defaultRetryFor    = 2 * time.Second
	defaultNumConns    = 2
	defaultMaxInFlight = 256
	defaultLetterTTL   = 30 * 24 * time.Hour
	maxKeyspaceLetters = 43 // 48 is the database's limit, "_meta" is added
)

var keyspaceName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// filled returns s with its defaults, or what is wrong with it.
func (s Settings) filled() (Settings, error) {
	if len(s.Hosts) == 0 {
		return s, errors.New("no hosts are named")
	}
	if !keyspaceName.MatchString(s.Keyspace) || len(s.Keyspace) > maxKeyspaceLetters {
		return s, fmt.Errorf("keyspace %q: use at most %d lower-case letters, digits and _", s.Keyspace, maxKeyspaceLetters)
	}
	s.Port = orDefault(s.Port, defaultPort)
	s.Timeout = orDefault(s.Timeout, defaultTimeout)
	s.RetryFor = orDefault(s.RetryFor, defaultRetryFor)
	s.NumConns = orDefault(s.NumConns, defaultNumConns)
	s.MaxInFlight = orDefault(s.MaxInFlight, defaultMaxInFlight)
	s.LetterTTL = orDefault(s.LetterTTL, defaultLetterTTL)
	s.Consistency = orDefault(s.Consistency, "LOCAL_QUORUM")
	s.TileConsistency = strings.ToUpper(orDefault(s.TileConsistency, "QUORUM"))
	if s.TileConsistency != "QUORUM" && s.TileConsistency != "LOCAL_QUORUM" {
		return s, fmt.Errorf("consistency of tiles is %s: windows are exact at QUORUM or LOCAL_QUORUM only", s.TileConsistency)
	}
	if s.TileConsistency == "LOCAL_QUORUM" && s.LocalDC == "" {
		return s, errors.New("consistency of tiles is LOCAL_QUORUM and no data centre is named: name the one that alone writes, or use QUORUM")
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

func (s *Settings) tileConsistency() gocql.Consistency {
	if s.TileConsistency == "LOCAL_QUORUM" {
		return gocql.LocalQuorum
	}
	return gocql.Quorum
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func (s *Settings) meta() string { return s.Keyspace + "_meta" }

// cluster translates s for the driver. The driver never repeats a request by
// itself: Write knows more about when that helps.
func (s *Settings) cluster() (*gocql.ClusterConfig, error) {
	consistency, err := gocql.ParseConsistencyWrapper(strings.ToUpper(s.Consistency))
	if err != nil {
		return nil, fmt.Errorf("consistency %q is not known: %w", s.Consistency, err)
	}
	c := gocql.NewCluster(s.Hosts...)
	c.Port = s.Port
	c.Consistency, c.SerialConsistency = consistency, gocql.LocalSerial
	c.Timeout, c.ReadTimeout, c.WriteTimeout, c.ConnectTimeout = s.Timeout, s.Timeout, s.Timeout, s.Timeout
	c.MetadataSchemaRequestTimeout = s.Timeout
	c.NumConns = s.NumConns
	c.WriteCoalesceWaitTime = 0 // waiting for company cost a lone read over a millisecond and gained nothing
	c.DefaultTimestamp = false  // rows bring their own
	c.DefaultIdempotence = true
	c.RetryPolicy = &gocql.SimpleRetryPolicy{NumRetries: 0}
	c.ReconnectInterval = time.Second
	c.ReconnectionPolicy = &gocql.ExponentialReconnectionPolicy{MaxRetries: 3, InitialInterval: 100 * time.Millisecond, MaxInterval: time.Second}
	c.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(s.fallback())
	c.Logger, c.WarningsHandlerBuilder = driverLogger{s.Logger}, warnings(s.Logger)
	if s.Username != "" {
		c.Authenticator = gocql.PasswordAuthenticator{Username: s.Username, Password: s.Password}
	}
	if s.TLS.Enabled {
		c.SslOpts = &gocql.SslOptions{
			CaPath: s.TLS.CA, CertPath: s.TLS.Cert, KeyPath: s.TLS.Key, EnableHostVerification: !s.TLS.InsecureSkipVerify,
		}
	}
	if s.adjust != nil {
		s.adjust(c)
	}
	return c, nil
}

// fallback chooses a node where the partition's own nodes are not known or do
// not answer.
func (s *Settings) fallback() gocql.HostSelectionPolicy {
	if s.LocalDC == "" {
		return gocql.RoundRobinHostPolicy()
	}
	return gocql.DCAwareRoundRobinPolicy(s.LocalDC)
}
