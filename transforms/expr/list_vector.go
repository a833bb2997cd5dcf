package expr

import "math"

// Functions of two vectors. Like DuckDB's they work in the width of their
// elements, add in order, and refuse nulls and vectors of different lengths.

const (
	lengthsDiffer = "lists of different lengths"
	nullInside    = "a list with a null inside"
)

type float interface{ float32 | float64 }

// vectorKernel computes f over pairs of lists; the second result of f is false
// where the answer is null.
func vectorKernel(name string, f func(a, b []float64) (float64, bool)) *kernel {
	return &kernel{name: name, why: []string{lengthsDiffer, nullInside}, run: func(c *call) {
		out, a, b, right := c.out.col, c.elements(0), c.elements(1), c.spans(1)
		for i, s := range c.spans(0) {
			t := right[i]
			switch {
			case !c.valid(i):
			case s.End-s.Start != t.End-t.Start:
				c.fail(i, 0)
			case firstNull(a, s) >= 0 || firstNull(b, t) >= 0:
				c.fail(i, 1)
			default:
				v, ok := f(a.Floats[s.Start:s.End], b.Floats[t.Start:t.End])
				out.Floats[i] = v
				if !ok {
					out.SetNull(i)
				}
			}
		}
	}}
}

// The kernels, in both widths.
var (
	distance32, distance64               = vectorKernel("list distance", distanceOf[float32]), vectorKernel("list distance", distanceOf[float64])
	innerProduct32, innerProduct64       = vectorKernel("list product", productOf[float32]), vectorKernel("list product", productOf[float64])
	negativeProduct32, negativeProduct64 = vectorKernel("list negative product", minus(productOf[float32])), vectorKernel("list negative product", minus(productOf[float64]))
	similarity32, similarity64           = vectorKernel("list cosine", similarityOf[float32]), vectorKernel("list cosine", similarityOf[float64])
	cosineDistance32, cosineDistance64   = vectorKernel("list cosine distance", cosineDistanceOf[float32]), vectorKernel("list cosine distance", cosineDistanceOf[float64])
)

// times multiplies. The conversion rounds the product, so that no platform fuses
// it with the addition that follows.
func times[T float](x, y T) T { return T(x * y) } //nolint:unconvert // see above

func distanceOf[T float](a, b []float64) (float64, bool) {
	var sum T
	for i, v := range a {
		d := T(v) - T(b[i])
		sum += times(d, d)
	}
	return float64(T(math.Sqrt(float64(sum)))), true
}

func productOf[T float](a, b []float64) (float64, bool) {
	var sum T
	for i, v := range a {
		sum += times(T(v), T(b[i]))
	}
	return float64(sum), true
}

func minus(f func(a, b []float64) (float64, bool)) func(a, b []float64) (float64, bool) {
	return func(a, b []float64) (float64, bool) {
		v, ok := f(a, b)
		return -v, ok
	}
}

// similarityOf is null for empty vectors and -1 where the quotient is NaN.
func similarityOf[T float](a, b []float64) (float64, bool) {
	var product, left, right T
	for i, v := range a {
		x, y := T(v), T(b[i])
		product += times(x, y)
		left += times(x, x)
		right += times(y, y)
	}
	cosine := product / T(math.Sqrt(float64(left*right)))
	if math.IsNaN(float64(cosine)) {
		return -1, len(a) > 0
	}
	return float64(max(-1, min(cosine, 1))), len(a) > 0
}

func cosineDistanceOf[T float](a, b []float64) (float64, bool) {
	v, ok := similarityOf[T](a, b)
	return float64(1 - T(v)), ok
}
