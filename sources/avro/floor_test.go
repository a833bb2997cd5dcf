package avro_test

import (
	"encoding/binary"
	"math"
	"testing"
	"unsafe"

	"millrace/sources/sourcetest"
)

// floorRows are the ten fields of the trips in plain slices.
type floorRows struct {
	ids, statuses                   []string
	drivers, passengers, rates, ats []int64
	fares, kms, tips                []float64
	surges                          []bool
}

// BenchmarkFloor decodes the trips with code written for their schema, which
// checks neither lengths nor UTF-8: what this machine could do at best.
func BenchmarkFloor(b *testing.B) {
	values := trips(b, benchRecords)
	n := len(values)
	r := floorRows{
		make([]string, n), make([]string, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n),
		make([]float64, n), make([]float64, n), make([]float64, n), make([]bool, n),
	}
	b.ReportAllocs()
	for b.Loop() {
		for i, v := range values {
			r.read(i, v)
		}
	}
	if r.ids[n-1] == "" || r.ats[n-1] != 1_700_000_000_123_000 {
		b.Fatal(r.ids[n-1], r.ats[n-1])
	}
	sourcetest.ReportPerEvent(b, n)
}

func (r *floorRows) read(i int, v []byte) {
	at := 0
	r.ids[i], at = floorText(v, at)
	r.drivers[i], at = floorLong(v, at)
	_, at = floorText(v, at)
	r.passengers[i], at = floorLong(v, at)
	r.fares[i], at = floorDouble(v, at)
	r.kms[i], at = floorDouble(v, at)
	r.statuses[i], at = floorText(v, at)
	_, at = floorText(v, at)
	if v[at] != 0 {
		r.tips[i], at = floorDouble(v, at+1)
	} else {
		at++
	}
	r.rates[i], at = floorLong(v, at)
	r.surges[i], at = v[at] != 0, at+1
	_, at = floorText(v, at)
	promo := v[at]
	if at++; promo != 0 {
		_, at = floorText(v, at)
	}
	for {
		var n int64
		if n, at = floorLong(v, at); n == 0 {
			break
		}
		for range n {
			_, at = floorText(v, at)
		}
	}
	millis, _ := floorLong(v, at)
	r.ats[i] = millis * 1000
}

func floorLong(v []byte, at int) (int64, int) {
	u, n := binary.Uvarint(v[at:])
	return int64(u>>1) ^ -int64(u&1), at + n
}

func floorDouble(v []byte, at int) (float64, int) {
	return math.Float64frombits(binary.LittleEndian.Uint64(v[at:])), at + 8
}

func floorText(v []byte, at int) (string, int) {
	n, at := floorLong(v, at)
	return unsafe.String(&v[at], int(n)), at + int(n)
}
