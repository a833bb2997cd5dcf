package push

import (
	"math/bits"
	"slices"
	"time"
)

// What a pace goes by.
const (
	// tolerance is how many times longer than alone the median push may take: it
	// bounds the queue before the store to what the store works on.
	tolerance    = 2
	firstLimit   = 32
	roundTime    = 25 * time.Millisecond // at least; pushes that end in it are judged together
	roundSamples = 8                     // at least
	mostSamples  = 256                   // of a round
	aloneKept    = 16                    // times of a class
	aloneAge     = 10 * time.Second      // for which what was learned alone is believed
	trialTime    = time.Second           // at most
	trialSamples = 8
	sizeClasses  = 24
)

// pace finds how many pushes a store takes at a time: as many as keep it busy,
// and no more. A push that is alone shows how long the store takes; a median of
// more than tolerance times that is a queue, and by Little's law the fraction of
// those who were inside when each push came in would have been enough. With room
// left and somebody refused the limit grows.
//
// Times are compared among pushes of about as many rows. When nobody was alone
// for a while, a queue is believed only after a trial, in which pushes go one at
// a time: what is slow may have become the usual.
type pace struct {
	most, limit int
	quick       time.Duration // is no sign of a queue, however fast the store is else
	full        bool          // somebody found no place since the round began
	cut         bool          // the limit was too high once

	alone [sizeClasses]alone
	fresh time.Time // when a push was alone, or a trial began

	began  time.Time // of the round
	round  []judged
	trial  time.Time // until when; zero without one
	trials int       // pushes that it still waits for
}

// sample is a push that has ended.
type sample struct {
	beside, rows int
	took         time.Duration
	whole        bool // the store answered; otherwise it takes longer than that
}

// judged is what a sample says: how many times longer than alone it took, and
// with how many pushes inside.
type judged struct{ slower, beside float64 }

// alone is how long pushes take that are alone.
type alone struct {
	took  [aloneKept]time.Duration
	n     int
	usual time.Duration // the median
	old   bool          // a trial was begun since: the next is the first of new ones
}

func newPace(most int, quick time.Duration) pace {
	return pace{most: most, limit: min(most, firstLimit), quick: quick}
}

// now is the limit at a time.
func (p *pace) now(at time.Time) int {
	if p.trial.IsZero() {
		return p.limit
	}
	if at.Before(p.trial) {
		return 1
	}
	p.endTrial(at)
	return p.limit
}

func (p *pace) beginTrial(at time.Time) {
	p.fresh, p.trial, p.trials = at, at.Add(trialTime), trialSamples
	for i := range p.alone {
		p.alone[i].old = true
	}
}

func (p *pace) endTrial(at time.Time) {
	p.trial, p.round, p.began = time.Time{}, p.round[:0], at
}

func (p *pace) learn(at time.Time, s sample) {
	c := &p.alone[min(bits.Len(uint(s.rows)), sizeClasses-1)]
	inTrial := p.now(at) == 1 && !p.trial.IsZero()
	if s.beside == 1 && s.whole {
		if c.add(s.took); c.n >= trialSamples/2 {
			p.fresh = at
		}
		if p.trials--; inTrial && p.trials <= 0 {
			p.endTrial(at)
			return
		}
	}
	if c.n == 0 || inTrial {
		return
	}
	slower := float64(s.took) / float64(max(c.usual, p.quick))
	if !s.whole && slower <= tolerance {
		return
	}
	if len(p.round) == 0 && p.began.IsZero() {
		p.began = at
	}
	if len(p.round) < mostSamples {
		p.round = append(p.round, judged{slower, float64(s.beside)})
	}
	if len(p.round) >= roundSamples && at.Sub(p.began) >= roundTime {
		p.judge(at)
	}
}

// judge ends a round.
func (p *pace) judge(at time.Time) {
	slower := median(p.round, func(j judged) float64 { return j.slower })
	switch {
	case slower <= tolerance && p.full && p.reached():
		p.grow()
	case slower <= tolerance:
	case at.Sub(p.fresh) > aloneAge:
		p.beginTrial(at)
	default:
		enough := median(p.round, func(j judged) float64 { return j.beside * tolerance / j.slower })
		p.limit, p.cut = max(fewest, min(p.limit, int(enough))), true
	}
	p.round, p.began, p.full = p.round[:0], at, false
}

// reached reports whether the round was of pushes that were as many as may be:
// others say nothing of what more would do.
func (p *pace) reached() bool {
	return median(p.round, func(j judged) float64 { return j.beside })*2 > float64(p.limit)
}

func (p *pace) grow() {
	by := p.limit
	if p.cut {
		by = max(1, p.limit/8)
	}
	p.limit = min(p.most, p.limit+by)
}

func median(round []judged, of func(judged) float64) float64 {
	all := make([]float64, len(round))
	for i, j := range round {
		all[i] = of(j)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func (a *alone) add(took time.Duration) {
	if a.old {
		a.n, a.old = 0, false
	}
	a.took[a.n%aloneKept] = took
	a.n++
	kept := a.took
	times := kept[:min(a.n, aloneKept)]
	slices.Sort(times)
	a.usual = times[(len(times)-1)/2]
}
