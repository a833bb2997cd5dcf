package predict

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// Ready asks whether the server is ready and knows the model's version: nil if
// so, else an *Error.
func (c *Client) Ready(ctx context.Context) error {
	for _, path := range []string{c.path("v2", "health", "ready"), c.modelPath("ready")} {
		if _, fault := c.get(ctx, path); fault != nil {
			return fmt.Errorf("ask model %q whether it is ready: %w", c.model.Name, fault)
		}
	}
	return nil
}

// get asks for a document within the model's timeout.
func (c *Client) get(ctx context.Context, path string) ([]byte, *Error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.model.Timeout, errCallTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, c.fail(ReasonUnreachable, err)
	}
	_, body, fault := c.do(ctx, r)
	return body, fault
}

// Server is what a server says about itself.
type Server struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// binaryExtension is how servers name the binary tensor extension.
var binaryExtension = []string{"binary_tensor_data", "binary_tensor_data_extension"}

func (s *Server) speaksBinary() bool {
	return slices.ContainsFunc(binaryExtension, func(e string) bool { return slices.Contains(s.Extensions, e) })
}

// Server asks the server about itself.
func (c *Client) Server(ctx context.Context) (*Server, error) {
	s := new(Server)
	if err := c.document(ctx, c.path("v2"), s); err != nil {
		return nil, err
	}
	return s, nil
}

// Signature asks the server about the model. Servers may know nothing of inputs
// and outputs, whose lists are then empty.
func (c *Client) Signature(ctx context.Context) (*Signature, error) {
	s := new(Signature)
	if err := c.document(ctx, c.modelPath(), s); err != nil {
		return nil, err
	}
	return s, nil
}

func (c *Client) document(ctx context.Context, path string, to any) error {
	body, fault := c.get(ctx, path)
	if fault == nil {
		if err := json.Unmarshal(body, to); err != nil {
			fault = c.fail(ReasonMalformed, err)
		}
	}
	if fault != nil {
		return fmt.Errorf("ask for metadata: %w", fault)
	}
	return nil
}

// Learn asks the server how it wants requests: in binary where it offers that,
// and which inputs are of shape [n] instead of [n, 1]. Until it has succeeded,
// and where a server says nothing, requests are JSON and of shape [n, 1], which
// every server reads: what another one has said before is forgotten when this one
// is there and does not tell. Batches that are being filled go out as they began.
// Call it at start, and when the server may be another one.
func (c *Client) Learn(ctx context.Context) (*Server, *Signature, error) {
	server, signature, err := c.about(ctx)
	if err != nil {
		if fault, ok := errors.AsType[*Error](err); ok && (fault.Reason == ReasonHTTP || fault.Reason == ReasonMalformed) {
			c.wire.Store(&wire{})
		}
		return nil, nil, err
	}
	w := &wire{known: true, binary: server.speaksBinary(), flat: make([]bool, len(c.model.Inputs))}
	for i := range c.model.Inputs {
		if s := find(signature.Inputs, c.model.Inputs[i].Name); s != nil && c.model.Layout == Named {
			w.flat[i] = len(s.Shape) == 1
		}
	}
	c.wire.Store(w)
	return server, signature, nil
}

func (c *Client) about(ctx context.Context) (*Server, *Signature, error) {
	server, err := c.Server(ctx)
	if err != nil {
		return nil, nil, err
	}
	signature, err := c.Signature(ctx)
	return server, signature, err
}

// Fit compares what the server offers with what the client sends and wants: see
// Model.Fit.
func (c *Client) Fit(offered *Signature) error { return c.model.Fit(offered) }
