// Package expr is the expression language of definitions: SQL scalar
// expressions with DuckDB's semantics. Text is parsed with positions (Parse),
// checked into an immutable typed tree (Check), and a set of trees is compiled
// into one program of column kernels (Compile) that a Machine runs over the
// rows of a batch. The same program serves the lane's batches of hundreds of
// rows and a read's single row, so the two cannot differ.
//
// Invariant: evaluation is total. A value that cannot be computed (an overflow,
// a bad cast) is a failure, which is a value of the row like null and spreads
// like a stronger null; and, or, case and coalesce drop the failures of operands
// that do not decide. So every kernel runs over every row, nothing branches per
// row on what an earlier kernel found, and a shared part is computed once.
//
// Rejected: an interpreter per row (an order of magnitude slower), and masks of
// active rows for the branches of case (a shared part would then have to be
// computed under the union of the masks of all who use it).
package expr

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is one fault in the text of an expression.
type Error struct {
	Offset  int    // byte offset in the text where the faulty part begins
	End     int    // byte offset after it
	Message string // what is wrong
	Hint    string // the next step or the nearest known name; "" when there is none
}

// Error returns message and hint on one line, without the position: callers
// know in which file the text stands and say it better.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

func errorAt(offset, end int, hint, format string, args ...any) *Error {
	return &Error{Offset: offset, End: end, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// didYouMean returns the hint that names the known name nearest to name, or
// other when none is near.
func didYouMean(name string, known []string, other string) string {
	best, bestDistance := "", max(1, utf8.RuneCountInString(name)/3)+1
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k), bestDistance); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best == "" {
		return other
	}
	return "did you mean " + best + "?"
}

// maxSuggested bounds the length of names that are compared, and so the work.
const maxSuggested = 64

// distance is the number of edits (insert, delete, replace, swap of neighbours)
// between a and b, or limit when it is not below limit.
func distance(a, b string, limit int) int {
	x, y := []rune(a), []rune(b)
	if len(x) > maxSuggested || len(y) > maxSuggested || len(x)-len(y) >= limit || len(y)-len(x) >= limit {
		return limit
	}
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(y)], limit)
}
