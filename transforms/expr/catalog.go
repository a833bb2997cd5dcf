package expr

import (
	"slices"
	"strings"
)

// Function describes one function of the language.
type Function struct {
	Name  string
	Usage string   // how it is called, as docs/expressions.md shows it
	Other []string // second names
}

// Functions lists the functions of the language by name.
func Functions() []Function {
	all := make([]Function, 0, len(functions))
	for name, f := range functions {
		d := Function{Name: name, Usage: f.usage}
		for other, of := range aliases {
			if of == name {
				d.Other = append(d.Other, other)
			}
		}
		slices.Sort(d.Other)
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Function) int { return strings.Compare(a.Name, b.Name) })
	return all
}
