package main

import (
	"math/rand/v2"
	"testing"
)

// TestFormsGiveTheirKind draws each form with leaves in its holes.
func TestFormsGiveTheirKind(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for kind, all := range forms {
		if kind == 'v' {
			continue // intervals are no whole expressions
		}
		for _, form := range all {
			tr := &tree{kind: kind, form: form}
			for _, hole := range holes(form) {
				tr.kids = append(tr.kids, drawTree(r, hole, 0))
			}
			e, err := parse(tr.text())
			if err != nil {
				t.Errorf("%s: %v", tr.text(), err)
			} else if got := e.typed.Type(); got != typeOf[kind] && got.Kind != 0 {
				t.Errorf("%s is %s, not %s", tr.text(), got, typeOf[kind])
			}
		}
	}
}
