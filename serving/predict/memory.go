package predict

import "time"

// maxRemembered bounds each half of a memory: some megabytes of keys.
const maxRemembered = 8192

// memory holds the rows that failed lately, so that a row that no model can
// infer does not cost a call with every read. It forgets in two halves: what
// was noted goes with the half it is in, after keep and before twice that;
// recall looks at the time. A half that is full takes no more, which costs
// calls and nothing else. Its owner locks it.
type memory struct {
	keep        time.Duration // negative remembers nothing
	young, aged map[Key]failure
	turned      time.Time
}

type failure struct {
	fault *Error
	until time.Time
}

func (m *memory) turn(now time.Time) {
	if now.Sub(m.turned) < m.keep {
		return
	}
	m.aged, m.young = m.young, nil
	if now.Sub(m.turned) >= 2*m.keep {
		m.aged = nil
	}
	m.turned = now
}

// note remembers that key failed; it keeps the key.
func (m *memory) note(key Key, fault *Error, now time.Time) {
	if m.keep < 0 {
		return
	}
	m.turn(now)
	if len(m.young) >= maxRemembered {
		return
	}
	if m.young == nil {
		m.young = make(map[Key]failure)
	}
	m.young[key] = failure{fault, now.Add(m.keep)}
}

// recall returns why key failed lately, or nil.
func (m *memory) recall(key Key, now time.Time) *Error {
	if len(m.young)+len(m.aged) == 0 {
		return nil
	}
	m.turn(now)
	f, ok := m.young[key]
	if !ok {
		f = m.aged[key]
	}
	if !now.Before(f.until) {
		return nil
	}
	return f.fault
}
