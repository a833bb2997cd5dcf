// Package schemaregistry asks a schema registry (Confluent's API, which
// Apicurio, Karapace and Redpanda speak too) for schemas, and remembers them.
//
// Invariant: an id is asked for once at a time however many lanes want it, and
// never again once it is known. That the registry lacks an id
// (sources.ErrUnknownSchema) and that the registry cannot be asked (every other
// error) are never taken for each other.
package schemaregistry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"golang.org/x/sync/singleflight"

	"millrace/sources"
)

// Registry implements sources.Schemas. It is safe for concurrent use.
type Registry struct {
	settings Settings
	client   *sr.Client
	http     *http.Client
	flight   singleflight.Group

	mu struct {
		sync.Mutex
		known   map[int32]sources.Schema
		unknown map[int32]unknown
	}
}

// unknown is an id that the registry did not have.
type unknown struct {
	err   error
	until time.Time
}

var _ sources.Schemas = (*Registry)(nil)

// New returns a registry; nothing is asked yet.
func New(s Settings) (*Registry, error) {
	s = s.withDefaults()
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("schema registry: %w", err)
	}
	transport, err := s.transport()
	if err != nil {
		return nil, fmt.Errorf("schema registry: %w", err)
	}
	r := &Registry{settings: s, http: &http.Client{Transport: bounded{transport}}}
	opts := []sr.ClientOpt{sr.URLs(s.URLs...), sr.HTTPClient(r.http), sr.UserAgent("millrace")}
	if s.User != "" {
		opts = append(opts, sr.BasicAuth(s.User, s.Password))
	}
	if s.Token != "" {
		opts = append(opts, sr.BearerToken(s.Token))
	}
	if r.client, err = sr.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("schema registry: %w", err)
	}
	r.mu.known = make(map[int32]sources.Schema)
	r.mu.unknown = make(map[int32]unknown)
	return r, nil
}

// Close lets go of idle connections.
func (r *Registry) Close() { r.http.CloseIdleConnections() }

// Schema implements sources.Schemas.
func (r *Registry) Schema(ctx context.Context, id int32) (sources.Schema, error) {
	if s, ok, err := r.remembered(id); ok {
		return s, err
	}
	// The request outlives a caller that gives up: others may wait for it.
	done := r.flight.DoChan(strconv.Itoa(int(id)), func() (any, error) {
		if s, ok, err := r.remembered(id); ok { // found between the look and the turn
			return s, err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.settings.Timeout)
		defer cancel()
		s, err := r.fetch(ctx, id)
		r.remember(id, s, err)
		return s, err
	})
	select {
	case <-ctx.Done():
		return sources.Schema{}, fmt.Errorf("look up schema %d: %w", id, ctx.Err())
	case result := <-done:
		s, _ := result.Val.(sources.Schema)
		return s, result.Err
	}
}

// remembered returns what is known of id without asking; ok when something is.
func (r *Registry) remembered(id int32) (s sources.Schema, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok = r.mu.known[id]; ok {
		return s, true, nil
	}
	u, ok := r.mu.unknown[id]
	if !ok {
		return s, false, nil
	}
	if time.Now().Before(u.until) {
		return s, true, u.err
	}
	delete(r.mu.unknown, id)
	return s, false, nil
}

func (r *Registry) remember(id int32, s sources.Schema, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		makeRoom(r.mu.known, r.settings.MaxSchemas)
		r.mu.known[id] = s
	case errors.Is(err, sources.ErrUnknownSchema):
		makeRoom(r.mu.unknown, r.settings.MaxSchemas)
		r.mu.unknown[id] = unknown{err, time.Now().Add(r.settings.UnknownFor)}
	}
}

// makeRoom drops any one entry of a full cache: an id that comes again is
// asked for again, which is all that it costs.
func makeRoom[V any](m map[int32]V, limit int) {
	if len(m) < limit {
		return
	}
	for id := range m {
		delete(m, id)
		return
	}
}

func (r *Registry) fetch(ctx context.Context, id int32) (sources.Schema, error) {
	s, err := r.client.SchemaByID(ctx, int(id))
	if err == nil {
		return r.complete(ctx, id, s)
	}
	return sources.Schema{}, lookupError(fmt.Sprintf("look up schema %d", id), err)
}

// Latest returns the newest schema of a subject, and its version. It asks every
// time.
func (r *Registry) Latest(ctx context.Context, subject string) (s sources.Schema, version int, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.settings.Timeout)
	defer cancel()
	const latest = -1
	found, err := r.client.SchemaByVersion(ctx, subject, latest)
	if err != nil {
		return s, 0, lookupError(fmt.Sprintf("look up the latest schema of subject %q", subject), err)
	}
	if found.ID < math.MinInt32 || found.ID > math.MaxInt32 {
		return s, 0, fmt.Errorf("look up the latest schema of subject %q: its id, %d, does not fit 32 bits", subject, found.ID)
	}
	s, err = r.complete(ctx, int32(found.ID), found.Schema)
	return s, found.Version, err
}

// maxReferences bounds how many schemas one may need.
const maxReferences = 1000

// complete gathers what s refers to.
func (r *Registry) complete(ctx context.Context, id int32, s sr.Schema) (sources.Schema, error) {
	whole := sources.Schema{ID: id, Type: sources.SchemaType(s.Type.String()), Text: s.Schema}
	seen := make(map[sr.SchemaReference]bool)
	var gather func([]sr.SchemaReference) error
	gather = func(refs []sr.SchemaReference) error {
		for _, ref := range refs {
			if seen[ref] {
				continue
			}
			if len(seen) == maxReferences {
				return fmt.Errorf("schema %d refers to more than %d others: %w", id, maxReferences, sources.ErrUnknownSchema)
			}
			seen[ref] = true
			found, err := r.client.SchemaByVersion(ctx, ref.Subject, ref.Version)
			if err != nil {
				return lookupError(fmt.Sprintf("look up version %d of subject %q, which schema %d needs", ref.Version, ref.Subject, id), err)
			}
			if err := gather(found.References); err != nil {
				return err
			}
			whole.References = append(whole.References, sources.SchemaReference{Name: ref.Name, Text: found.Schema.Schema})
		}
		return nil
	}
	if err := gather(s.References); err != nil {
		return sources.Schema{}, err
	}
	return whole, nil
}

// lookupError tells a registry that lacks what was asked for from one that
// could not be asked. A 404 counts only with the API's own code: a wrong path,
// or a proxy in between, answers 404 as well.
func lookupError(what string, err error) error {
	var answer *sr.ResponseError
	if !errors.As(err, &answer) {
		return fmt.Errorf("%s: %w", what, err)
	}
	switch answer.ErrorCode {
	case sr.ErrSubjectNotFound.Code, sr.ErrVersionNotFound.Code, sr.ErrSchemaNotFound.Code:
		return fmt.Errorf("%s: %w", what, sources.ErrUnknownSchema)
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%s: the schema registry refuses us (HTTP %d); check user, password or token", what, answer.StatusCode)
	case http.StatusNotFound:
		return fmt.Errorf("%s: HTTP 404 without an error code of the registry; check the path of its URL", what)
	default:
		return fmt.Errorf("%s: the schema registry answered HTTP %d", what, answer.StatusCode)
	}
}
