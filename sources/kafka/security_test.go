package kafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"millrace/feature"
	"millrace/internal/synctest"
	"millrace/sources/kafka"
	"millrace/sources/sourcetest"
)

// newGuarded is a world that asks for a login, with users who may do acls.
func newGuarded(t *testing.T, mechanism string, acls ...kfake.ACL) *world {
	t.Helper()
	w := &world{net: &kfake.VirtualNetwork{}}
	var err error
	w.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(w.net.Listen),
		kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser(kafka.MechanismPlain, "root", "root"),
		kfake.User(mechanism, "reader", "secret", acls...), kfake.SeedTopics(2, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cluster.Close)
	w.client = w.connect(t, kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.SASL(plain.Auth{User: "root", Pass: "root"}.AsMechanism()))
	return w
}

// refuseLikeKafka has the cluster refuse logins as Apache Kafka does, with
// codes; by itself it closes the connection, which says nothing. Only
// mechanisms are on offer, and no user but root has the right password.
func refuseLikeKafka(cluster *kfake.Cluster, mechanisms ...string) {
	cluster.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		handshake := r.(*kmsg.SASLHandshakeRequest)
		if slices.Contains(mechanisms, handshake.Mechanism) {
			return nil, nil, false //nolint:nilnil // kfake's way to say: go on
		}
		refusal := handshake.ResponseKind().(*kmsg.SASLHandshakeResponse)
		refusal.ErrorCode, refusal.SupportedMechanisms = kerr.UnsupportedSaslMechanism.Code, mechanisms
		return refusal, nil, true
	})
	cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		authenticate := r.(*kmsg.SASLAuthenticateRequest)
		// The first message of SCRAM has no password in it.
		if said := string(authenticate.SASLAuthBytes); strings.HasPrefix(said, "n,,") || said == "\x00root\x00root" {
			return nil, nil, false //nolint:nilnil // kfake's way to say: go on
		}
		refusal := authenticate.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		refusal.ErrorCode = kerr.SaslAuthenticationFailed.Code
		refusal.ErrorMessage = new("Authentication failed during authentication due to invalid credentials with SASL mechanism")
		return refusal, nil, true
	})
}

func allow(on kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
	return kfake.ACL{Resource: on, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
}

var (
	readTopic = allow(kmsg.ACLResourceTypeTopic, topic, kmsg.ACLOperationRead)
	readGroup = allow(kmsg.ACLResourceTypeGroup, group, kmsg.ACLOperationRead)
)

func login(mechanism, password string) func(*kafka.Settings) {
	return func(s *kafka.Settings) {
		s.SASL = kafka.SASL{Mechanism: mechanism, User: "reader", Password: password}
	}
}

func TestLogins(t *testing.T) {
	for _, mechanism := range []string{kafka.MechanismPlain, kafka.MechanismScramSHA256, kafka.MechanismScramSHA512} {
		t.Run(mechanism, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newGuarded(t, mechanism, readTopic, readGroup)
				w.produce(t, topic, 0, "a")
				m := sourcetest.Start(t, w.open(t, login(mechanism, "secret")), sourcetest.NewRecorder())
				m.WaitValues(t, rides(0), "a")
				m.Stop(t)
			})
		})
	}
}

// atOnce is how long a source may take to find what a person must mend.
const atOnce = time.Minute

func TestWhatAPersonMustMendEndsRunAtOnce(t *testing.T) {
	both, sha256 := []kfake.ACL{readTopic, readGroup}, kafka.MechanismScramSHA256
	cases := []struct {
		name    string
		acls    []kfake.ACL
		refuses bool
		set     func(*kafka.Settings)
		wants   []string
	}{
		{"wrong password", both, true, login(sha256, "guess"), []string{"log in to kafka", "reader", "SCRAM-SHA-256"}},
		{"wrong mechanism", both, true, login(kafka.MechanismScramSHA512, "secret"), []string{"log in to kafka", "SCRAM-SHA-512"}},
		{"no right on the topic", []kfake.ACL{readGroup}, false, login(sha256, "secret"), []string{`topic "rides"`, "Read"}},
		{"no right on the group", []kfake.ACL{readTopic}, false, login(sha256, "secret"), []string{`group "millrace-test"`, "Read"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newGuarded(t, sha256, c.acls...)
				if c.refuses {
					refuseLikeKafka(w.cluster, kafka.MechanismPlain, sha256)
				}
				ctx, cancel := context.WithTimeout(t.Context(), atOnce)
				defer cancel()
				err := w.open(t, c.set).Run(ctx, sourcetest.NewRecorder())
				if err == nil {
					t.Fatalf("run went on for %v", atOnce)
				}
				for _, want := range c.wants {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("run returned %q, which does not say %q", err, want)
					}
				}
				if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "guess") {
					t.Errorf("run returned the password: %v", err)
				}
			})
		})
	}
}

// TestABrokerThatClosesInTheLoginIsTriedAgain has a broker that says nothing of
// why, as one that is starting or stopping, then one that takes the login.
func TestABrokerThatClosesInTheLoginIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGuarded(t, kafka.MechanismScramSHA256, readTopic, readGroup)
		w.produce(t, topic, 0, "a")
		open := time.Now().Add(atOnce / 2)
		w.cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			return nil, io.EOF, time.Now().Before(open)
		})
		m := sourcetest.Start(t, w.open(t, login(kafka.MechanismScramSHA256, "secret")), sourcetest.NewRecorder())
		m.WaitValues(t, rides(0), "a")
		m.Stop(t)
	})
}

// certificate writes a self-signed certificate for 127.0.0.1 and its key.
func certificate(t *testing.T) (certFile, keyFile string, pair tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	certFile, keyFile = file(t, "cert.pem", certPEM), file(t, "key.pem", keyPEM)
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile, pair
}

func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTLS(t *testing.T) {
	cert, key, pair := certificate(t)
	clients := x509.NewCertPool()
	clients.AddCert(pair.Leaf)
	w := &world{}
	var err error
	w.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic), kfake.TLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cluster.Close)
	trusted := kafka.TLS{Enabled: true, CAFile: cert, CertFile: cert, KeyFile: key}

	t.Run("trusted both ways", func(t *testing.T) {
		opts, err := kafka.ClientOpts(kafka.Settings{Brokers: w.cluster.ListenAddrs(), TLS: trusted})
		if err != nil {
			t.Fatal(err)
		}
		producer := w.connect(t, append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		produce(t, producer, topic, 0, "a")
		m := sourcetest.Start(t, w.open(t, func(s *kafka.Settings) { s.TLS = trusted }), sourcetest.NewRecorder())
		m.WaitValues(t, rides(0), "a")
	})
	t.Run("a broker that is not trusted", func(t *testing.T) {
		src := w.open(t, func(s *kafka.Settings) { s.TLS = kafka.TLS{Enabled: true, CertFile: cert, KeyFile: key} })
		ctx, cancel := context.WithTimeout(t.Context(), atOnce)
		defer cancel()
		err := src.Run(ctx, sourcetest.NewRecorder())
		if err == nil || !strings.Contains(err.Error(), "certificate is not trusted") {
			t.Errorf("run returned %v", err)
		}
	})
	t.Run("a broker that nobody checks", func(t *testing.T) {
		m := sourcetest.Start(t, w.open(t, func(s *kafka.Settings) {
			s.TLS = kafka.TLS{Enabled: true, CertFile: cert, KeyFile: key, Insecure: true}
		}), sourcetest.NewRecorder())
		m.WaitValues(t, rides(0), "a")
	})
}

func TestSettingsSayEverythingThatIsWrong(t *testing.T) {
	notPEM := file(t, "not.pem", []byte("nothing"))
	cert, _, _ := certificate(t)
	good := kafka.Settings{Brokers: []string{"localhost:1"}, Group: "g", Topics: []kafka.Topic{{Name: "t"}}}
	cases := []struct {
		name   string
		change func(*kafka.Settings)
		wants  []string // nil: nothing is wrong
	}{
		{"nothing wrong", func(*kafka.Settings) {}, nil},
		{"everything missing", func(s *kafka.Settings) { *s = kafka.Settings{} }, []string{"brokers", "group", "topics"}},
		{"topic twice", func(s *kafka.Settings) { s.Topics = append(s.Topics, s.Topics[0]) }, []string{`"t" is named twice`}},
		{"topic without name", func(s *kafka.Settings) { s.Topics = []kafka.Topic{{}} }, []string{"no name"}},
		{"start ahead", func(s *kafka.Settings) { s.Topics[0].Start = feature.StartAt{Back: -1} }, []string{"negative duration back"}},
		{"revoke too long", func(s *kafka.Settings) { s.RebalanceTimeout = time.Second }, []string{"revoke timeout"}},
		{"heartbeat too long", func(s *kafka.Settings) { s.Heartbeat = time.Hour }, []string{"heartbeat"}},
		{"unknown mechanism", login("GSSAPI", "x"), []string{`"GSSAPI"`, "SCRAM-SHA-512"}},
		{"no password", login(kafka.MechanismPlain, ""), []string{"user and a password"}},
		{"no token", login(kafka.MechanismOAuthBearer, ""), []string{"token or a token file"}},
		{"token and file", func(s *kafka.Settings) {
			s.SASL = kafka.SASL{Mechanism: kafka.MechanismOAuthBearer, Token: "x", TokenFile: "y"}
		}, []string{"token or a token file"}},
		{"token", func(s *kafka.Settings) {
			s.SASL = kafka.SASL{Mechanism: kafka.MechanismOAuthBearer, Token: "x"}
		}, nil},
		{"no such authority", func(s *kafka.Settings) {
			s.TLS = kafka.TLS{Enabled: true, CAFile: "no/such/file"}
		}, []string{"tls authorities", "no/such/file"}},
		{"authority that is none", func(s *kafka.Settings) {
			s.TLS = kafka.TLS{Enabled: true, CAFile: notPEM}
		}, []string{"no PEM certificate"}},
		{"certificate without key", func(s *kafka.Settings) {
			s.TLS = kafka.TLS{Enabled: true, CertFile: cert}
		}, []string{"named together"}},
		{"key that is none", func(s *kafka.Settings) {
			s.TLS = kafka.TLS{Enabled: true, CertFile: cert, KeyFile: notPEM}
		}, []string{"read tls certificate"}},
		{"files of tls that is off", func(s *kafka.Settings) { s.TLS = kafka.TLS{CAFile: "no/such/file"} }, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			set := good
			set.Topics = append([]kafka.Topic(nil), good.Topics...)
			c.change(&set)
			_, err := kafka.New(set)
			if (err == nil) != (c.wants == nil) {
				t.Fatalf("new returned %v", err)
			}
			for _, want := range c.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("new returned %q, which does not say %q", err, want)
				}
			}
		})
	}
}
