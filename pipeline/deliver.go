package pipeline

import "millrace/sources"

// deliver queues a fetch and says whether the partition is to be paused.
func (l *lane) deliver(f sources.Fetch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passOver(&f)
	var n int64
	for i := range f.Records {
		n += int64(f.Records[i].Bytes())
	}
	l.p.budget.take(n)
	l.mu.logEnd = max(l.mu.logEnd, f.LogEnd)
	l.mu.buffered += n
	if f.Expired > 0 {
		l.mu.expired = true
		l.p.s.Events.Expired(l.partition, f.Expired)
	}
	if f.Err != nil {
		l.mu.lost = f.Err
	} else if len(f.Records) > 0 {
		l.mu.queue = append(l.mu.queue, f)
	}
	l.nudge()
	// A lane that holds nothing is never paused for want of bytes: nothing of
	// its own would be given back later and reopen it.
	room := l.mu.buffered < l.p.s.LaneBytes && !l.p.budget.spent()
	if f.Err == nil && (room || l.mu.buffered == 0) {
		return false
	}
	if !l.mu.full && f.Err == nil {
		l.p.s.Events.Full(l.partition)
	}
	l.mu.full = true
	return true
}

// passOver takes records out of f that do not lie behind everything that was
// delivered before them. Sources do not deliver any; if one ever did, tiles
// would count them again: a fence covers what earlier batches counted, not the
// batch that is being made. The caller holds mu.
func (l *lane) passOver(f *sources.Fetch) {
	kept := 0
	for i := range f.Records {
		if f.Records[i].Offset < l.mu.next {
			continue
		}
		l.mu.next = f.Records[i].Offset + 1
		f.Records[kept] = f.Records[i]
		kept++
	}
	passed := len(f.Records) - kept
	clear(f.Records[kept:])
	f.Records = f.Records[:kept]
	if passed > 0 && !l.mu.repeated {
		l.mu.repeated = true
		l.p.s.Events.Repeated(l.partition, passed)
	}
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// release gives the bytes of records back that have reached their end.
func (l *lane) release(n int64) {
	l.p.budget.give(n)
	l.mu.Lock()
	l.mu.buffered -= n
	l.mu.Unlock()
	l.p.resumeLanes()
}

// resumable reports, once, that a paused lane may be delivered to again.
func (l *lane) resumable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	room := l.mu.buffered == 0 || (l.mu.buffered <= l.p.s.LaneBytes/2 && l.p.budget.relaxed())
	if !l.mu.full || l.mu.held || l.mu.lost != nil || !room {
		return false
	}
	l.mu.full = false
	return true
}
