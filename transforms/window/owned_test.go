package window

import (
	"bytes"
	"testing"

	"millrace/feature"
)

// TestStatesOwnTheirText: what a batch holds is written over by the next one,
// and a state must not see it. Each value comes twice, because the second one
// must not take the first one's place in a map.
func TestStatesOwnTheirText(t *testing.T) {
	for _, s := range []Spec{
		{Kind: KindMin, Of: strs},
		{Kind: KindMax, Of: strs},
		{Kind: KindFirst, Of: strs},
		{Kind: KindLast, Of: strs},
		{Kind: KindLastN, Of: strs, N: 4},
		{Kind: KindLastN, Of: strs, N: 4, Distinct: true},
		{Kind: KindTopK, Of: strs, K: 4},
		{Kind: KindCountDistinct, Of: strs},
	} {
		var arena feature.Arena
		var c feature.Column
		reused, kept := NewState(&s), NewState(&s)
		for i, text := range []string{"one", "two", "one", "two", "two"} {
			at := &Position{Offset: int64(i)}
			c.Reset(strs)
			c.Resize(1)
			c.SetString(0, text)
			kept.Update(&c, 0, at)
			arena.Reset()
			c.SetString(0, arena.Copy([]byte(text)))
			reused.Update(&c, 0, at)
		}
		arena.Reset()
		arena.Copy([]byte("xxx"))
		if got, want := reused.AppendState(nil), kept.AppendState(nil); !bytes.Equal(got, want) {
			t.Errorf("%s: a reused batch leaves %q, one of its own %q", s.Kind, got, want)
		}
	}
}
