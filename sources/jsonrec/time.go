package jsonrec

import (
	"math"
	"time"
)

const (
	secondMicros = int64(time.Second / time.Microsecond)
	minuteMicros = 60 * secondMicros
	hourMicros   = 60 * minuteMicros
	dayMicros    = 24 * hourMicros
)

// epochMicros turns a count of unit since the epoch into microseconds, rounding
// down; false when that overflows.
func epochMicros(v int64, unit time.Duration) (int64, bool) {
	if unit < time.Microsecond {
		per := int64(time.Microsecond / unit)
		micros := v / per
		if v%per < 0 {
			micros--
		}
		return micros, true
	}
	per := int64(unit / time.Microsecond)
	if v > math.MaxInt64/per || v < math.MinInt64/per {
		return 0, false
	}
	return v * per, true
}

// parseTime reads RFC 3339 text as microseconds since the epoch. Digits of the
// fraction beyond microseconds are cut off. A space may stand for the T, and
// letters may be lower case, as the RFC allows.
func parseTime(s []byte) (int64, bool) {
	const dateAndTime = len("2006-01-02T15:04:05")
	if len(s) <= dateAndTime || s[4] != '-' || s[7] != '-' || s[13] != ':' || s[16] != ':' ||
		(s[10]|0x20 != 't' && s[10] != ' ') {
		return 0, false
	}
	century, ok1 := pair(s[0:], 99)
	years, ok2 := pair(s[2:], 99)
	month, ok3 := pair(s[5:], 12)
	day, ok4 := pair(s[8:], 31)
	clock, ok5 := parseClock(s[11:])
	year := century*100 + years
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || month < 1 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	fraction, rest := parseFraction(s[dateAndTime:])
	offset, ok := parseOffset(rest)
	return daysSinceEpoch(year, month, day)*dayMicros + clock + fraction - offset, ok
}

// pair reads two digits, at most limit.
func pair(s []byte, limit int64) (int64, bool) {
	a, b := s[0]-'0', s[1]-'0'
	v := int64(a)*10 + int64(b)
	return v, a < 10 && b < 10 && v <= limit
}

// parseClock reads hh:mm:ss.
func parseClock(s []byte) (int64, bool) {
	h, ok1 := pair(s[0:], 23)
	m, ok2 := pair(s[3:], 59)
	sec, ok3 := pair(s[6:], 59)
	return h*hourMicros + m*minuteMicros + sec*secondMicros, ok1 && ok2 && ok3
}

// parseFraction reads a point and digits, if they are there; a point without
// digits is left for parseOffset to refuse.
func parseFraction(s []byte) (micros int64, rest []byte) {
	if len(s) < 2 || s[0] != '.' || s[1]-'0' > 9 {
		return 0, s
	}
	unit := secondMicros / 10
	for s = s[1:]; len(s) > 0 && s[0]-'0' < 10; s = s[1:] {
		micros += int64(s[0]-'0') * unit
		unit /= 10
	}
	return micros, s
}

// parseOffset reads Z or ±hh:mm and nothing after it.
func parseOffset(s []byte) (int64, bool) {
	if len(s) == 1 {
		return 0, s[0]|0x20 == 'z'
	}
	if len(s) != len("+00:00") || s[3] != ':' || (s[0] != '+' && s[0] != '-') {
		return 0, false
	}
	h, ok1 := pair(s[1:], 23)
	m, ok2 := pair(s[4:], 59)
	offset := h*hourMicros + m*minuteMicros
	if s[0] == '-' {
		offset = -offset
	}
	return offset, ok1 && ok2
}

func daysIn(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSinceEpoch counts days of the proleptic Gregorian calendar, with years
// that begin in March so that the leap day comes last.
func daysSinceEpoch(year, month, day int64) int64 {
	const (
		cycleYears, cycleDays = 400, 146_097
		marchFirstYear0       = 719_468 // days from there to the epoch
	)
	year += cycleYears // so that January of year 0 does not divide below zero
	if month <= 2 {
		year--
		month += 12
	}
	cycle, ofCycle := year/cycleYears, year%cycleYears
	ofYear := (153*(month-3)+2)/5 + day - 1
	days := cycle*cycleDays + ofCycle*365 + ofCycle/4 - ofCycle/100 + ofYear
	return days - marchFirstYear0 - cycleDays
}
