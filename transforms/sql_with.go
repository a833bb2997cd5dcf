package transforms

import (
	"fmt"
	"strings"
)

// withSQL writes the named steps of a with clause.
type withSQL struct {
	b     *strings.Builder
	begun bool
}

// add writes one; tail is what follows its conditions, if anything does.
func (w *withSQL) add(name string, columns []string, from string, wheres []string, tail ...string) {
	if w.begun {
		w.b.WriteString("),\n")
	} else {
		w.b.WriteString("with ")
	}
	w.begun = true
	fmt.Fprintf(w.b, "%s as (\n  select\n    %s\n  from %s\n", name, strings.Join(columns, ",\n    "), from)
	if len(wheres) > 0 {
		fmt.Fprintf(w.b, "  where %s\n", strings.Join(wheres, "\n    and "))
	}
	for _, line := range tail {
		w.b.WriteString("  " + line + "\n")
	}
}

func (w *withSQL) end() { w.b.WriteString(")\n") }
