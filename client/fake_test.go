package client

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is the other side of the wire: a transport that answers as told, the
// last answer again and again, and keeps what it was sent.
type server struct {
	answers []answerer

	mu   sync.Mutex
	sent []sent // under mu
}

// sent is a request as the server saw it.
type sent struct {
	*http.Request
	body string
	at   time.Time
}

type answerer func(*http.Request) (*http.Response, error)

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.sent = append(s.sent, sent{r, string(body), time.Now()})
	answer := s.answers[min(len(s.sent), len(s.answers))-1]
	s.mu.Unlock()
	return answer(r)
}

// client returns a client of s, with r as its retries.
func (s *server) client(t *testing.T, r Retry) *Client {
	t.Helper()
	c, err := New("http://millrace:6566", WithHTTPClient(&http.Client{Transport: s}), WithRetry(r))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// says answers with a status, headers "Name: value", and a body.
func says(status int, body string, headers ...string) answerer {
	return func(*http.Request) (*http.Response, error) {
		h := make(http.Header)
		for _, line := range headers {
			name, value, _ := strings.Cut(line, ": ")
			h.Set(name, value)
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

// refuses answers with an error in the native form.
func refuses(status int, code Code, headers ...string) answerer {
	return says(status, `{"error":{"code":"`+string(code)+`","message":"no"}}`, headers...)
}

// breaks fails as a transport does.
func breaks(err error) answerer {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// silentServer answers nothing until the caller gives up.
func silentServer(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// breaksOff sends part of an answer.
func breaksOff(*http.Request) (*http.Response, error) {
	body := io.MultiReader(bytes.NewReader([]byte(`{"features":[`)), failingReader{})
	return &http.Response{StatusCode: http.StatusOK, Header: make(http.Header), Body: io.NopCloser(body)}, nil
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

var (
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	errReset   = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}
)
