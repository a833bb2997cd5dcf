package pipeline

import (
	"millrace/feature"
	"millrace/sources"
)

// shapes are the batches that a route's raw records are decoded into, one for
// each of its shapes. A record has an end for every view, so one that every
// shape refuses is refused once, for no view in particular; one that only some
// refuse, is refused for each view of these.
type shapes struct {
	of      []shape
	refusal map[spot]int // how many shapes refuse it
}

type shape struct {
	decoder   sources.Decoder
	fields    []feature.Field
	batch     feature.Batch
	newFields func() sources.Decoder // see Shape.NewFields
	forms     forms                  // made when the first such record arrives
}

// spot is a record of a batch, or an element of one.
type spot struct{ record, element int32 }

func newShapes(of []Shape) shapes {
	var s shapes
	for _, one := range of {
		s.of = append(s.of, shape{decoder: one.NewDecoder(), fields: one.Fields, newFields: one.NewFields})
	}
	return s
}

// common moves the rejects that all shapes have to all, which it returns. What
// stays in a batch is for the views of its shape.
func (s *shapes) common(all []feature.Reject) []feature.Reject {
	first := &s.of[0].batch
	if len(s.of) == 1 {
		all = append(all, first.Rejects...)
		first.Rejects = first.Rejects[:0]
		return all
	}
	if s.refusal == nil {
		s.refusal = make(map[spot]int)
	}
	defer clear(s.refusal)
	for i := range s.of {
		for _, r := range s.of[i].batch.Rejects {
			s.refusal[spotOf(&r)]++
		}
	}
	for i := range s.of {
		b := &s.of[i].batch
		kept := b.Rejects[:0]
		for _, r := range b.Rejects {
			switch {
			case s.refusal[spotOf(&r)] < len(s.of):
				kept = append(kept, r)
			case i == 0:
				all = append(all, r)
			}
		}
		b.Rejects = kept
	}
	return all
}

func spotOf(r *feature.Reject) spot { return spot{r.Origin.Record, r.Origin.Element} }
