package feature_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/feature"
)

// TestArenaKeepsEveryString copies and keeps many strings, some of which
// outgrow the tail they were given: all must read the same at the end.
func TestArenaKeepsEveryString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a feature.Arena
		for range rapid.IntRange(1, 3).Draw(t, "fills") {
			a.Reset()
			var got, want []string
			size := 0
			for i := range rapid.IntRange(0, 60).Draw(t, "strings") {
				s := strings.Repeat(string(rune('a'+i%26)), rapid.IntRange(0, 700).Draw(t, "bytes"))
				switch rapid.IntRange(0, 2).Draw(t, "how") {
				case 0:
					got = append(got, a.Copy([]byte(s)))
				case 1:
					got = append(got, a.Keep(append(a.Tail(len(s)), s...)))
				default:
					got = append(got, a.Keep(append(a.Tail(0), s...)))
				}
				want, size = append(want, s), size+len(s)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("string %d was written over", i)
				}
			}
			if a.Bytes() != size {
				t.Fatalf("%d bytes in use, want %d", a.Bytes(), size)
			}
		}
	})
}

func TestArenaSettles(t *testing.T) {
	var a feature.Arena
	fill := func() {
		a.Reset()
		for range 300 {
			a.Copy([]byte("one hundred bytes, more or less, one hundred bytes, more or less, one hundred bytes, more or less"))
			a.Keep(append(a.Tail(0), "a writer that asks for no room"...))
		}
	}
	for range 4 {
		fill()
	}
	if n := testing.AllocsPerRun(20, fill); n > 0 {
		t.Errorf("a settled arena allocates %v times per fill", n)
	}
}

func TestTailHasTheRoomAskedFor(t *testing.T) {
	var a feature.Arena
	for _, n := range []int{0, 1, 5000, 3, 100_000} {
		if tail := a.Tail(n); len(tail) != 0 || cap(tail) < n {
			t.Errorf("Tail(%d) has length %d, capacity %d", n, len(tail), cap(tail))
		}
	}
	if s := a.Copy(nil) + a.Keep(nil); s != "" || a.Bytes() != 0 {
		t.Errorf("nothing became %q, %d bytes", s, a.Bytes())
	}
}
