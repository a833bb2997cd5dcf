package expr

import (
	"math"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones where the system has none; 450 kB

	"millrace/feature"
)

// datePart is one thing that date_part, date_trunc and datediff know.
//
//	part     what date_part gives
//	trunc    what date_trunc gives; nil where there is none
//	ordinal  a number that grows by one where the part begins anew (days for
//	         weeks), so that datediff is a difference; nil where there is none
type datePart struct {
	names   []string
	part    func(t time.Time) int64
	trunc   func(t time.Time) time.Time
	ordinal func(t time.Time) int64
}

const daySeconds = 24 * 60 * 60

// every truncates to a multiple of d since the epoch.
func every(d time.Duration) func(time.Time) time.Time {
	return func(t time.Time) time.Time {
		return time.UnixMicro(floorDivide(t.UnixMicro(), d.Microseconds()) * d.Microseconds()).UTC()
	}
}

func floorDivide(v, by int64) int64 {
	q := v / by
	if v%by < 0 {
		q--
	}
	return q
}

// years truncates to a multiple of n years.
func years(n int) func(time.Time) time.Time {
	return func(t time.Time) time.Time { return midnight(t.Year()/n*n, time.January, 1) }
}

// yearSpans counts spans of n years.
func yearSpans(n int) func(time.Time) int64 {
	return func(t time.Time) int64 { return int64(t.Year() / n) }
}

func monday(t time.Time) time.Time {
	return midnight(t.Year(), t.Month(), t.Day()-(int(t.Weekday())+6)%7)
}

// isoMonday is the first day of the ISO year of t: the Monday of the week with
// the fourth of January.
func isoMonday(t time.Time) time.Time {
	return monday(midnight(int(isoYear(t)), time.January, 4))
}

func year(t time.Time) int64    { return int64(t.Year()) }
func month(t time.Time) int64   { return int64(t.Month()) }
func quarter(t time.Time) int64 { return int64(t.Month()+2) / 3 }
func isoYear(t time.Time) int64 { y, _ := t.ISOWeek(); return int64(y) }
func isoWeek(t time.Time) int64 { _, w := t.ISOWeek(); return int64(w) }
func yearWeek(t time.Time) int64 {
	if y := isoYear(t); y <= 0 {
		return y*100 - isoWeek(t)
	}
	return isoYear(t)*100 + isoWeek(t)
}
func zero(time.Time) int64     { return 0 }
func days(t time.Time) int64   { return floorDivide(t.Unix(), daySeconds) }
func months(t time.Time) int64 { return year(t)*12 + month(t) - 1 }

// micros counts spans of so many microseconds since the epoch.
func micros(per int64) func(time.Time) int64 {
	return func(t time.Time) int64 { return floorDivide(t.UnixMicro(), per) }
}

// span is which century or the like a year is in; there is no year zero.
func span(year, n int) int64 {
	if year > 0 {
		return int64((year-1)/n + 1)
	}
	return int64(-(-year/n + 1))
}

func microsOfMinute(t time.Time) int64 {
	return int64(t.Second())*microsPer + int64(t.Nanosecond()/1000)
}

var dateParts = []datePart{
	{[]string{"year", "years", "yr", "yrs", "y"}, year, years(1), year},
	{
		[]string{"quarter", "quarters"},
		quarter,
		func(t time.Time) time.Time { return midnight(t.Year(), (t.Month()-1)/3*3+1, 1) },
		func(t time.Time) int64 { return months(t) / 3 },
	},
	{
		[]string{"month", "months", "mon", "mons"},
		month,
		func(t time.Time) time.Time { return midnight(t.Year(), t.Month(), 1) }, months,
	},
	{[]string{"week", "weeks", "w", "weekofyear"}, isoWeek, monday, days},
	{[]string{"day", "days", "d", "dayofmonth"}, func(t time.Time) int64 { return int64(t.Day()) }, every(24 * time.Hour), days},
	{[]string{"hour", "hours", "hr", "hrs", "h"}, func(t time.Time) int64 { return int64(t.Hour()) }, every(time.Hour), micros(3600 * microsPer)},
	{[]string{"minute", "minutes", "min", "mins", "m"}, func(t time.Time) int64 { return int64(t.Minute()) }, every(time.Minute), micros(60 * microsPer)},
	{[]string{"second", "seconds", "sec", "secs", "s"}, func(t time.Time) int64 { return int64(t.Second()) }, every(time.Second), micros(microsPer)},
	{[]string{"millisecond", "milliseconds", "ms", "msec", "msecs"}, func(t time.Time) int64 { return microsOfMinute(t) / 1000 }, every(time.Millisecond), micros(1000)},
	{[]string{"microsecond", "microseconds", "us", "usec", "usecs"}, microsOfMinute, every(time.Microsecond), micros(1)},
	{[]string{"decade", "decades", "dec", "decs"}, yearSpans(10), years(10), yearSpans(10)},
	{[]string{"century", "centuries", "cent", "c"}, func(t time.Time) int64 { return span(t.Year(), 100) }, years(100), yearSpans(100)},
	{
		[]string{"millennium", "millennia", "millenniums", "mil", "mils"},
		func(t time.Time) int64 { return span(t.Year(), 1000) }, years(1000), yearSpans(1000),
	},
	{[]string{"dow", "dayofweek", "weekday"}, func(t time.Time) int64 { return int64(t.Weekday()) }, every(24 * time.Hour), days},
	{[]string{"isodow"}, func(t time.Time) int64 { return int64(t.Weekday()+6)%7 + 1 }, every(24 * time.Hour), days},
	{[]string{"doy", "dayofyear"}, func(t time.Time) int64 { return int64(t.YearDay()) }, every(24 * time.Hour), days},
	{[]string{"isoyear"}, isoYear, isoMonday, isoYear},
	{[]string{"yearweek"}, yearWeek, monday, days},
	{[]string{"epoch"}, nil, every(time.Second), micros(microsPer)}, // date_part is kernelEpoch
	{[]string{"julian"}, nil, every(24 * time.Hour), days},          // date_part is kernelJulian
	{[]string{"era"}, func(t time.Time) int64 { return boolInt(t.Year() > 0) }, nil, nil},
	{[]string{"timezone"}, zero, nil, nil}, // times are UTC
	{[]string{"timezone_hour"}, zero, nil, nil},
	{[]string{"timezone_minute"}, zero, nil, nil},
}

// kernelJulian counts days since noon, or rather the midnight before it, of
// 1 January 4713 BC.
var kernelJulian = &kernel{name: "julian", run: func(c *call) {
	for i, v := range c.ints(0) {
		day := floorDivide(v, daySeconds*microsPer)
		c.out.col.Floats[i] = float64(day+2_440_588) + float64(v-day*daySeconds*microsPer)/(daySeconds*microsPer)
	}
}}

// partNamed returns the part that has the name and is fit for the function, and
// otherwise nil and the names that are.
func partNamed(name string, fit func(*datePart) bool) (*datePart, []string) {
	var known []string
	for i := range dateParts {
		p := &dateParts[i]
		if !fit(p) {
			continue
		}
		if slices.Contains(p.names, name) {
			return p, nil
		}
		known = append(known, p.names[0])
	}
	return nil, known
}

// part reads the first operand of call n, the name of a part.
func (c *checker) part(n *Node, function string, fit func(*datePart) bool) *datePart {
	name := n.args[0]
	p, known := partNamed(strings.ToLower(name.text), fit)
	if p == nil {
		c.fail(name, didYouMean(name.text, known, "parts are "+strings.Join(known, ", ")), "%s has no part %s", function, quoteText(name.text))
	}
	return p
}

func (c *checker) datePart(n *Node, args []*Expr) *Expr {
	if len(args) != 2 || n.args[0].kind != nodeString {
		return c.fail(n, "write date_part('hour', time)", "date_part takes the name of a part in quotes and a time")
	}
	p := c.part(n, "date_part", func(*datePart) bool { return true })
	at := c.want(n.args[1], args[1], feature.Of(tim), "the time of date_part")
	switch {
	case p == nil || at == nil:
		return nil
	case p.names[0] == "epoch":
		return apply(kernelEpoch, feature.Of(f64), n, at)
	case p.names[0] == "julian":
		return apply(kernelJulian, feature.Of(f64), n, at)
	}
	return apply(timesTo("date_part "+p.names[0], func(v int64) int64 { return p.part(time.UnixMicro(v).UTC()) }), feature.Of(i64), n, at)
}

func (c *checker) dateTrunc(n *Node, args []*Expr) *Expr {
	if len(args) != 2 || n.args[0].kind != nodeString {
		return c.fail(n, "write date_trunc('day', time)", "date_trunc takes the name of a part in quotes and a time")
	}
	p := c.part(n, "date_trunc", func(p *datePart) bool { return p.trunc != nil })
	at := c.want(n.args[1], args[1], feature.Of(tim), "the time of date_trunc")
	if p == nil || at == nil {
		return nil
	}
	return apply(&kernel{name: "date_trunc " + p.names[0], why: []string{timeOutOfRange}, run: func(c *call) {
		out := c.out.col.Ints[:c.n]
		for i, v := range c.ints(0) {
			t := p.trunc(time.UnixMicro(v).UTC())
			out[i] = t.UnixMicro()
			if t.Unix() < minMicros/microsPer && c.valid(i) {
				c.fail(i, 0)
			}
		}
	}}, at.typ, n, at)
}

// dateDiff counts how often the part begins anew between two times.
func (c *checker) dateDiff(n *Node, args []*Expr) *Expr {
	if len(args) != 3 || n.args[0].kind != nodeString {
		return c.fail(n, "write datediff('day', start, end)", "datediff takes the name of a part in quotes and two times")
	}
	p := c.part(n, "datediff", func(p *datePart) bool { return p.ordinal != nil })
	from, okFrom := c.timeLiteral(n.args[1], args[1], args[2])
	to, okTo := c.timeLiteral(n.args[2], args[2], args[1])
	if p == nil || !okFrom || !okTo {
		return nil
	}
	from = c.want(n.args[1], from, feature.Of(tim), "the start of datediff")
	to = c.want(n.args[2], to, feature.Of(tim), "the end of datediff")
	if from == nil || to == nil {
		return nil
	}
	size := int64(1)
	if p.names[0] == "week" || p.names[0] == "yearweek" {
		size = 7 // DuckDB counts weeks from the start, not Mondays between
	}
	return apply(&kernel{name: "datediff " + p.names[0], why: []string{timeOutOfRange}, run: func(c *call) {
		out, a, b := c.out.col.Ints[:c.n], c.ints(0), c.ints(1)
		for i := range out {
			x, y := p.ordinal(time.UnixMicro(a[i]).UTC()), p.ordinal(time.UnixMicro(b[i]).UTC())
			out[i] = (y - x) / size
			if (x^y)&(y^(y-x)) < 0 && c.valid(i) {
				c.fail(i, 0)
			}
		}
	}}, feature.Of(i64), n, from, to)
}

// timezone gives the wall clock of a zone at an instant.
func (c *checker) timezone(n *Node, args []*Expr) *Expr {
	if len(args) != 2 || n.args[0].kind != nodeString {
		return c.fail(n, "write timezone('Europe/Berlin', time)", "timezone takes the name of a zone in quotes and a time")
	}
	at := c.want(n.args[1], args[1], feature.Of(tim), "the time of timezone")
	zone, err := time.LoadLocation(n.args[0].text)
	if err != nil || n.args[0].text == "" || n.args[0].text == "Local" {
		return c.fail(n.args[0], "zones are named as in Europe/Berlin, America/New_York, UTC", "there is no time zone %s", quoteText(n.args[0].text))
	}
	if at == nil {
		return nil
	}
	return apply(&kernel{name: "timezone " + zone.String(), why: []string{timeOutOfRange}, run: func(c *call) {
		out := c.out.col.Ints[:c.n]
		for i, v := range c.ints(0) {
			_, ahead := time.UnixMicro(v).In(zone).Zone()
			out[i] = v + int64(ahead)*microsPer
			if (v > math.MaxInt64-daySeconds*microsPer || v < minMicros+daySeconds*microsPer) && c.valid(i) {
				c.fail(i, 0)
			}
		}
	}}, at.typ, n, at)
}
