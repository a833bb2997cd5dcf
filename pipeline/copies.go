package pipeline

import (
	"millrace/feature"
	"millrace/sources"
)

// Keyer computes the entity key of every row of a batch, "" for a row without
// one: transforms.Keyer. It belongs to one lane.
type Keyer interface {
	Keys(in *feature.Batch) []string
}

// Copies says that the records of a route's topic are copies of those of
// another one, which is keyed by something else: each stands for the rows of
// one entity key. Lanes take the records that they were made of for what they
// decode, order, refuse and show, and the copies' own offsets for what they
// commit and what tiles are fenced by.
type Copies struct {
	NewKeyer         func() Keyer // of the rows of raw records
	NewFinishedKeyer func() Keyer
}

// copies are those of the batch that a lane works on. A nil *copies is that of
// a lane whose records are no copies.
type copies struct {
	of            []sources.Copy // parallel to the batch's records; the zero Copy for what is none
	offsets       []int64        // of the copies themselves
	partitions    []int32        // of the records
	numbers       []int64        // offsets by row, reused
	keep          []int32        // reused
	raw, finished sifter
}

// sifter takes rows that belong to other copies out of a batch.
type sifter struct {
	keyer Keyer
	spare feature.Batch
}

func newCopies(c *Copies) *copies {
	if c == nil {
		return nil
	}
	return &copies{raw: sifter{keyer: c.NewKeyer()}, finished: sifter{keyer: c.NewFinishedKeyer()}}
}

// unpack makes copies the records that they were made of.
func (c *copies) unpack(recs []sources.Record) {
	if c == nil {
		return
	}
	c.of, c.offsets, c.partitions = c.of[:0], c.offsets[:0], c.partitions[:0]
	for i := range recs {
		c.offsets = append(c.offsets, recs[i].Offset)
		one, _ := sources.Unpack(&recs[i]) // what is no copy is refused by sort
		c.of, c.partitions = append(c.of, one), append(c.partitions, one.Number)
	}
}

// offsetOf is where a record of the batch is in the lane's partition.
func (c *copies) offsetOf(recs []sources.Record, i int) int64 {
	if c == nil {
		return recs[i].Offset
	}
	return c.offsets[i]
}

// broken reports whether record i should be a copy and is none.
func (c *copies) broken(i int) bool { return c != nil && c.of[i].Topic == "" }

// first reports whether what is said of record i as a whole is to be said here.
func (c *copies) first(i int) bool { return c == nil || c.of[i].First || c.broken(i) }

// own leaves those rows and rejects in b that belong to the copies at hand.
func (c *copies) own(b *feature.Batch, finished bool) {
	if c == nil || c.ownAll() {
		return
	}
	s := &c.raw
	if finished {
		s = &c.finished
	}
	c.keep = c.keep[:0]
	for row, key := range s.keyer.Keys(b) {
		if c.of[b.Origins[row].Record].Owns(key) {
			c.keep = append(c.keep, int32(row))
		}
	}
	if len(c.keep) < b.Rows() {
		s.spare.Gather(b, c.keep)
		s.spare.Rejects, s.spare.Absent = append(s.spare.Rejects, b.Rejects...), b.Absent
		*b, s.spare = s.spare, *b
	}
	kept := b.Rejects[:0]
	for _, r := range b.Rejects {
		if c.first(int(r.Origin.Record)) {
			kept = append(kept, r)
		}
	}
	b.Rejects = kept
}

func (c *copies) ownAll() bool {
	for i := range c.of {
		if !c.of[i].OwnsAll() {
			return false
		}
	}
	return true
}

// place gives rows the partitions of their records.
func (c *copies) place(rows *feature.Rows) {
	if c != nil {
		rows.Partitions = c.partitions
	}
}

// numbersOf returns what the fence of tiles knows rows by; nil when it is their
// own offsets.
func (c *copies) numbersOf(rows *feature.Rows) []int64 {
	if c == nil {
		return nil
	}
	c.numbers = c.numbers[:0]
	for i := range rows.Origins {
		c.numbers = append(c.numbers, c.offsets[rows.Origins[i].Record])
	}
	return c.numbers
}

// copyOf returns what copy i of the batch says, and its offset; nil when it is
// none.
func (c *copies) copyOf(i int32) (one *sources.Copy, offset int64) {
	if c == nil || c.broken(int(i)) {
		return nil, 0
	}
	return &c.of[i], c.offsets[i]
}
