package definition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one fault in the definitions.
type Error struct {
	File    string
	Line    int    // from 1; 0 when the fault has no place
	Column  int    // from 1
	Path    string // "views[0].features[2].expr"
	Message string
	Hint    string // the next step, "" when there is none
	Source  string // the line's text
}

// Error prints the place, the message, the line with a caret, and the hint.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
		if e.Source != "" {
			fmt.Fprintf(&b, "\n    %s\n    %s^", e.Source, indent(e.Source, e.Column-1))
		}
	} else {
		b.WriteString(e.Message)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "\n  hint: %s", e.Hint)
	}
	return b.String()
}

// indent is as wide as the first n characters of line, tabs kept.
func indent(line string, n int) string {
	var b strings.Builder
	for i, r := range []rune(line) {
		if i >= n {
			break
		}
		if r == '\t' {
			b.WriteRune('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// Errors is every fault that was found, ordered by place.
type Errors []*Error

// Error lists the faults with a blank line between them.
func (es Errors) Error() string {
	texts := make([]string, len(es))
	for i, e := range es {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "\n\n")
}

func (es Errors) sorted() Errors {
	slices.SortStableFunc(es, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return es
}

// nearest returns the candidate that a typing mistake may have meant, or "".
func nearest(name string, candidates []string) string {
	best, bestAt := "", 3
	if len(name) < 4 {
		bestAt = 2
	}
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// distance is Levenshtein's, over bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// didYouMean makes a hint of the nearest candidate, or of all.
func didYouMean(name string, candidates []string) string {
	if n := nearest(name, candidates); n != "" {
		return "did you mean " + n + "?"
	}
	switch n := len(candidates); {
	case n == 0:
		return "there are none"
	case n > maxListed:
		return "there are: " + strings.Join(candidates[:maxListed], ", ") + " and more"
	default:
		return "there are: " + strings.Join(candidates, ", ")
	}
}

// maxListed keeps a hint on one line.
const maxListed = 12
