package expr

import "math"

// Where package math loses more than the last digits, or is wrong.

// ln is math.Log, which is wrong for numbers below the normal ones on amd64.
func ln(v float64) float64 {
	const least = 0x1p-1022
	if v > 0 && v < least {
		return math.Log(v*0x1p54) - 54*math.Ln2
	}
	return math.Log(v)
}

// log2 is exact for powers of two and, unlike math.Log2, right near one.
func log2(v float64) float64 {
	fraction, exponent := balanced(v)
	return float64(exponent) + math.Log(fraction)*(1/math.Ln2)
}

// balanced is math.Frexp with fractions around one instead of below.
func balanced(v float64) (fraction float64, exponent int) {
	fraction, exponent = math.Frexp(v)
	if fraction < math.Sqrt2/2 {
		return 2 * fraction, exponent - 1
	}
	return fraction, exponent
}

// log10 is exact for powers of ten, which math.Log10 is not. It takes the
// exponent of two out first and multiplies it by log10(2) in two parts, as
// fdlibm does.
func log10(v float64) float64 {
	const (
		twoHigh = 3.01029995663611771306e-01
		twoLow  = 3.69423907715893078616e-13
		perLn   = 4.34294481903251816668e-01
	)
	if v <= 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return math.Log10(v)
	}
	fraction, exponent := math.Frexp(v) // in [1/2, 1)
	if exponent > 0 {
		fraction, exponent = 2*fraction, exponent-1
	}
	y := float64(exponent)
	low := float64(y*twoLow) + float64(perLn*math.Log(fraction))
	return low + float64(y*twoHigh)
}

// acos does not subtract from a quarter turn what is almost one, as math.Acos
// does.
func acos(v float64) float64 { return 2 * math.Atan2(math.Sqrt(1-v), math.Sqrt(1+v)) }

// atan2 has the sign of y, which math.Atan2 loses when y/x is too small.
func atan2(y, x float64) float64 { return math.Copysign(math.Atan2(y, x), y) }

// pow is math.Pow for small exponents. It multiplies as often as the exponent has
// bits, which loses a digit for each few of them; for great ones this is
// exp(y * log(x)) with a logarithm of twice the digits.
func pow(x, y float64) float64 {
	const small = 16
	r := math.Pow(x, y)
	if math.Abs(y) <= small || x == 0 || math.IsNaN(y) || r == 0 || math.IsInf(r, 0) || math.IsNaN(r) || math.IsInf(x, 0) || math.IsInf(y, 0) {
		return r
	}
	p := preciseLog(math.Abs(x)).times(pair{high: y})
	twos := math.Round(p.high / math.Ln2)
	rest := p.plus(ln2.times(pair{high: -twos}))
	e := math.Exp(rest.high)
	return math.Copysign(math.Ldexp(e+e*rest.low, int(twos)), r)
}

var ln2 = pair{0.6931471805599453, 2.3190468138462996e-17}

// pair is the sum of two float64, of which the second is below the last digit of
// the first.
type pair struct{ high, low float64 }

func pairSum(a, b float64) pair {
	s := a + b
	t := s - a
	return pair{s, (a - (s - t)) + (b - t)}
}

func (p pair) plus(q pair) pair {
	s := pairSum(p.high, q.high)
	return pairSum(s.high, s.low+p.low+q.low)
}

func (p pair) times(q pair) pair {
	h := p.high * q.high
	return pairSum(h, math.FMA(p.high, q.high, -h)+p.high*q.low+p.low*q.high)
}

// preciseLog is 2 artanh((f-1)/(f+1)) of v's fraction f as a series, and its
// exponent times ln(2).
func preciseLog(v float64) pair {
	const terms = 20 // each gives more than a digit and a half
	f, exponent := balanced(v)
	above := pairSum(f, 1)
	q := (f - 1) / above.high
	s := pairSum(q, (math.FMA(-q, above.high, f-1)-q*above.low)/above.high)
	square, sum := s.times(s), pair{}
	for n := float64(2*terms + 1); n > 0; n -= 2 {
		sum = sum.times(square).plus(pair{1 / n, math.FMA(-1/n, n, 1) / n})
	}
	half := s.times(sum)
	return ln2.times(pair{high: float64(exponent)}).plus(pair{2 * half.high, 2 * half.low})
}
