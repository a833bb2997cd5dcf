package serving

import (
	"strings"
	"unicode/utf8"
)

// Nearest returns the known name that name probably means, or "". Names are
// near when fewer than a third of their letters differ.
func Nearest(name string, known []string) string {
	if len(name) > maxShown {
		return ""
	}
	best, limit := "", max(1, utf8.RuneCountInString(name)/3)+1
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < limit {
			best, limit = k, d
		}
	}
	return best
}

// distance counts edits (insert, delete, replace, swap of neighbours) by the
// rows of the usual table, three at a time.
func distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above[j]+cost, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
