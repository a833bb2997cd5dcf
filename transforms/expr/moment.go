package expr

import (
	"fmt"
	"math"
	"strings"
	"time"

	"millrace/feature"
)

// Times that can be computed with: DuckDB's range, a little inside int64.
const (
	maxMicros = math.MaxInt64 - 1
	minMicros = -9_223_372_022_400_000_000
	microsPer = 1_000_000
)

const timeOutOfRange = "time out of range"

var (
	kernelEpoch = &kernel{name: "epoch", run: func(c *call) {
		out := c.out.col.Floats[:c.n]
		for i, v := range c.ints(0) {
			out[i] = float64(v) / microsPer
		}
	}}
	kernelToTimestamp = &kernel{name: "to_timestamp", why: []string{timeOutOfRange}, run: func(c *call) {
		out := c.out.col.Ints[:c.n]
		for i, v := range c.floats(0) {
			micros := math.RoundToEven(v * microsPer)
			if math.Abs(micros) < maxMicros { // false for NaN
				out[i] = int64(micros)
			} else if c.valid(i) {
				c.fail(i, 0)
			}
		}
	}}
	kernelFromMillis = &kernel{name: "epoch_ms", why: []string{timeOutOfRange}, run: func(c *call) {
		out := c.out.col.Ints[:c.n]
		for i, v := range c.ints(0) {
			out[i] = v * 1000
			if (v > maxMicros/1000 || v < minMicros/1000) && c.valid(i) {
				c.fail(i, 0)
			}
		}
	}}
)

// timesTo maps times to integers.
func timesTo(name string, f func(micros int64) int64) *kernel {
	return &kernel{name: name, run: func(c *call) {
		out := c.out.col.Ints[:c.n]
		for i, v := range c.ints(0) {
			out[i] = f(v)
		}
	}}
}

func midnight(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// parseTimestamp reads "2024-05-01", with a time "12:00:00.5" after a space or
// T, and a zone, Z or +02:00, directly after that. Without a zone it is UTC.
func parseTimestamp(text string) (int64, bool) {
	s := scanner{rest: trimLeftSpace(text), ok: true}
	if strings.EqualFold(strings.TrimRight(s.rest, blanks), "epoch") {
		return 0, true
	}
	year, month, day := s.date()
	if !s.ok || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || year < minYear || year > maxYear {
		return 0, false
	}
	days, clock := midnight(year, time.Month(month), day).Unix()/secondsPerDay, int64(0)
	if s.rest != "" {
		clock = s.clock()
	}
	return joinTimestamp(days, clock, s.ok && s.rest == "")
}

const (
	secondsPerDay = 86_400
	minYear       = -290_308 // in which DuckDB's first time is, and the first whose midnights fit
	maxYear       = 294_247
	blanks        = " \t\n\v\f\r"
)

func trimLeftSpace(s string) string { return strings.TrimLeft(s, blanks) }

// joinTimestamp adds days since the epoch and microseconds.
func joinTimestamp(days, clock int64, ok bool) (int64, bool) {
	seconds := days*secondsPerDay + clock/microsPer // far from overflow
	if seconds > maxMicros/microsPer || seconds < minMicros/microsPer {
		return 0, false
	}
	micros := seconds*microsPer + clock%microsPer
	return micros, ok && micros >= minMicros && micros <= maxMicros
}

func daysIn(year, month int) int { return midnight(year, time.Month(month)+1, 0).Day() }

// scanner reads fixed forms from the front of a string.
type scanner struct {
	rest string
	ok   bool
}

func (s *scanner) has(c byte) bool {
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *scanner) symbol(c byte) { s.ok = s.has(c) && s.ok }

func (s *scanner) number(least, most int) int {
	v, n := 0, 0
	for n < len(s.rest) && n < most && isDigit(s.rest[n]) {
		v = v*10 + int(s.rest[n]-'0')
		n++
	}
	s.rest = s.rest[n:]
	s.ok = s.ok && n >= least
	return v
}

// date reads year, month and day between two of the same separators.
func (s *scanner) date() (year, month, day int) {
	before := s.has('-')
	year = s.number(1, 9)
	separator := byte('-')
	if s.rest != "" && strings.IndexByte(`-/\ `, s.rest[0]) >= 0 {
		separator = s.rest[0]
	}
	s.symbol(separator)
	month = s.number(1, 2)
	s.symbol(separator)
	day = s.number(1, 2)
	if s.rest != "" && isDigit(s.rest[0]) {
		s.ok = false
	}
	if before {
		return -year, month, day
	}
	const mark = " (BC)"
	if len(s.rest) >= len(mark) && strings.EqualFold(s.rest[:len(mark)], mark) {
		s.rest = s.rest[len(mark):]
		year = 1 - year
	}
	return year, month, day
}

// clock reads the time of day and the zone, in microseconds.
func (s *scanner) clock() int64 {
	if !s.has('T') {
		s.has(' ')
	}
	s.rest = trimLeftSpace(s.rest)
	hour := s.number(1, 9)
	s.symbol(':')
	minute, second, fraction := s.number(0, 2), 0, int64(0)
	if s.has(':') {
		second = s.number(0, 2)
		if s.has('.') {
			fraction = s.fraction()
		}
	}
	midnightAgain := hour == 24 && minute == 0 && second == 0 && fraction == 0
	s.ok = s.ok && (hour < 24 || midnightAgain) && minute < 60 && second < 60
	micros := int64(hour*3600+minute*60+second)*microsPer + fraction - s.zone()*microsPer
	s.rest = trimLeftSpace(s.rest)
	return micros
}

// fraction reads decimals; those below the microsecond are dropped.
func (s *scanner) fraction() int64 {
	var micros int64
	scale := int64(microsPer)
	for s.rest != "" && isDigit(s.rest[0]) {
		scale /= 10
		micros += int64(s.rest[0]-'0') * scale
		s.rest = s.rest[1:]
	}
	return micros
}

// zone returns how far local time is ahead of UTC, in seconds.
func (s *scanner) zone() int64 {
	if s.has('Z') {
		return 0
	}
	if len(s.rest) >= 4 && strings.EqualFold(s.rest[:4], " UTC") {
		s.rest = s.rest[4:]
		return 0
	}
	if s.rest == "" || s.rest[0] != '+' && s.rest[0] != '-' {
		return 0
	}
	sign := int64(1)
	if !s.has('+') {
		s.symbol('-')
		sign = -1
	}
	hours, minutes, seconds := s.number(2, 2), 0, 0
	if s.has(':'); s.pair() {
		minutes = s.number(2, 2)
		if s.has(':') && s.pair() {
			seconds = s.number(2, 2)
		}
	}
	return sign * int64(hours*3600+minutes*60+seconds)
}

// pair reports whether two digits come next.
func (s *scanner) pair() bool { return len(s.rest) > 1 && isDigit(s.rest[0]) && isDigit(s.rest[1]) }

// appendTimestamp writes a time as DuckDB does; years before the first one
// count back from 1 (BC).
func appendTimestamp(b []byte, micros int64) []byte {
	t := time.UnixMicro(micros).UTC()
	if year := t.Year(); year > 0 {
		b = t.AppendFormat(b, "2006-01-02 15:04:05")
	} else {
		b = fmt.Appendf(b, "%04d", 1-year)
		b = t.AppendFormat(b, "-01-02 (BC) 15:04:05")
	}
	if t.Nanosecond() == 0 {
		return b
	}
	return t.AppendFormat(b, ".999999")
}

func isTime(t feature.Type) bool { return t == feature.Of(feature.KindTimestamp) }
