package expr

import (
	"crypto/md5" //nolint:gosec // spreads values over buckets, defends nothing
	"encoding/binary"
	"math"
	"unsafe"

	"millrace/feature"
)

// bucketize counts the edges that are not above x, so that bucket i holds what
// is at least edge i and below edge i+1, counted from 1, and bucket 0 the rest.
func (c *checker) bucketize(n *Node, args []*Expr) *Expr {
	if len(args) != 2 {
		return c.fail(n, "write bucketize(x, [1, 5, 20])", "bucketize takes a number and a list of edges")
	}
	x, list, at := args[0], args[1], n.args[1]
	if !isNumeric(x.typ) && !x.untyped() {
		return c.fail(n.args[0], numberHint(n.args[0], x), "bucketize needs a number, %s is %s", shortText(n.args[0]), x.typ)
	}
	edges := constantValue(list)
	if list.typ.Depth != 1 || !isNumeric(list.typ.Elem()) || edges == nil || edges.IsNull(0) || edges.Spans[0].End == edges.Spans[0].Start {
		return c.fail(at, "write bucketize(x, [1, 5, 20])", "the edges of bucketize are a list of constant numbers")
	}
	t, _ := common(x.typ, list.typ.Elem())
	set, elems := &constSet{}, edges.Elems
	for i := int(edges.Spans[0].Start); i < int(edges.Spans[0].End); i++ {
		if elems.IsNull(i) || !set.push(constantValue(cast(Literal(rowOf(elems, i)), t, false, at))) {
			if at.kind == nodeList {
				at = at.args[i]
			}
			return c.fail(at, "", "the edges of bucketize must rise from one to the next")
		}
	}
	set.key = set.text()
	e := apply(kernelBucketize, feature.Of(feature.KindInt64), n, cast(x, t, false, n))
	e.set = set
	return e
}

// rowOf is row i of c as a column of one row.
func rowOf(c *feature.Column, i int) *feature.Column {
	one := new(feature.Column)
	one.Reset(c.Type)
	one.AppendFrom(c, i)
	return one
}

// push adds a number that is above all others, or reports false.
func (s *constSet) push(v *feature.Column) bool {
	if v.Type.Layout() == feature.LayoutInt {
		s.ints = append(s.ints, v.Ints[0])
		n := len(s.ints)
		return n == 1 || s.ints[n-2] < s.ints[n-1]
	}
	s.floats = append(s.floats, v.Floats[0])
	n := len(s.floats)
	return n == 1 || floatLess(s.floats[n-2], s.floats[n-1])
}

var kernelBucketize = &kernel{name: "bucketize", run: func(c *call) {
	out := c.out.col.Ints[:c.n]
	if c.args[0].col.Type.Layout() == feature.LayoutInt {
		for i, v := range c.ints(0) {
			out[i] = countUpTo(c.set.ints, func(edge int64) bool { return edge <= v })
		}
		return
	}
	for i, v := range c.floats(0) {
		out[i] = countUpTo(c.set.floats, func(edge float64) bool { return !floatLess(v, edge) })
	}
}}

// countUpTo counts the edges at the front for which below holds, by halves.
func countUpTo[T any](edges []T, below func(T) bool) int64 {
	low, high := 0, len(edges)
	for low < high {
		mid := int(uint(low+high) >> 1)
		if below(edges[mid]) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return int64(low)
}

// hashBucket is the first 60 bits of the text's md5, modulo n: what
// ('0x' || left(md5(cast(x as varchar)), 15))::bigint % n gives in DuckDB.
func (c *checker) hashBucket(n *Node, args []*Expr) *Expr {
	if len(args) != 2 {
		return c.fail(n, "write hash_bucket(x, 100)", "hash_bucket takes a value and the number of buckets")
	}
	count, ok := c.constantInt(n.args[1], args[1], "the number of buckets", 1, math.MaxInt64)
	if !ok {
		return nil
	}
	texts, ok := c.texts(n, args[:1])
	if !ok {
		return nil
	}
	return apply(kernelHashBucket, feature.Of(feature.KindInt64), n, texts[0], constInt(feature.KindInt64, count))
}

var kernelHashBucket = &kernel{name: "hash_bucket", run: func(c *call) {
	out, in, count := c.out.col.Ints[:c.n], c.strings(0), c.ints(1)
	for i := range out {
		if c.valid(i) {
			sum := md5.Sum(unsafe.Slice(unsafe.StringData(in[i]), len(in[i]))) //nolint:gosec // see the import
			out[i] = int64(binary.BigEndian.Uint64(sum[:])>>4) % count[i]
		}
	}
}}

// earthKilometres is the mean radius of the Earth.
const earthKilometres = 6371.0088

// kernelHaversine is the length of the great circle between two points.
var kernelHaversine = &kernel{name: "haversine_km", why: []string{infiniteAngle}, run: func(c *call) {
	lat1, lon1, lat2, lon2 := c.floats(0), c.floats(1), c.floats(2), c.floats(3)
	for i := range c.n {
		c.out.col.Floats[i] = haversine(lat1[i], lon1[i], lat2[i], lon2[i])
		for _, angle := range [...]float64{lat1[i], lat2[i], lat2[i] - lat1[i], lon2[i] - lon1[i]} {
			if math.IsInf(angle, 0) && c.valid(i) {
				c.fail(i, 0)
			}
		}
	}
}}

func haversine(lat1, lon1, lat2, lon2 float64) float64 {
	const radian = math.Pi / 180
	north, east := math.Sin((lat2-lat1)*radian/2), math.Sin((lon2-lon1)*radian/2)
	h := north*north + math.Cos(lat1*radian)*math.Cos(lat2*radian)*east*east
	return 2 * earthKilometres * math.Asin(math.Sqrt(math.Min(1, h)))
}

const maxGeohash = 12 // 60 bits, below a square centimetre

func (c *checker) geohash(n *Node, args []*Expr) *Expr {
	if len(args) != 3 {
		return c.fail(n, "write geohash(lat, lon, 6)", "geohash takes a latitude, a longitude and a length")
	}
	lat := c.want(n.args[0], args[0], feature.Of(feature.KindFloat64), "the latitude of geohash")
	lon := c.want(n.args[1], args[1], feature.Of(feature.KindFloat64), "the longitude of geohash")
	size, ok := c.constantInt(n.args[2], args[2], "the length of geohash", 1, maxGeohash)
	if lat == nil || lon == nil || !ok {
		return nil
	}
	return apply(kernelGeohash, feature.Of(feature.KindString), n, lat, lon, constInt(feature.KindInt64, size))
}

var kernelGeohash = &kernel{name: "geohash", why: []string{"latitude outside [-90, 90]", "longitude outside [-180, 180]"}, run: func(c *call) {
	lat, lon, size := c.floats(0), c.floats(1), c.ints(2)
	for i := range c.n {
		switch {
		case !c.valid(i):
		case !(math.Abs(lat[i]) <= 90): // NaN is outside
			c.fail(i, 0)
		case !(math.Abs(lon[i]) <= 180): // NaN is outside
			c.fail(i, 1)
		default:
			c.out.col.Strings[i] = c.arena.Keep(appendGeohash(c.arena.Tail(maxGeohash), lat[i], lon[i], int(size[i])))
		}
	}
}}

const geohashDigits = "0123456789bcdefghjkmnpqrstuvwxyz"

// appendGeohash halves longitude and latitude in turn; five halves are a digit.
func appendGeohash(b []byte, lat, lon float64, size int) []byte {
	south, north, west, east := -90.0, 90.0, -180.0, 180.0
	for half, digit := 0, 0; half < 5*size; half++ {
		digit <<= 1
		v, low, high := lat, &south, &north
		if half%2 == 0 {
			v, low, high = lon, &west, &east
		}
		if mid := (*low + *high) / 2; v >= mid {
			digit, *low = digit|1, mid
		} else {
			*high = mid
		}
		if half%5 == 4 {
			b, digit = append(b, geohashDigits[digit]), 0
		}
	}
	return b
}
