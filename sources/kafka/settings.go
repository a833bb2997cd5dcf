package kafka

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/feature"
)

// Topic is one topic to read and where a group without offsets begins on it.
type Topic struct {
	Name  string
	Start feature.StartAt
	Since time.Time // wins over Start, if it is not zero: at the first record of that time or later
}

// TLS is how connections are encrypted. Files are PEM.
type TLS struct {
	Enabled  bool
	CAFile   string // "" trusts the system's authorities
	CertFile string // with KeyFile: the client's own certificate
	KeyFile  string
	Insecure bool // accept any certificate; for experiments only
}

// The SASL mechanisms.
const (
	MechanismPlain       = "PLAIN"
	MechanismScramSHA256 = "SCRAM-SHA-256"
	MechanismScramSHA512 = "SCRAM-SHA-512"
	MechanismOAuthBearer = "OAUTHBEARER"
)

// SASL is how the client says who it is. A zero Mechanism says nothing.
type SASL struct {
	Mechanism string
	User      string
	Password  string
	Token     string // OAUTHBEARER
	TokenFile string // read again for every connection, so that it may be renewed
}

// Settings say which brokers, which topics and how. Zero values other than
// Brokers, Group and Topics are replaced by the defaults.
type Settings struct {
	Brokers  []string
	Group    string
	ClientID string // default "millrace"
	Topics   []Topic
	TLS      TLS
	SASL     SASL

	// FetchMaxBytes bounds one answer of one broker, FetchMaxPartitionBytes a
	// partition's part of it. A record that is larger still comes, alone:
	// brokers answer with at least one batch whatever the bounds.
	FetchMaxBytes          int32 // default 8 MiB
	FetchMaxPartitionBytes int32 // default 1 MiB
	PollRecords            int   // most records of one poll; default 10,000

	// RevokeTimeout is how long the handler has to finish what it holds of
	// partitions that are taken away. It must be shorter than RebalanceTimeout,
	// after which the group goes on without the member.
	RevokeTimeout    time.Duration // default 20 s
	RebalanceTimeout time.Duration // default RevokeTimeout + 40 s
	SessionTimeout   time.Duration // default 45 s
	Heartbeat        time.Duration // default 3 s, at most a third of SessionTimeout
	MetadataMaxAge   time.Duration // how soon new topics and partitions are seen; default 10 s

	Hooks  []kgo.Hook   // of the client, for metrics
	Logger *slog.Logger // state changes and the client's warnings; default: nowhere
	Opts   []kgo.Opt    // further client options; they come last and win
}

// withDefaults fills what is zero.
func (s Settings) withDefaults() Settings {
	def(&s.ClientID, "millrace")
	def(&s.FetchMaxBytes, 8<<20)
	def(&s.FetchMaxPartitionBytes, 1<<20)
	def(&s.PollRecords, 10_000)
	def(&s.RevokeTimeout, 20*time.Second)
	def(&s.RebalanceTimeout, s.RevokeTimeout+40*time.Second)
	def(&s.SessionTimeout, 45*time.Second)
	def(&s.Heartbeat, min(3*time.Second, s.SessionTimeout/3))
	def(&s.MetadataMaxAge, 10*time.Second)
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	return s
}

func def[T comparable](to *T, v T) {
	var zero T
	if *to == zero {
		*to = v
	}
}

// validate returns everything that is wrong with s.
func (s *Settings) validate() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(len(s.Brokers) == 0, "brokers: name at least one")
	wrong(s.Group == "", "group: name it")
	wrong(len(s.Topics) == 0, "topics: name at least one")
	seen := make(map[string]bool, len(s.Topics))
	for _, t := range s.Topics {
		wrong(t.Name == "", "topics: one has no name")
		wrong(seen[t.Name], "topics: %q is named twice", t.Name)
		wrong(t.Start.Back < 0, "topics: %q starts a negative duration back", t.Name)
		seen[t.Name] = true
	}
	wrong(s.RevokeTimeout >= s.RebalanceTimeout,
		"revoke timeout: %v must be shorter than the rebalance timeout, %v", s.RevokeTimeout, s.RebalanceTimeout)
	wrong(s.Heartbeat >= s.SessionTimeout,
		"heartbeat: %v must be shorter than the session timeout, %v", s.Heartbeat, s.SessionTimeout)
	wrong(s.PollRecords < 0, "poll records: %d is negative", s.PollRecords)
	return errors.Join(errs...)
}
