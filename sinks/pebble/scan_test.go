package pebble

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"millrace/sinks"
)

// Progress is a promise of how long a person has to wait: it must go with the
// keys, wherever they are kept, also when others have the same entity's length.
func TestProgressOfAScanGoesWithItsKeys(t *testing.T) {
	for _, c := range []struct {
		name  string
		flush bool
	}{{"in memory", false}, {"on disk", true}} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(t.TempDir(), Settings{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close() //nolint:errcheck // nothing is to be kept
			const n = 12 * keyPage
			random := rand.New(rand.NewPCG(1, 2))
			rows := make([]sinks.Row, 0, 2*n)
			for i := range n {
				value := make([]byte, 100)
				for j := range value {
					value[j] = byte(random.Uint32())
				}
				rows = append(rows, sinks.Row{Entity: "driver", Key: fmt.Sprint(100000 + i), View: "v@1", Value: value},
					sinks.Row{Entity: "others", Key: fmt.Sprint(100000 + i), View: "v@1", Value: value})
			}
			if err := s.Write(t.Context(), rows); err != nil {
				t.Fatal(err)
			}
			if c.flush {
				if err := s.db.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			seen := 0
			err = s.EachKey(t.Context(), "driver", "", func(p *sinks.KeyPage) error {
				seen += len(p.Keys)
				if share := float64(seen) / n; math.Abs(p.Progress-share) > 0.1 {
					t.Errorf("behind %.2f of the keys progress is %.2f", share, p.Progress)
				}
				return nil
			})
			if err != nil || seen != n {
				t.Errorf("%d keys, %v, want %d", seen, err, n)
			}
		})
	}
}
