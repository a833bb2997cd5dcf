package push

import (
	"sync"

	"millrace/serving"
)

// room bounds what all requests under way hold together. Whoever finds none is
// refused at once: a caller who waits would hold memory, too.
type room struct {
	limits serving.PushLimits
	told   func(bytes int64)

	mu       sync.Mutex
	requests int
	bytes    int64
}

// pass implements serving.Pass.
type pass struct {
	room  *room
	bytes int64
}

// Admit implements serving.Writer.
func (s *Service) Admit(bytes int64) (serving.Pass, *serving.Error) {
	r := &s.room
	r.mu.Lock()
	full := r.requests >= r.limits.Concurrency
	if !full {
		r.requests++
	}
	r.mu.Unlock()
	if full {
		return nil, serving.Errorf(serving.CodeOverloaded, "%d pushes are under way, which is the limit", r.limits.Concurrency)
	}
	p := &pass{room: r}
	if err := p.Hold(bytes); err != nil {
		p.Leave()
		return nil, err
	}
	return p, nil
}

// Hold implements serving.Pass.
func (p *pass) Hold(bytes int64) *serving.Error {
	r := p.room
	r.mu.Lock()
	others := r.bytes - p.bytes
	if bytes > p.bytes && others > 0 && others+bytes > r.limits.InFlightBytes {
		r.mu.Unlock()
		return serving.Errorf(serving.CodeOverloaded, "pushes under way hold as many bytes as they may, %d", r.limits.InFlightBytes)
	}
	r.bytes = others + bytes
	p.bytes = bytes
	now := r.bytes
	r.mu.Unlock()
	if r.told != nil {
		r.told(now)
	}
	return nil
}

// Leave implements serving.Pass.
func (p *pass) Leave() {
	_ = p.Hold(0) // less is never refused
	p.room.mu.Lock()
	p.room.requests--
	p.room.mu.Unlock()
}
