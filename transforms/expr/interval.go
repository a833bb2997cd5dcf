package expr

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"millrace/feature"
)

// An interval is months, days and microseconds, which do not convert into one
// another: a month has no fixed number of days. It exists while an expression
// is checked and never in a column: an Expr of kindInterval is no node of a
// program, it carries three that are. What may be done with one is listed in
// withIntervals; the result of a whole expression cannot be an interval.

// kindInterval is the kind of intervals, which no feature can have.
const kindInterval feature.Kind = 255

// interval is the parts of one: int32, int32 and int64.
type interval struct{ months, days, micros *Expr }

func intervalOf(v interval) *Expr { return &Expr{typ: feature.Of(kindInterval), interval: &v} }

func (e *Expr) isInterval() bool { return e.interval != nil }

func constInterval(months, days int32, micros int64) *Expr {
	return intervalOf(interval{constInt(i32, int64(months)), constInt(i32, int64(days)), constInt(i64, micros)})
}

// startsInterval reports whether the word interval, which is next, begins one.
func (p *parser) startsInterval() bool {
	next := p.tokens[p.at+1]
	return next.kind == tokenString || next.kind == tokenInt || p.tokenIs(p.at+1, "(")
}

// interval reads `interval '3 days'`, `interval 3 day` or `interval (x) day`.
func (p *parser) interval(t token) *Node {
	p.take()
	literal := p.peek().kind == tokenString
	operand := p.prefix()
	unit := ""
	if next := p.peek(); next.kind == tokenWord {
		if u := intervalUnit(next.text); u != nil {
			p.take()
			unit = u.names[0]
		}
	}
	if unit == "" && !literal {
		p.unexpected("a unit such as day")
	}
	return p.node(t.off, Node{kind: nodeInterval, text: unit, args: []*Node{operand}})
}

// unit is what intervals are counted in: so many months, days or microseconds.
type unit struct {
	names  []string // singular and plural; these two may stand outside quotes
	months int32
	days   int32
	micros int64
}

const (
	minuteMicros = 60 * microsPer
	hourMicros   = 60 * minuteMicros
	dayMicros    = 24 * hourMicros
	monthDays    = 30 // where DuckDB makes days of a month
)

var units = []unit{
	{names: []string{"year", "years"}, months: 12},
	{names: []string{"quarter", "quarters"}, months: 3},
	{names: []string{"month", "months"}, months: 1},
	{names: []string{"week", "weeks"}, days: 7},
	{names: []string{"day", "days"}, days: 1},
	{names: []string{"hour", "hours"}, micros: hourMicros},
	{names: []string{"minute", "minutes"}, micros: minuteMicros},
	{names: []string{"second", "seconds"}, micros: microsPer},
	{names: []string{"millisecond", "milliseconds"}, micros: 1000},
	{names: []string{"microsecond", "microseconds"}, micros: 1},
	{names: []string{"decade", "decades"}, months: 120},
	{names: []string{"century", "centuries"}, months: 1200},
	{names: []string{"millennium", "millennia"}, months: 12000},
}

func intervalUnit(name string) *unit {
	for i, u := range units {
		if slices.Contains(u.names, name) {
			return &units[i]
		}
	}
	return nil
}

// unitNames lists the first so many names of each unit.
func unitNames(each int) []string {
	var names []string
	for _, u := range units {
		names = append(names, u.names[:each]...)
	}
	return names
}

// parseInterval reads "1 day 02:30:00.5", "3 hours 5 min", "1 week ago". The
// error says what is wrong.
func parseInterval(text string) (months, days int32, micros int64, problem string) {
	var sum [3]int64
	s := scanner{rest: text, ok: true}
	for found := false; ; found = true {
		s.rest = trimSpace(s.rest)
		if s.rest == "" {
			if !found {
				return 0, 0, 0, "it has no number"
			}
			break
		}
		if strings.EqualFold(s.rest, "ago") && found {
			sum = [3]int64{-sum[0], -sum[1], -sum[2]}
			break
		}
		term, problem := s.intervalTerm()
		if problem != "" {
			return 0, 0, 0, problem
		}
		for i := range sum {
			before := sum[i]
			sum[i] += term[i]
			if (before^sum[i])&(term[i]^sum[i]) < 0 {
				return 0, 0, 0, "it is too long"
			}
		}
	}
	if !fitsInt32(sum[0]) || !fitsInt32(sum[1]) {
		return 0, 0, 0, "it is too long"
	}
	return int32(sum[0]), int32(sum[1]), sum[2], ""
}

// intervalTerm reads a number and its unit, or a time of day.
func (s *scanner) intervalTerm() (sum [3]int64, problem string) {
	sign := int64(1)
	if s.has('-') {
		sign = -1
	}
	digits := 0
	for digits < len(s.rest) && isDigit(s.rest[digits]) {
		digits++
	}
	if digits == 0 {
		return sum, "it needs a number before " + strconv.Quote(s.rest)
	}
	if digits < len(s.rest) && s.rest[digits] == ':' {
		sum[2] = sign * s.duration()
		if !s.ok {
			return sum, "its time is not hours:minutes:seconds"
		}
		return sum, ""
	}
	n, err := strconv.ParseInt(s.rest[:digits], 10, 64)
	s.rest = s.rest[digits:]
	if err != nil {
		return sum, "it is too long"
	}
	var fraction int64 // in millionths
	if s.has('.') {
		fraction = s.fraction()
	}
	s.rest = trimSpace(s.rest)
	word := s.rest[:wordEnd(s.rest)]
	s.rest = s.rest[len(word):]
	u := secondsUnit(word, s.rest)
	if u == nil {
		hint := didYouMean(word, unitNames(2), "units are "+strings.Join(unitNames(1), ", "))
		return sum, strconv.Quote(word) + " is no unit; " + hint
	}
	return u.times(sign*n, sign*fraction)
}

// secondsUnit finds a unit; a last number without one counts seconds.
func secondsUnit(word, rest string) *unit {
	if word == "" && rest == "" {
		return intervalUnit("second")
	}
	if p, _ := partNamed(strings.ToLower(word), func(*datePart) bool { return true }); p != nil {
		return intervalUnit(p.names[0])
	}
	return nil
}

func wordEnd(s string) int {
	for i, r := range s {
		if !unicode.IsLetter(r) {
			return i
		}
	}
	return len(s)
}

// times is n and fraction millionths of the unit, as DuckDB has it: the fraction
// of a year is whole months, of a month days, of a day a time.
func (u *unit) times(n, fraction int64) (sum [3]int64, problem string) {
	each := [3]int64{int64(u.months), int64(u.days), u.micros}
	for i, size := range each {
		if size == 0 {
			continue
		}
		if productOverflows(n, size) {
			return sum, "it is too long"
		}
		sum[i] = n * size
		part := fraction * size
		switch {
		case i == 0 && size <= 3: // month, quarter
			sum[0] += part / microsPer
			sum[1] += part % microsPer * monthDays / microsPer
		case i == 0:
			sum[0] += part / microsPer
		case i == 1:
			sum[1] += part / microsPer
			sum[2] += part % microsPer * (dayMicros / microsPer)
		default:
			sum[2] += roundDivide(part, microsPer)
		}
	}
	return sum, ""
}

func roundDivide(v, by int64) int64 {
	if v < 0 {
		return -roundDivide(-v, by)
	}
	return (v + by/2) / by
}

// duration reads hours:minutes[:seconds[.fraction]] in microseconds.
func (s *scanner) duration() int64 {
	hours := s.number(1, 9)
	s.symbol(':')
	minutes, seconds, fraction := s.number(1, 2), 0, int64(0)
	if s.has(':') {
		seconds = s.number(1, 2)
		if s.has('.') {
			fraction = s.fraction()
		}
	}
	s.ok = s.ok && minutes < 60 && seconds < 60
	return int64(hours)*hourMicros + int64(minutes)*minuteMicros + int64(seconds)*microsPer + fraction
}

// interval makes the interval that n writes, whose operand is e.
func (c *checker) interval(n *Node, e *Expr) *Expr {
	operand := n.args[0]
	if n.text == "" {
		months, days, micros, problem := parseInterval(operand.text)
		if problem != "" {
			return c.fail(operand, "write interval '1 day 2 hours' or interval 3 day", "%s is not an interval: %s", quoteText(operand.text), problem)
		}
		return constInterval(months, days, micros)
	}
	f := feature.Of(f64)
	if operand.kind == nodeString {
		e = cast(e, f, false, operand)
	}
	if e = c.want(operand, e, f, "the number of an interval"); e == nil {
		return nil
	}
	u := intervalUnit(n.text)
	v := interval{constInt(i32, 0), constInt(i32, 0), constInt(i64, 0)}
	switch {
	case u.months > 0:
		v.months = apply(countKernel(u), feature.Of(i32), n, e)
	case u.days > 0:
		v.days = apply(countKernel(u), feature.Of(i32), n, e)
	default:
		v.micros = apply(countKernel(u), feature.Of(i64), n, e)
	}
	return intervalOf(v)
}

const intervalUses = "an interval can be added to a time or an interval, compared with an interval, and given to epoch and date_part"

// withIntervals checks a node some of whose operands are intervals.
func (c *checker) withIntervals(n *Node, args []*Expr) *Expr {
	switch n.kind { //nolint:exhaustive // what else can hold operands cannot hold intervals
	case nodeUnary:
		return c.negateInterval(n, args[0])
	case nodeBinary:
		return c.intervalBinary(n, args[0], args[1])
	case nodeBetween:
		low := c.compareIntervals(n, args[1], args[0], compareLessEqual)
		high := c.compareIntervals(n, args[0], args[2], compareLessEqual)
		if low == nil || high == nil {
			return nil
		}
		return c.negate(n, apply(kernelAnd, low.typ, n, low, high))
	case nodeCall:
		return c.intervalCall(n, args)
	}
	at := n.args[slices.IndexFunc(args, (*Expr).isInterval)]
	return c.fail(at, "write epoch(…) for its seconds", intervalUses)
}

func (c *checker) negateInterval(n *Node, e *Expr) *Expr {
	switch n.text {
	case "+":
		return e
	case "-":
		narrow, wide := negateKernel(i32), negateKernel(i64)
		v := e.interval
		return intervalOf(interval{apply(narrow, v.months.typ, n, v.months), apply(narrow, v.days.typ, n, v.days), apply(wide, v.micros.typ, n, v.micros)})
	}
	return c.fail(n.args[0], "", "the operand of not is an interval, not bool")
}

func (c *checker) intervalBinary(n *Node, a, b *Expr) *Expr {
	if how, ok := direct[n.text]; ok {
		return c.compareIntervals(n, a, b, how)
	}
	if how, ok := swapped[n.text]; ok {
		return c.compareIntervals(n, b, a, how)
	}
	times := feature.Of(tim)
	isMoment := func(e *Expr) bool { return isTime(e.typ) } // not a bare null, with which DuckDB cannot choose either
	switch {
	case n.text == "+" && a.isInterval() && isMoment(b):
		return shift(n, cast(b, times, false, n), a.interval)
	case n.text == "+" && isMoment(a):
		return shift(n, cast(a, times, false, n), b.interval)
	case n.text == "-" && isMoment(a):
		minus := &Node{kind: nodeUnary, text: "-", args: n.args[1:], off: n.off, end: n.end}
		return shift(n, cast(a, times, false, n), c.negateInterval(minus, b).interval)
	case (n.text == "+" || n.text == "-") && a.isInterval() && b.isInterval():
		return addIntervals(n, a.interval, b.interval)
	case n.text == "*" && a.isInterval():
		return c.multiplyInterval(n, a.interval, n.args[1], b)
	case n.text == "*":
		return c.multiplyInterval(n, b.interval, n.args[0], a)
	}
	return c.fail(n, intervalUses, "cannot %s %s and %s", operatorVerb(n.text), a.typ, b.typ)
}

func operatorVerb(operator string) string {
	if verb, ok := operatorVerbs[operator]; ok {
		return verb
	}
	return "join"
}

func addIntervals(n *Node, a, b *interval) *Expr {
	part := func(k feature.Kind, x, y *Expr) *Expr {
		return apply(arithmeticKernel(n.text, k), feature.Of(k), n, x, y)
	}
	return intervalOf(interval{part(i32, a.months, b.months), part(i32, a.days, b.days), part(i64, a.micros, b.micros)})
}

// multiplyInterval takes whole numbers only: DuckDB spreads the fractions of
// months and days over the smaller parts.
func (c *checker) multiplyInterval(n *Node, v *interval, at *Node, by *Expr) *Expr {
	if by.isInterval() || !by.untyped() && by.typ.Kind != i32 && by.typ.Kind != i64 || by.typ.IsList() {
		return c.fail(at, "write interval (x) second", "an interval is multiplied by a whole number, not by %s", by.typ)
	}
	few, many := cast(cast(by, feature.Of(i64), false, at), feature.Of(i32), false, at), cast(by, feature.Of(i64), false, at)
	part := func(k feature.Kind, x, y *Expr) *Expr {
		return apply(arithmeticKernel("*", k), feature.Of(k), n, x, y)
	}
	return intervalOf(interval{part(i32, v.months, few), part(i32, v.days, few), part(i64, v.micros, many)})
}

func (c *checker) compareIntervals(n *Node, a, b *Expr, how comparison) *Expr {
	if a.untyped() || b.untyped() {
		return nullOf(feature.Of(boo))
	}
	if !a.isInterval() || !b.isInterval() {
		return c.fail(n, "write epoch(…) for the seconds of an interval", "cannot compare %s and %s", a.typ, b.typ)
	}
	x, y := a.interval, b.interval
	return apply(intervalCompareKernel(how), feature.Of(boo), n, x.months, x.days, x.micros, y.months, y.days, y.micros)
}

func (c *checker) intervalCall(n *Node, args []*Expr) *Expr {
	f, ok := c.lookup(n)
	if !ok {
		return nil
	}
	name, _, _ := strings.Cut(f.usage, "(")
	switch {
	case name == "epoch" && len(args) == 1:
		v := args[0].interval
		return apply(kernelIntervalEpoch, feature.Of(f64), n, v.months, v.days, v.micros)
	case name == "date_part" && len(args) == 2 && n.args[0].kind == nodeString:
		p := c.part(n, "date_part of an interval", func(p *datePart) bool { return intervalParts[p.names[0]] != nil || p.names[0] == "epoch" })
		switch {
		case p == nil:
			return nil
		case p.names[0] == "epoch":
			v := args[1].interval
			return apply(kernelIntervalEpoch, feature.Of(f64), n, v.months, v.days, v.micros)
		}
		v := args[1].interval
		return apply(intervalPartKernel(p.names[0]), feature.Of(i64), n, v.months, v.days, v.micros)
	}
	at := n.args[slices.IndexFunc(args, (*Expr).isInterval)]
	return c.fail(at, "write epoch(…) for its seconds", intervalUses)
}
