package expr

import (
	"math"
	"time"

	"millrace/feature"
)

// shift adds an interval to a time: months first, where a day that its month
// lacks becomes the month's last, then days, then the rest.
func shift(n *Node, t *Expr, by *interval) *Expr {
	return apply(kernelShift, t.typ, n, t, by.months, by.days, by.micros)
}

var kernelShift = &kernel{name: "shift", why: []string{timeOutOfRange}, run: func(c *call) {
	out, t, months, days, micros := c.out.col.Ints[:c.n], c.ints(0), c.ints(1), c.ints(2), c.ints(3)
	for i := range out {
		if !c.valid(i) {
			continue
		}
		day := floorDivide(t[i], dayMicros)
		rest := t[i] - day*dayMicros + micros[i]%dayMicros // below two days
		if months[i] != 0 {
			day = addMonths(day, months[i])
		}
		day += days[i] + micros[i]/dayMicros + floorDivide(rest, dayMicros)
		rest -= floorDivide(rest, dayMicros) * dayMicros
		moved, ok := joinTimestamp(day, rest, true)
		if out[i] = moved; !ok {
			c.fail(i, 0)
		}
	}
}}

// addMonths counts days since the epoch.
func addMonths(day, by int64) int64 {
	y, m, d := time.Unix(day*daySeconds, 0).UTC().Date()
	total := int64(y)*12 + int64(m-1) + by
	year, month := int(floorDivide(total, 12)), int(total-floorDivide(total, 12)*12)+1
	d = min(d, daysIn(year, month))
	return midnight(year, time.Month(month), d).Unix() / daySeconds
}

// timeDifference is what lies between two times, in whole days and a rest, which
// have the same sign.
func timeDifference(n *Node, a, b *Expr) *Expr {
	return intervalOf(interval{
		constInt(i32, 0),
		apply(kernelDaysBetween, feature.Of(i32), n, a, b),
		apply(kernelRestBetween, feature.Of(i64), n, a, b),
	})
}

var (
	kernelDaysBetween = betweenKernel("days between", func(v int64) int64 { return v / dayMicros })
	kernelRestBetween = betweenKernel("rest between", func(v int64) int64 { return v % dayMicros })
)

func betweenKernel(name string, part func(micros int64) int64) *kernel {
	return &kernel{name: name, why: []string{timeOutOfRange}, run: func(c *call) {
		out, a, b := c.out.col.Ints[:c.n], c.ints(0), c.ints(1)
		for i := range out {
			d := a[i] - b[i]
			out[i] = part(d)
			if (a[i]^b[i])&(a[i]^d) < 0 && c.valid(i) {
				c.fail(i, 0)
			}
		}
	}}
}

// countKernel makes so many of a unit, without decimals except for what is
// shorter than a minute, as DuckDB does.
func countKernel(u *unit) *kernel {
	return &kernel{name: "interval " + u.names[0], why: []string{"interval out of range"}, run: func(c *call) {
		out := c.out.col.Ints[:c.n]
		for i, v := range c.floats(0) {
			n, ok := u.count(v)
			out[i] = n
			if !ok && c.valid(i) {
				c.fail(i, 0)
			}
		}
	}}
}

func (u *unit) count(v float64) (int64, bool) {
	size, limit := int64(max(u.months, u.days)), math.Ldexp(1, 31)
	if u.micros > 0 {
		size, limit = u.micros, math.Ldexp(1, 63)
	}
	if u.micros == microsPer || u.micros == microsPer/1000 {
		v, size = v*float64(size), 1
		v = math.RoundToEven(v)
	}
	v = math.Trunc(v)
	if !(v >= -limit && v < limit) { // so that NaN is outside
		return 0, false
	}
	n := int64(v)
	return n * size, !productOverflows(n, size) && (u.micros > 0 || fitsInt32(n*size))
}

// normal is the parts of an interval with no more than a month of days and a
// day of time in it, by which intervals are compared, part by part.
func normal(months, days, micros int64) (_, _, _ int64) {
	const monthMicros = monthDays * dayMicros
	months += days/monthDays + micros/monthMicros
	days = days%monthDays + micros%monthMicros/dayMicros
	return months, days, micros % dayMicros
}

func intervalCompareKernel(how comparison) *kernel {
	return &kernel{name: "interval " + comparisonNames[how], run: func(c *call) {
		out := c.out.col.Bools[:c.n]
		for i := range out {
			m, d, u := normal(c.ints(0)[i], c.ints(1)[i], c.ints(2)[i])
			n, e, v := normal(c.ints(3)[i], c.ints(4)[i], c.ints(5)[i])
			equal := m == n && d == e && u == v
			less := m < n || m == n && (d < e || d == e && u < v)
			switch how {
			case compareEqual:
				out[i] = equal
			case compareUnequal:
				out[i] = !equal
			case compareLess:
				out[i] = less
			case compareLessEqual:
				out[i] = less || equal
			}
		}
	}}
}

// kernelIntervalEpoch is seconds, with years of 365.25 and months of 30 days.
var kernelIntervalEpoch = &kernel{name: "interval epoch", run: func(c *call) {
	out, months, days, micros := c.out.col.Floats[:c.n], c.ints(0), c.ints(1), c.ints(2)
	for i := range out {
		seconds := months[i]/12*(365*daySeconds+daySeconds/4) + (months[i]%12*monthDays+days[i])*daySeconds
		out[i] = float64(seconds) + float64(micros[i])/microsPer
	}
}}

// intervalParts is what date_part takes from an interval.
var intervalParts = map[string]func(months, days, micros int64) int64{
	"year":        func(months, _, _ int64) int64 { return months / 12 },
	"quarter":     func(months, _, _ int64) int64 { return months%12/3 + 1 },
	"month":       func(months, _, _ int64) int64 { return months % 12 },
	"day":         func(_, days, _ int64) int64 { return days },
	"hour":        func(_, _, micros int64) int64 { return micros / hourMicros },
	"minute":      func(_, _, micros int64) int64 { return micros % hourMicros / minuteMicros },
	"second":      func(_, _, micros int64) int64 { return micros % minuteMicros / microsPer },
	"millisecond": func(_, _, micros int64) int64 { return micros % minuteMicros / 1000 },
	"microsecond": func(_, _, micros int64) int64 { return micros % minuteMicros },
	"decade":      func(months, _, _ int64) int64 { return months / 120 },
	"century":     func(months, _, _ int64) int64 { return months / 1200 },
	"millennium":  func(months, _, _ int64) int64 { return months / 12000 },
}

func intervalPartKernel(name string) *kernel {
	f := intervalParts[name]
	return &kernel{name: "interval " + name + " of", run: func(c *call) {
		out, months, days, micros := c.out.col.Ints[:c.n], c.ints(0), c.ints(1), c.ints(2)
		for i := range out {
			out[i] = f(months[i], days[i], micros[i])
		}
	}}
}
