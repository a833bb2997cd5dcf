package schemaregistry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"
)

// TLS is how the registry is known, and how we are. Files are PEM.
type TLS struct {
	CAFile   string // "" trusts the system's authorities
	CertFile string // with KeyFile: our own certificate
	KeyFile  string
	Insecure bool // accept any certificate; for experiments only
}

// Settings say where the registry is and who asks. Zero values other than URLs
// are replaced by the defaults.
type Settings struct {
	URLs     []string // tried in order, until one answers; http or https
	User     string   // with Password: basic authentication
	Password string
	Token    string // bearer authentication
	TLS      TLS

	Timeout    time.Duration // of one lookup, its references included; default 10 s
	UnknownFor time.Duration // how long an unknown id stays unknown; default 10 s
	MaxSchemas int           // most schemas kept, and most ids remembered as unknown; default 10,000

	// Transport carries requests; nil is a transport with TLS as above.
	Transport http.RoundTripper
}

func (s Settings) withDefaults() Settings {
	if s.Timeout == 0 {
		s.Timeout = 10 * time.Second
	}
	if s.UnknownFor == 0 {
		s.UnknownFor = 10 * time.Second
	}
	if s.MaxSchemas == 0 {
		s.MaxSchemas = 10_000
	}
	return s
}

// validate returns everything that is wrong with s.
func (s *Settings) validate() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(len(s.URLs) == 0, "urls: name at least one")
	for _, text := range s.URLs {
		u, err := url.Parse(text)
		if err != nil {
			wrong(true, "urls: one is no URL") // what it is may hold a password
			continue
		}
		wrong(u.User != nil, "urls: %q carries credentials; put them into user and password", u.Redacted())
		wrong(u.Scheme != "http" && u.Scheme != "https" || u.Host == "", "urls: %q does not begin with http:// or https:// and a host", u.Redacted())
	}
	wrong(s.Token != "" && s.User != "", "token: give either a token, or user and password")
	wrong(s.Password != "" && s.User == "", "user: a password without a user")
	wrong((s.TLS.CertFile == "") != (s.TLS.KeyFile == ""), "tls: a certificate needs its key, and a key its certificate")
	wrong(s.Timeout < 0, "timeout: %v is negative", s.Timeout)
	wrong(s.UnknownFor < 0, "unknown for: %v is negative", s.UnknownFor)
	wrong(s.MaxSchemas < 0, "max schemas: %d is negative", s.MaxSchemas)
	return errors.Join(errs...)
}

// transport returns what carries the requests.
func (s *Settings) transport() (http.RoundTripper, error) {
	if s.Transport != nil {
		return s.Transport, nil
	}
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: s.TLS.Insecure, //nolint:gosec // asked for by name
	}
	if s.TLS.CAFile != "" {
		pem, err := os.ReadFile(s.TLS.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls: read the authorities: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls: %s holds no certificate", s.TLS.CAFile)
		}
	}
	if s.TLS.CertFile != "" {
		own, err := tls.LoadX509KeyPair(s.TLS.CertFile, s.TLS.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls: read our certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{own}
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: c, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second,
	}, nil
}

// bounded refuses answers that are larger than any schema should be.
type bounded struct{ http.RoundTripper }

const maxAnswerBytes = 16 << 20

// CloseIdleConnections is what http.Client looks for.
func (b bounded) CloseIdleConnections() {
	if t, ok := b.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswerBytes)
	return resp, nil
}
