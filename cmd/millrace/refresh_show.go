package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"millrace/serving"
	"millrace/serving/sweep"
)

// showEvery is how often a line says how far it is, where there is no terminal.
const showEvery = 10 * time.Second

// sweepShow shows how far a sweep is: a bar on a terminal, lines elsewhere. Its
// methods are called one at a time, those of the bar's own goroutine aside.
type sweepShow struct {
	w     io.Writer
	model string
	begun time.Time
	from  float64 // progress at the beginning
	said  time.Time

	bars *mpb.Progress
	bar  *mpb.Bar
	mu   sync.Mutex
	last sweep.Status // under mu
}

func newSweepShow(w io.Writer, model string) *sweepShow {
	return &sweepShow{w: w, model: model, begun: now(), said: now()}
}

// barTotal is the bar's scale.
const barTotal = 10_000

// begin says where it begins.
func (s *sweepShow) begin(r *sweep.Result) {
	if s.from = r.From; r.Resumed {
		fmt.Fprintf(s.w, "going on at %.0f%%, where a run that began %s was interrupted; --restart begins anew\n", 100*r.From, r.Begun.Format(time.RFC3339))
	}
	if !isTerminal(s.w) {
		return
	}
	s.bars = mpb.New(mpb.WithOutput(s.w))
	state := decor.Any(func(decor.Statistics) string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return " " + s.text(now())
	})
	s.bar = s.bars.AddBar(barTotal, mpb.PrependDecorators(decor.Name(s.model+" ")), mpb.AppendDecorators(decor.Percentage(), state))
	s.bar.SetCurrent(int64(r.From * barTotal))
}

// progress is told after every batch.
func (s *sweepShow) progress(p sweep.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = p
	if s.bar != nil {
		s.bar.SetCurrent(int64(p.Progress * barTotal))
		return
	}
	if t := now(); t.Sub(s.said) >= showEvery {
		s.said = t
		fmt.Fprintf(s.w, "%s %.0f%% %s\n", s.model, 100*p.Progress, s.text(t))
	}
}

// text says what is known at t. The caller holds mu.
func (s *sweepShow) text(t time.Time) string {
	took, keys := t.Sub(s.begun), s.last.Counts.Keys()
	text := fmt.Sprintf("%d keys", keys)
	if ends := endsText(&s.last.Counts); ends != "" {
		text += " (" + ends + ")"
	}
	if took >= time.Second {
		text += fmt.Sprintf(", %.0f keys/s", float64(keys)/took.Seconds())
	}
	if done := s.last.Progress - s.from; done > 0 && s.last.Progress < 1 && s.last.Failing.IsZero() {
		left := time.Duration(float64(took) * (1 - s.last.Progress) / done)
		text += fmt.Sprintf(", about %v left", left.Round(time.Second))
	}
	if !s.last.Failing.IsZero() {
		text += fmt.Sprintf(", failing for %v: %v", t.Sub(s.last.Failing).Round(time.Second), s.last.Err)
	}
	return text
}

// end takes the bar away, so that what is printed next stands alone.
func (s *sweepShow) end() {
	if s.bar == nil {
		return
	}
	s.bar.Abort(false)
	s.bars.Wait()
}

// sweepSummary is what a program is told.
type sweepSummary struct {
	Model    string           `json:"model"`
	Keys     int64            `json:"keys"` // of this run
	Ends     map[string]int64 `json:"ends"`
	Earlier  int64            `json:"earlier_keys,omitempty"` // of interrupted runs before it
	Seconds  float64          `json:"seconds"`
	PerSec   float64          `json:"keys_per_second"`
	Progress float64          `json:"progress"`
}

func printSweep(w io.Writer, model string, r *sweep.Result, took time.Duration) error {
	keys := r.Counts.Keys()
	perSecond := float64(keys) / max(took.Seconds(), time.Millisecond.Seconds())
	if !isTerminal(w) {
		s := sweepSummary{Model: model, Keys: keys, Ends: make(map[string]int64), Earlier: r.Earlier.Keys(), Seconds: took.Seconds(), PerSec: perSecond, Progress: r.Progress}
		for end, n := range r.Counts {
			s.Ends[serving.RefreshEnd(end).String()] = n
		}
		return json.NewEncoder(w).Encode(s) //nolint:wrapcheck // a reader that went away
	}
	fmt.Fprintf(w, "model %s: %d keys in %v, %.0f keys/s", model, keys, took.Round(time.Millisecond), perSecond)
	if ends := endsText(&r.Counts); ends != "" {
		fmt.Fprintf(w, ": %s", ends)
	}
	if n := r.Earlier.Keys(); n > 0 {
		fmt.Fprintf(w, "; %d keys by runs before", n)
	}
	fmt.Fprintln(w)
	return nil
}
