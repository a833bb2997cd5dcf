package window

import (
	"cmp"
	"encoding/binary"
	"slices"

	"millrace/feature"
)

// maxTopText bounds the text that one topK keeps.
const maxTopText = 64 << 10

// topCounters is how many counters a top_k keeps; 0 for other kinds.
func (s *Spec) topCounters() int {
	if s.Kind != KindTopK {
		return 0
	}
	return max(256, 4*s.K)
}

// topK counts values exactly while there are at most limit of them and their
// text fits maxTopText. Beyond that it forgets the rare ones (Misra and Gries,
// merged as by Agarwal and others, "Mergeable summaries"): the count of the
// one at the middle is taken off every counter, and what is left with nothing
// goes. Hence every count is low by at most lost, and lost ≤ 2·n/limit for n
// values counted while text fits: a value of a greater share is never missed.
//
// Rejected: space-saving, whose merge needs the smallest counter of each side
// and overstates what it has not seen.
type topK struct {
	of    feature.Type
	limit int
	// Counters are behind pointers, because counts[v] = n would replace the key,
	// whose text is the map's own, by v, whose text may live in the batch.
	counts map[value]*uint64
	text   int    // bytes of the keys
	lost   uint64 // by how much a count may be low
}

func (a *topK) update(c *feature.Column, row int, _ *Position) {
	if c.IsNull(row) {
		return
	}
	v := read(c, row).plain(a.of)
	if n := a.counts[v]; n != nil {
		*n++
		return
	}
	a.add(v.own(), 1)
	a.shrink()
}

// add counts v, whose text is its own, n times.
func (a *topK) add(v value, n uint64) {
	if old := a.counts[v]; old != nil {
		*old += n
		return
	}
	if a.counts == nil {
		a.counts = make(map[value]*uint64)
	}
	a.text += len(v.text)
	fresh := n // on the heap, where n itself would be at every call
	a.counts[v] = &fresh
}

func (a *topK) shrink() {
	for len(a.counts) > a.limit || a.text > maxTopText {
		ranked := make([]uint64, 0, len(a.counts))
		for _, n := range a.counts {
			ranked = append(ranked, *n)
		}
		slices.Sort(ranked)
		// At most half of limit keep something.
		off := ranked[max(len(ranked)-1-a.limit/2, len(ranked)/2)]
		a.lost += off
		for v, n := range a.counts {
			if *n <= off {
				delete(a.counts, v)
				a.text -= len(v.text)
				continue
			}
			*n -= off
		}
	}
}

func (a *topK) merge(from aggregate) {
	b, ok := from.(*topK)
	if !ok {
		return
	}
	for v, n := range b.counts {
		a.add(v, *n)
	}
	a.lost += b.lost
	a.shrink()
}

type ranked struct {
	v value
	n uint64
}

// sorted returns the counters, the most frequent first; of equal ones the
// smaller value first.
func (a *topK) sorted() []ranked {
	all := make([]ranked, 0, len(a.counts))
	for v, n := range a.counts {
		all = append(all, ranked{v, *n})
	}
	slices.SortFunc(all, func(x, y ranked) int {
		return cmp.Or(cmp.Compare(y.n, x.n), compare(a.of, x.v, y.v))
	})
	return all
}

func (a *topK) finalize(s *Spec, dst *feature.Column, row int) Outcome {
	if len(a.counts) == 0 {
		return OutcomeNull
	}
	start := dst.Elems.Len()
	all := a.sorted()
	for _, x := range all[:min(s.K, len(all))] {
		x.v.set(dst.Elems, dst.Elems.AppendNull())
	}
	dst.SetList(row, start)
	return OutcomeValue
}

func (a *topK) append(b []byte) []byte {
	b = binary.AppendUvarint(b, a.lost)
	b = binary.AppendUvarint(b, uint64(len(a.counts)))
	for _, x := range a.sorted() {
		b = x.v.append(binary.AppendUvarint(b, x.n), a.of)
	}
	return b
}

func (a *topK) decode(r *reader) {
	a.lost = r.uvarint()
	if a.counts == nil {
		a.counts = make(map[value]*uint64)
	}
	for range r.count(2, a.limit) {
		n, v := r.uvarint(), r.value(a.of)
		if v.null || n == 0 {
			r.take(-1)
		}
		if r.bad {
			return
		}
		before := len(a.counts)
		if a.counts[v] = &n; len(a.counts) == before {
			r.take(-1) // twice
			return
		}
		a.text += len(v.text)
	}
	if a.text > maxTopText {
		r.take(-1)
	}
}

func (a *topK) reset() {
	clear(a.counts)
	a.text, a.lost = 0, 0
}

func (a *topK) memory() int { return 48 + 80*len(a.counts) + a.text }
