package window

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/feature"
)

func TestDefaultHop(t *testing.T) {
	for length, want := range map[time.Duration]time.Duration{
		time.Second: time.Second, 95 * time.Second: time.Second, 96 * time.Second: 2 * time.Second,
		time.Hour: time.Minute, 24 * time.Hour: 15 * time.Minute, 7 * day: 3 * time.Hour, 48 * day: day, 365 * day: day,
	} {
		if got := DefaultHop(length); got != want {
			t.Errorf("window %v: hop %v, want %v", length, got, want)
		}
	}
}

var wholeHops = []time.Duration{time.Second, 90 * time.Second, time.Hour, day}

// The span is the formula of DESIGN 8, in mathematics' floor.
func TestSpanIsTheDocumentedFormula(t *testing.T) {
	floor := func(a, b int64) int64 {
		q := a / b
		if a%b != 0 && (a < 0) != (b < 0) {
			q--
		}
		return q
	}
	rapid.Check(t, func(t *rapid.T) {
		hop := rapid.SampledFrom(wholeHops).Draw(t, "hop")
		w := Window{
			Length: hop + time.Duration(rapid.Int64Range(0, 100*86_400).Draw(t, "length"))*time.Second, Hop: hop,
			Offset: time.Duration(rapid.Int64Range(0, 1e6).Draw(t, "offset")) * time.Second,
		}
		at := rapid.Int64Range(-1e15, 2e15).Draw(t, "read")
		if err := w.Check(); err != nil {
			t.Fatal(err)
		}
		h, s := hop.Microseconds(), w.At(at)
		end := at - w.Offset.Microseconds()
		if s.From != floor(end-w.Length.Microseconds(), h)*h || s.To != (floor(end, h)+1)*h {
			t.Fatalf("span %v", s)
		}
		if got := s.To - s.From - w.Length.Microseconds(); got <= 0 || got > 2*h {
			t.Fatalf("the span is %d µs longer than the window", got)
		}
		event := rapid.Int64Range(-1e15, 2e15).Draw(t, "event")
		start := TileStart(event, hop)
		if start > event || event >= start+h || start%h != 0 {
			t.Fatalf("tile of %d starts at %d", event, start)
		}
		tiles := 0
		w.Starts(s, func(int64) bool { tiles++; return true })
		if tiles > w.Tiles() || w.Cells(4) != 4*w.Tiles() || int64(tiles)*h != s.To-s.From {
			t.Fatalf("%d tiles, at most %d", tiles, w.Tiles())
		}
	})
}

func TestUnlimitedIsOneTile(t *testing.T) {
	w := Window{Unlimited: true}
	var starts []int64
	w.Starts(w.At(5), func(s int64) bool { starts = append(starts, s); return true })
	if len(starts) != 1 || starts[0] != TileStart(-7, 0) || w.Cells(16) != 16 || w.Check() != nil {
		t.Error("more than one tile")
	}
}

func TestWindowsThatAreRefusedSayWhatToWrite(t *testing.T) {
	for _, c := range []struct {
		w    Window
		want string
	}{
		{Window{Unlimited: true, Offset: day}, "has no offset: leave out `offset: 1d`"},
		{Window{Unlimited: true, Hop: time.Hour}, "leave out `hop: 1h`"},
		{Window{Length: time.Hour, Hop: 7 * time.Minute}, "does not divide a day in whole seconds: the nearest that does is `hop: 432s`"},
		{Window{Length: time.Minute, Hop: time.Hour}, "shorter than its hop of 1h: write `hop: 1s`"},
		{Window{Hop: time.Hour}, "write `window: 1h`"},
		{Window{Length: time.Hour, Hop: time.Minute, Offset: -time.Hour}, "write `offset: 1h`"},
		{Window{Length: time.Hour, Hop: time.Millisecond}, "`hop: 1s`"},
	} {
		if err := c.w.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.w, err)
		}
	}
}

func TestSpecsThatAreRefusedSayWhatToWrite(t *testing.T) {
	for _, c := range []struct {
		s    Spec
		want string
	}{
		{Spec{Kind: KindSum}, "write `of:`"},
		{Spec{Kind: KindSum, Of: strs}, "sum of string is not defined: convert it"},
		{Spec{Kind: KindAvg, Of: bools}, "use count with a `filter:`"},
		{Spec{Kind: KindAvg, Of: feature.Of(feature.KindTimestamp)}, "epoch("},
		{Spec{Kind: KindVarPop, Of: tags}, "reduce the list first"},
		{Spec{Kind: KindMin, Of: feature.Of(feature.KindJSON)}, "take a value out of it"},
		{Spec{Kind: KindTopK, Of: tags, K: 3}, "take one element"},
		{Spec{Kind: KindQuantile, Of: float64s, Q: 95}, "from 0 to 1, not 95"},
		{Spec{Kind: KindLastN, Of: strs}, "write `n: 20`"},
		{Spec{Kind: KindTopK, Of: strs, K: 1000}, "write `k: 10`"},
		{Spec{Kind: KindCount, N: 3}, "takes no `n`"},
		{Spec{Kind: KindLast, Of: strs, Distinct: true}, "takes no `distinct`"},
		{Spec{}, "unknown aggregate"},
	} {
		if _, err := c.s.Result(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.s, err)
		}
	}
}

func TestKindNamesAreRead(t *testing.T) {
	for i, n := range KindNames() {
		if k, ok := ParseKind(n); !ok || k != Kind(i+1) || k.String() != n {
			t.Error(n)
		}
	}
	if _, ok := ParseKind("median"); ok {
		t.Error("median was read")
	}
}
