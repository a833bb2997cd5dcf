package sourcetest

import (
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/sources"
)

const (
	mutationsVariable = "MILLRACE_MUTATIONS"
	fewMutations      = 50_000
	mutationsAtOnce   = 500
	heapMayGrow       = 4 << 20
	residentMayGrow   = 48 << 20
)

// Mutations decodes damaged copies of d's records, MILLRACE_MUTATIONS of them
// or a few. Each ends once, as a row or as a reject that says at which byte it
// is malformed, and memory does not grow after the first tenth.
func (d Decoding) Mutations(t *testing.T) {
	t.Helper()
	total := fewMutations
	if s := os.Getenv(mutationsVariable); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("%s: %v", mutationsVariable, err)
		}
		total = n
	}
	var (
		batch   feature.Batch
		random  = rand.New(rand.NewPCG(1, 2)) // the same damage each time
		recs    = make([]sources.Record, mutationsAtOnce)
		ends    = make([]int, mutationsAtOnce)
		before  memory
		rejects int
		warm    bool
		start   = time.Now()
	)
	for done := 0; done < total; done += len(recs) {
		if !warm && done >= total/10 {
			before, warm = memoryNow(t), true
		}
		for i := range recs {
			recs[i] = d.Records[random.IntN(len(d.Records))]
			other := d.Records[random.IntN(len(d.Records))].Value
			recs[i].Value = damage(random, recs[i].Value, other)
		}
		batch.Reset(d.Fields, 0)
		if err := d.Decoder.Decode(t.Context(), &batch, recs); err != nil {
			t.Fatal(err)
		}
		rejects += len(batch.Rejects)
		endsOnce(t, &batch, recs, ends)
	}
	took, after := time.Since(start), memoryNow(t)
	t.Logf("%d records, %d rejects, %.0f records/s, heap %d KiB then %d KiB, resident %d KiB then %d KiB", total, rejects,
		float64(total)/took.Seconds(), before.heap>>10, after.heap>>10, before.resident>>10, after.resident>>10)
	if after.heap > before.heap+heapMayGrow || after.resident > before.resident+residentMayGrow {
		t.Errorf("memory grew: %+v, then %+v", before, after)
	}
	if rejects == 0 || rejects >= total {
		t.Errorf("%d of %d damaged records are rejects; the damage tests nothing", rejects, total)
	}
	runtime.KeepAlive(&batch)
}

// endsOnce checks that each record is one row or one reject.
func endsOnce(t *testing.T, b *feature.Batch, recs []sources.Record, ends []int) {
	t.Helper()
	clear(ends)
	for i := range b.Origins {
		ends[b.Origins[i].Record]++
	}
	for i := range b.Rejects {
		r := &b.Rejects[i]
		ends[r.Origin.Record]++
		if r.Reason == feature.ReasonMalformed && !strings.Contains(r.Message, " byte ") {
			t.Fatalf("%x: the reject does not say where: %s", recs[r.Origin.Record].Value, r.Message)
		}
	}
	for i, n := range ends {
		if n != 1 {
			t.Fatalf("%x has %d ends", recs[i].Value, n)
		}
	}
}

// lies are lengths and counts that no record has room for.
var lies = []string{
	"\xfe\xff\xff\xff\x0f", "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
	"\xff\xff\xff\x7f", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", "99999999999999999999", "[[[[[[[[", `{"a":{"a":`,
}

// damage returns a damaged copy of v: flipped bits, cut off, a lying length
// written over it or in it, or its beginning before the end of other.
func damage(random *rand.Rand, v, other []byte) []byte {
	const kinds, mostFlips = 5, 4
	at := random.IntN(len(v))
	lie := lies[random.IntN(len(lies))]
	out := make([]byte, 0, len(v)+len(other)+len(lie))
	switch random.IntN(kinds) {
	case 0:
		return append(out, v[:at]...)
	case 1:
		return append(append(out, v[:at]...), other[random.IntN(len(other)):]...)
	case 2:
		return append(append(append(out, v[:at]...), lie...), v[at:]...)
	case 3:
		out = append(out, v...)
		copy(out[at:], lie)
		return out
	default:
		out = append(out, v...)
		for range 1 + random.IntN(mostFlips) {
			out[random.IntN(len(out))] ^= 1 << random.IntN(8)
		}
		return out
	}
}

type memory struct{ heap, resident uint64 }

// memoryNow returns what is in use; resident is 0 where the system does not say.
func memoryNow(t *testing.T) (m memory) {
	t.Helper()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	m.heap = s.HeapAlloc
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return m
	}
	if fields := strings.Fields(string(text)); len(fields) > 1 {
		pages, _ := strconv.ParseUint(fields[1], 10, 64)
		m.resident = pages * uint64(os.Getpagesize())
	}
	return m
}
