package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kslog"
)

// ClientOpts returns the options that every client of these brokers needs,
// producers and admin clients included: addresses, TLS, SASL, hooks and
// logging, but nothing about consuming. It reads the files that s names.
// Settings.Opts are not among them.
func ClientOpts(s Settings) ([]kgo.Opt, error) {
	s = s.withDefaults()
	opts := []kgo.Opt{
		kgo.SeedBrokers(s.Brokers...),
		kgo.ClientID(s.ClientID),
		kgo.WithHooks(s.Hooks...),
		kgo.WithLogger(kslog.New(s.Logger)),
		kgo.MetadataMaxAge(s.MetadataMaxAge),
	}
	if s.TLS.Enabled {
		c, err := s.TLS.config()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(c))
	}
	if s.SASL.Mechanism != "" {
		m, err := s.SASL.mechanism()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(m))
	}
	return opts, nil
}

func (t *TLS) config() (*tls.Config, error) {
	//nolint:gosec // accepting any certificate is asked for by name, for experiments
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.Insecure}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read tls authorities: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read tls authorities: %s holds no PEM certificate", t.CAFile)
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("tls: a certificate and its key are named together")
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read tls certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (s *SASL) mechanism() (sasl.Mechanism, error) {
	user := s.User != "" && s.Password != ""
	switch strings.ToUpper(s.Mechanism) {
	case MechanismPlain:
		return plain.Auth{User: s.User, Pass: s.Password}.AsMechanism(), s.check(user)
	case MechanismScramSHA256:
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism(), s.check(user)
	case MechanismScramSHA512:
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism(), s.check(user)
	case MechanismOAuthBearer:
		if (s.Token == "") == (s.TokenFile == "") {
			return nil, fmt.Errorf("sasl: %s takes either a token or a token file", MechanismOAuthBearer)
		}
		return oauth.Oauth(s.bearer), nil
	default:
		return nil, fmt.Errorf("sasl: unknown mechanism %q (use %s, %s, %s or %s)", s.Mechanism,
			MechanismPlain, MechanismScramSHA256, MechanismScramSHA512, MechanismOAuthBearer)
	}
}

func (s *SASL) check(complete bool) error {
	if complete {
		return nil
	}
	return fmt.Errorf("sasl: %s takes a user and a password", s.Mechanism)
}

// bearer is called for every connection.
func (s *SASL) bearer(context.Context) (oauth.Auth, error) {
	if s.TokenFile == "" {
		return oauth.Auth{Token: s.Token}, nil
	}
	b, err := os.ReadFile(s.TokenFile)
	if err != nil {
		return oauth.Auth{}, fmt.Errorf("read sasl token: %w", err)
	}
	return oauth.Auth{Token: strings.TrimSpace(string(b))}, nil
}

// fetchWait is how long a broker holds a fetch for which it has nothing. A
// partition whose delivery is resumed meanwhile is in no fetch before that ends,
// whatever it has, so this is how long its records may wait; the client's own
// five seconds made the end of a backlog come five seconds late.
const fetchWait = 250 * time.Millisecond

// memberOpts are the options of whoever reads the topics as a member of the
// group.
func (set *Settings) memberOpts() []kgo.Opt {
	names := make([]string, len(set.Topics))
	for i, t := range set.Topics {
		names[i] = t.Name
	}
	return []kgo.Opt{
		kgo.ConsumerGroup(set.Group),
		kgo.ConsumeTopics(names...),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.SessionTimeout(set.SessionTimeout),
		kgo.RebalanceTimeout(set.RebalanceTimeout),
		kgo.HeartbeatInterval(set.Heartbeat),
		kgo.FetchMaxWait(fetchWait),
		kgo.FetchMaxBytes(set.FetchMaxBytes),
		kgo.FetchMaxPartitionBytes(min(set.FetchMaxPartitionBytes, set.FetchMaxBytes)),
	}
}

// groupOpts are the options of the consuming client.
func (s *Source) groupOpts(shared []kgo.Opt) []kgo.Opt {
	opts := append(shared, s.set.memberOpts()...) //nolint:gocritic // shared is made for this call
	opts = append(opts,
		kgo.BlockRebalanceOnPoll(),
		kgo.DisableAutoCommit(),
		// Where the log lost records, the client tells (ErrDataLoss) and then
		// would go on from the start; handOver drops what it then gives. Below
		// the log's start it goes on at the start, as it should.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AdjustFetchOffsetsFn(s.adjust),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.lost),
		kgo.WithHooks(s.health),
	)
	return append(opts, s.set.Opts...)
}
