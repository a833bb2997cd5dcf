package kafka

import (
	"sort"

	"millrace/sources"
)

// position is what the source knows of a partition that it owns.
type position struct {
	next   int64 // where delivery goes on
	epoch  int32 // leader epoch of the committed offset, while next is that offset; else -1
	paused bool  // nothing is delivered until Resume
	moved  bool  // the client stands elsewhere than at next
	epochs []epochFrom
}

// epochFrom says that records from an offset on were written under a leader
// epoch. Commits carry the epoch, so that the next owner notices a log that
// was cut below the committed offset and grew again.
type epochFrom struct {
	offset int64
	epoch  int32
}

// wrote notes the epoch of the record at offset.
func (p *position) wrote(offset int64, epoch int32) {
	if n := len(p.epochs); n == 0 || p.epochs[n-1].epoch != epoch {
		p.epochs = append(p.epochs, epochFrom{offset, epoch})
	}
}

// epochAt returns the epoch of the last record below offset, -1 if unknown,
// and forgets older ones: commits of a partition only go up.
func (p *position) epochAt(offset int64) int32 {
	i := sort.Search(len(p.epochs), func(i int) bool { return p.epochs[i].offset >= offset })
	if i == 0 {
		return -1
	}
	p.epochs = p.epochs[i-1:]
	return p.epochs[0].epoch
}

// jump moves p to where the handler wants it.
func (p *position) jump(offset int64) {
	p.next, p.epoch, p.epochs = offset, -1, nil
}

// byTopic groups partitions as the client takes them.
func byTopic(ps ...sources.Partition) map[string][]int32 {
	m := make(map[string][]int32, 1)
	for _, p := range ps {
		m[p.Topic] = append(m[p.Topic], p.Number)
	}
	return m
}

// sortPartitions orders ps by topic and number.
func sortPartitions(ps []sources.Partition) {
	sort.Slice(ps, func(i, j int) bool {
		if ps[i].Topic != ps[j].Topic {
			return ps[i].Topic < ps[j].Topic
		}
		return ps[i].Number < ps[j].Number
	})
}
