package pipeline

import (
	"cmp"
	"maps"
	"slices"
)

// LaneStatus is what a lane looks like from outside.
type LaneStatus struct {
	Source        string `json:"source"`
	Topic         string `json:"topic"`
	Partition     int32  `json:"partition"`
	State         string `json:"state"` // waiting, running, full, held, draining
	BufferedBytes int64  `json:"buffered_bytes"`
	Next          int64  `json:"next"` // everything below has its end
	Committed     int64  `json:"committed"`
	LogEnd        int64  `json:"log_end"`
	Lag           int64  `json:"lag"`
}

// Snapshot describes all lanes, ordered by topic and partition.
func (p *Pipeline) Snapshot() []LaneStatus {
	p.mu.Lock()
	lanes := slices.Collect(maps.Values(p.mu.lanes))
	lanes = append(lanes, p.mu.leaving...)
	p.mu.Unlock()
	all := make([]LaneStatus, 0, len(lanes))
	for _, l := range lanes {
		all = append(all, l.status())
	}
	slices.SortFunc(all, func(a, b LaneStatus) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return all
}

func (l *lane) status() LaneStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := LaneStatus{
		Source: l.route.Source, Topic: l.partition.Topic, Partition: l.partition.Number, State: "waiting",
		BufferedBytes: l.mu.buffered, Next: l.mu.tracker.mark, Committed: l.committed.Load(), LogEnd: l.mu.logEnd,
	}
	s.Lag = max(0, s.LogEnd-s.Next)
	switch {
	case l.taking.Err() != nil:
		s.State = "draining"
	case l.mu.held:
		s.State = "held"
	case l.mu.full:
		s.State = "full"
	case l.mu.tracker.unfinished() > 0:
		s.State = "running"
	}
	return s
}

// groupMember is implemented by sources that know whether a group took them in.
type groupMember interface{ Member() bool }

// Joined reports whether the group has taken this process in, be it without a
// partition to work.
func (p *Pipeline) Joined() bool {
	if m, ok := p.s.Source.(groupMember); ok {
		return m.Member()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.joined
}
