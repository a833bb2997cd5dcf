package main

import (
	"math/rand/v2"
	"strings"
)

// tree is a generated expression: a form and what stands in its holes.
type tree struct {
	kind byte
	form string
	kids []*tree
}

// What holes of kind n and N take.
const (
	numbers     = "ibfg"
	numberLists = "ABFG"
)

// kinds are what whole expressions give. Wide kinds come more often.
const kinds = "iibbbfggsssppppttyjABFGSPTM"

func drawTree(r *rand.Rand, kind byte, depth int) *tree {
	switch kind {
	case 'n':
		kind = numbers[r.IntN(len(numbers))]
	case 'N':
		kind = numberLists[r.IntN(len(numberLists))]
	}
	form := pick(r, forms[kind])
	for depth <= 0 && len(holes(form)) > 0 {
		form = pick(r, forms[kind])
	}
	t := &tree{kind: kind, form: form}
	for _, hole := range holes(form) {
		t.kids = append(t.kids, drawTree(r, hole, depth-1))
	}
	return t
}

// holes lists the kinds of a form's holes.
func holes(form string) []byte {
	var all []byte
	for i := range len(form) - 1 {
		if isHole(form, i) {
			all = append(all, form[i+1])
		}
	}
	return all
}

// isHole reports whether a hole begins at i; '$.a' is a path.
func isHole(form string, i int) bool {
	return form[i] == '$' && i+1 < len(form) && (form[i+1] >= 'a' && form[i+1] <= 'z' || form[i+1] >= 'A' && form[i+1] <= 'Z')
}

// text writes t with every operand that is not one word in parentheses.
func (t *tree) text() string {
	return t.write(func(k *tree) bool { return len(k.kids) > 0 || k.form[0] == '-' || strings.Contains(k.form, " ") })
}

// loose writes t and leaves out about half of the parentheses, so that what it
// means depends on the grammar.
func (t *tree) loose(r *rand.Rand) string {
	return t.write(func(*tree) bool { return r.IntN(2) == 0 })
}

func (t *tree) write(parentheses func(kid *tree) bool) string {
	var b strings.Builder
	kids := t.kids
	for i := 0; i < len(t.form); i++ {
		if !isHole(t.form, i) {
			b.WriteByte(t.form[i])
			continue
		}
		i++
		if inner := kids[0].write(parentheses); parentheses(kids[0]) {
			b.WriteString("(" + inner + ")")
		} else {
			b.WriteString(inner)
		}
		kids = kids[1:]
	}
	return b.String()
}
