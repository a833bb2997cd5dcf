package pipeline

// tracker turns batches that finish in any order into the offset below which
// everything is finished.
//
// Invariants: batches begin in offset order; mark never passes a batch that is
// not finished. Offsets of a log have gaps (transactions, compaction), so
// "contiguous" is over batches begun, not over numbers. Rejected: a bitmap of
// offsets, which has to know the gaps.
type tracker struct {
	mark  int64 // next offset to read, everything below is finished
	base  int64 // id of open[0]
	open  []openBatch
	begun int64
}

type openBatch struct {
	next     int64
	finished bool
	awaited  bool
}

func (t *tracker) reset(mark int64) {
	t.mark = mark
	t.base += int64(len(t.open))
	t.open = t.open[:0]
	t.begun = t.base
}

// begin notes a batch whose last record is followed by offset next, and
// returns its id.
func (t *tracker) begin(next int64) int64 {
	t.open = append(t.open, openBatch{next: next})
	t.begun++
	return t.begun - 1
}

// finish notes that every row of a batch has its end, and that somebody waits
// for it. It returns whether the mark has passed a batch that somebody waits
// for. An id from before a reset is ignored.
func (t *tracker) finish(id int64, awaited bool) (passed bool) {
	if id < t.base {
		return false
	}
	b := &t.open[id-t.base]
	b.finished, b.awaited = true, awaited
	done := 0
	for done < len(t.open) && t.open[done].finished {
		t.mark = t.open[done].next
		passed = passed || t.open[done].awaited
		done++
	}
	t.base += int64(done)
	t.open = append(t.open[:0], t.open[done:]...)
	return passed
}

// unfinished returns how many batches have begun and not finished.
func (t *tracker) unfinished() int { return len(t.open) }

// extend moves the end of the batch that began last.
func (t *tracker) extend(next int64) { t.open[len(t.open)-1].next = next }
