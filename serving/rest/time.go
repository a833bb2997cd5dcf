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

// dates writes times. It remembers the text of the last day, because the times
// of one answer mostly lie close together. The zero value is ready.
type dates struct {
	day  int64
	text [len("2006-01-02T")]byte // of day; zero at first
}

// append writes micros as RFC 3339 in UTC with 0, 3 or 6 digits of a second, as
// few as hold it. time.AppendFormat does the same at several times the cost,
// and every value of an answer may have a time.
func (d *dates) append(dst []byte, micros int64) []byte {
	day := floorDiv(micros, microsPerDay)
	if day != d.day || d.text[0] == 0 {
		d.remember(day)
	}
	dst = append(dst, d.text[:]...)
	rest := int(micros - day*microsPerDay)
	seconds, fraction := rest/microsPerSecond, rest%microsPerSecond
	dst = append(appendTwo(dst, seconds/3600), ':')
	dst = append(appendTwo(dst, seconds/60%60), ':')
	dst = appendTwo(dst, seconds%60)
	if fraction > 0 {
		dst = append(dst, '.', digit(fraction/100_000), digit(fraction/10_000), digit(fraction/1000))
	}
	if fraction%1000 > 0 {
		dst = append(dst, digit(fraction/100), digit(fraction/10), digit(fraction))
	}
	return append(dst, 'Z')
}

func (d *dates) remember(day int64) {
	year, month, dom := civil(day)
	text := append(appendTwo(appendTwo(d.text[:0], year/100), year%100), '-')
	text = append(appendTwo(text, month), '-')
	_ = append(appendTwo(text, dom), 'T') // it fits, so this is d.text
	d.day = day
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

func appendTwo(dst []byte, v int) []byte { return append(dst, digit(v/10), digit(v)) }

// digit is the last decimal digit of v.
func digit(v int) byte { return '0' + byte(v%10) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
