package rest

import "time"

// The times that RFC 3339 can write: years 0 to 9999.
var (
	minTimeMicros = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	maxTimeMicros = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() - 1
)

const (
	microsPerSecond = 1_000_000
	microsPerDay    = 24 * 60 * 60 * microsPerSecond
)

// appendTime writes micros as RFC 3339 in UTC with 0, 3 or 6 digits of a
// second, as few as hold it. time.AppendFormat does the same at four times the
// cost, and every value of an answer may have a time.
func appendTime(dst []byte, micros int64) []byte {
	day := floorDiv(micros, microsPerDay)
	rest := micros - day*microsPerDay
	year, month, dom := civil(day)
	seconds, fraction := int(rest/microsPerSecond), int(rest%microsPerSecond)
	dst = append(appendDigits(dst, year, 4), '-')
	dst = append(appendDigits(dst, month, 2), '-')
	dst = append(appendDigits(dst, dom, 2), 'T')
	dst = append(appendDigits(dst, seconds/3600, 2), ':')
	dst = append(appendDigits(dst, seconds/60%60, 2), ':')
	dst = appendDigits(dst, seconds%60, 2)
	switch {
	case fraction == 0:
	case fraction%1000 == 0:
		dst = appendDigits(append(dst, '.'), fraction/1000, 3)
	default:
		dst = appendDigits(append(dst, '.'), fraction, 6)
	}
	return append(dst, 'Z')
}

// civil turns days since 1970-01-01 into a date of the Gregorian calendar. It
// counts years from March, so that the leap day is a year's last, in cycles of
// 400 years, which are all equally long.
func civil(day int64) (year, month, dom int) {
	const cycle, toMarch0000 = 146097, 719468
	day += toMarch0000
	era := floorDiv(day, cycle)
	doe := day - era*cycle
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	m := (5*doy + 2) / 153
	dom = int(doy - (153*m+2)/5 + 1)
	month, year = int(m)+3, int(yoe+era*400)
	if month > 12 {
		month, year = month-12, year+1
	}
	return year, month, dom
}

func appendDigits(dst []byte, v, width int) []byte {
	for range width {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; v > 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
