package predict

import "time"

// Bounds of each half of a memory. Keys are some megabytes at most; bytes are
// those of the answers that what is remembered keeps alive.
const (
	maxRemembered      = 8192
	maxRememberedBytes = 8 << 20
)

// memory holds what became of rows lately: failures, so that a row that no model
// can infer does not cost a call with every read, or predictions, so that who
// looked before one was stored and asks after its call has ended costs none
// either. It forgets in two halves: what was noted goes with the half it is in,
// after keep and before twice that; recall looks at the time. A half that is
// full takes no more, which costs calls and nothing else. Its owner locks it.
type memory[V any] struct {
	keep        time.Duration // negative remembers nothing
	young, aged map[Key]memo[V]
	bytes       int // of young
	turned      time.Time
}

type memo[V any] struct {
	what  V
	until time.Time
}

func (m *memory[V]) turn(now time.Time) {
	if now.Sub(m.turned) < m.keep {
		return
	}
	m.aged, m.young, m.bytes = m.young, nil, 0
	if now.Sub(m.turned) >= 2*m.keep {
		m.aged = nil
	}
	m.turned = now
}

// takes reports whether there is room for what keeps so many bytes alive, and
// counts them if so: once for all that is then noted of one answer.
func (m *memory[V]) takes(bytes int, now time.Time) bool {
	if m.keep < 0 {
		return false
	}
	m.turn(now)
	if m.bytes+bytes > maxRememberedBytes {
		return false
	}
	m.bytes += bytes
	return true
}

// note remembers what became of key; it keeps the key.
func (m *memory[V]) note(key Key, what V, now time.Time) {
	if m.keep < 0 {
		return
	}
	m.turn(now)
	if len(m.young) >= maxRemembered {
		return
	}
	if m.young == nil {
		m.young = make(map[Key]memo[V])
	}
	m.young[key] = memo[V]{what, now.Add(m.keep)}
}

// forget makes key as if it had never been noted.
func (m *memory[V]) forget(key Key) {
	delete(m.young, key)
	delete(m.aged, key)
}

// recall returns what became of key lately.
func (m *memory[V]) recall(key Key, now time.Time) (what V, ok bool) {
	if len(m.young)+len(m.aged) == 0 {
		return what, false
	}
	m.turn(now)
	x, ok := m.young[key]
	if !ok {
		x, ok = m.aged[key]
	}
	if !ok || !now.Before(x.until) {
		return what, false
	}
	return x.what, true
}
