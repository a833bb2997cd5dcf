package expr

import (
	"fmt"
	"math"
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
// T, and a zone, Z or +02:00, after that. Without a zone it is UTC.
func parseTimestamp(text string) (int64, bool) {
	s := scanner{rest: trimSpace(text), ok: true}
	year := s.number(4, 6)
	s.symbol('-')
	month := s.number(1, 2)
	s.symbol('-')
	day := s.number(1, 2)
	if !s.ok || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || year > 290_000 {
		return 0, false
	}
	micros := midnight(year, time.Month(month), day).UnixMicro()
	if s.rest != "" {
		micros += s.clock()
	}
	return micros, s.ok && s.rest == ""
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

// clock reads the time of day and the zone, in microseconds.
func (s *scanner) clock() int64 {
	if !s.has('T') && !s.has('t') {
		s.symbol(' ')
	}
	hour := s.number(1, 2)
	s.symbol(':')
	minute, second, fraction := s.number(1, 2), 0, int64(0)
	if s.has(':') {
		second = s.number(1, 2)
		if s.has('.') {
			fraction = s.fraction()
		}
	}
	midnightAgain := hour == 24 && minute == 0 && second == 0 && fraction == 0
	s.ok = s.ok && (hour < 24 || midnightAgain) && minute < 60 && second < 60
	return int64(hour*3600+minute*60+second)*microsPer + fraction - s.zone()
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

// zone returns how far local time is ahead of UTC, in microseconds.
func (s *scanner) zone() int64 {
	if s.rest == "" || s.has('Z') || s.has('z') {
		return 0
	}
	if s.rest == " UTC" {
		s.rest = ""
		return 0
	}
	sign := int64(1)
	if !s.has('+') {
		s.symbol('-')
		sign = -1
	}
	hours, minutes := s.number(2, 2), 0
	if s.has(':') || s.rest != "" {
		minutes = s.number(2, 2)
	}
	s.ok = s.ok && hours < 24 && minutes < 60
	return sign * int64(hours*60+minutes) * 60 * microsPer
}

// appendTimestamp writes a time as DuckDB does, years before the first with (BC).
func appendTimestamp(b []byte, micros int64) []byte {
	t := time.UnixMicro(micros).UTC()
	if y := t.Year(); y > 0 {
		b = t.AppendFormat(b, "2006-01-02 15:04:05")
	} else {
		b = fmt.Appendf(b, "%04d", 1-y)
		b = t.AppendFormat(b, "-01-02 (BC) 15:04:05")
	}
	if t.Nanosecond() == 0 {
		return b
	}
	return t.AppendFormat(b, ".999999")
}

func isTime(t feature.Type) bool { return t == feature.Of(feature.KindTimestamp) }
