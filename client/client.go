package client

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client calls one Millrace, which may be many servers behind one address. It
// is safe for concurrent use; one per process is enough, and keeps connections
// alive between calls.
type Client struct {
	base   string // without a slash at the end
	http   *http.Client
	own    *http.Transport // made by New, nil with another HTTP client
	retry  Retry
	header http.Header
	most   int64 // bytes of an answer
}

// Option changes how a Client works.
type Option func(*Client)

// WithHTTPClient sends requests through h, whose transport may authenticate,
// trace or proxy. Its own Timeout should be 0: the context of a call bounds it.
func WithHTTPClient(h *http.Client) Option {
	return func(c *Client) { c.http = h }
}

// WithRetry says how often and when calls are sent again. Retry{Attempts: 1}
// never does.
func WithRetry(r Retry) Option {
	return func(c *Client) { c.retry = r.withDefaults() }
}

// WithHeader sets a header of every request. A value is sent as it is given.
func WithHeader(name, value string) Option {
	return func(c *Client) { c.header.Set(name, value) }
}

// Connections to one server that wait for the next call. The standard
// library's two would close most of those of a busy caller after each call.
const (
	idlePerHost = 64
	idleTimeout = 90 * time.Second // shorter than the server's, which is 2 m
)

// New makes a client of the server at address, such as
// http://features.internal:6566. It connects to nothing yet.
func New(address string, options ...Option) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("make a client: %q is not the address of a server; write http://host:6566", address)
	}
	c := &Client{base: strings.TrimRight(u.String(), "/"), header: make(http.Header), retry: Retry{}.withDefaults(), most: maxReplyBytes}
	for _, o := range options {
		o(c)
	}
	if c.http == nil {
		c.own = &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: idlePerHost, IdleConnTimeout: idleTimeout,
			ForceAttemptHTTP2: true, DisableCompression: true,
		}
		c.http = &http.Client{Transport: c.own}
	}
	return c, nil
}

// Close closes connections that are not in use. It may be called twice, and
// leaves the connections of an HTTP client that was passed in alone.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}
