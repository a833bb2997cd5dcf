package refresh

import "time"

// part is a partition of changes, as long as it is ours.
//
// Its tickets are a list in the order of their offsets, open ones alone. Rejected:
// a queue that keeps those which are done behind one that is not, because a key
// that fails for hours beside hot ones would make it grow with every refresh.
type part struct {
	number  int32
	next    int64     // offset behind what was taken
	settled time.Time // when what former owners wrote is in the store
	leaving bool      // nothing of it is begun any more
	flying  int       // tickets of it in refreshes under way
	idle    chan struct{}

	first, last *ticket
}

// ticket stands for a change that has not had its end, and for later ones of the
// same key and partition that came while it waited: they end with it.
type ticket struct {
	of         *entry
	part       *part
	offset     int64
	millis     int64 // record time of the change
	prev, next *ticket
	told       bool // that it was refreshed
	closed     bool
}

// mark is the offset below which everything has had its end.
func (p *part) mark() int64 {
	if p.first != nil {
		return p.first.offset
	}
	return p.next
}

// open appends a ticket; offsets do not fall.
func (p *part) open(of *entry, offset, millis int64) *ticket {
	t := &ticket{of: of, part: p, offset: offset, millis: millis, prev: p.last}
	if p.last == nil {
		p.first = t
	} else {
		p.last.next = t
	}
	p.last = t
	return t
}

// close takes a ticket out of the list: its change has had its end, or a ticket
// before it stands for it.
func (p *part) close(t *ticket) {
	if t.closed {
		return
	}
	t.closed = true
	if t.prev == nil {
		p.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		p.last = t.prev
	} else {
		t.next.prev = t.prev
	}
}

// rewind puts the partition at an offset of a log that is another one now: what
// waits is of none of its records, and holds the mark there until it ends.
func (p *part) rewind(offset int64) {
	p.next = offset
	for t := p.first; t != nil; t = t.next {
		t.offset = offset
	}
}

// landed counts a ticket out of the air.
func (p *part) landed() {
	p.flying--
	if p.flying == 0 && p.leaving {
		close(p.idle)
	}
}
