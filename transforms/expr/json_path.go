package expr

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// jsonStep goes from a value to one inside it: to a member of an object, or to
// an element of an array, or, in a pointer, to whichever the value has.
type jsonStep struct {
	key      string
	index    int64 // from 0, from the end below 0
	hasKey   bool
	hasIndex bool
}

// jsonPath is a way through JSON that is known at check.
type jsonPath struct {
	text  string // equal for equal paths
	steps []jsonStep
}

// after returns the path that goes the way of first, if there is one, and then
// that of p.
func (p *jsonPath) after(first *jsonPath) *jsonPath {
	if first == nil {
		return p
	}
	return &jsonPath{text: first.text + " " + p.text, steps: append(slices.Clone(first.steps), p.steps...)}
}

// parsePath reads a path by DuckDB's rules: '$.a.b[0]', a pointer '/a/b/0', or
// just a key. What is wrong is described by the second result.
func parsePath(path string) (steps []jsonStep, wrong string) {
	switch {
	case path == "":
		return nil, ""
	case path[0] == '$':
		return parseDollar(path[1:])
	case path[0] == '/':
		return parsePointer(path[1:]), ""
	case strings.Contains(path, `"`):
		return parsePointer(path), ""
	case path == "*":
		return nil, noWildcards
	}
	return []jsonStep{{key: unescapeKey(path), hasKey: true}}, ""
}

const noWildcards = "paths with wildcards find many values and are not available"

func parsePointer(path string) []jsonStep {
	var steps []jsonStep
	for part := range strings.SplitSeq(path, "/") {
		step := jsonStep{hasKey: true, key: strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")}
		if v, err := strconv.ParseUint(part, 10, 63); err == nil && (part[0] != '0' || part == "0") {
			step.index, step.hasIndex = int64(v), true
		}
		steps = append(steps, step)
	}
	return steps
}

func parseDollar(rest string) (steps []jsonStep, wrong string) {
	for rest != "" {
		var step jsonStep
		size := 0
		switch {
		case isWildcard(rest):
			return nil, noWildcards
		case rest[0] == '.':
			step, size = dollarKey(rest[1:])
		case rest[0] == '[':
			step, size = dollarIndex(rest[1:])
		}
		if size == 0 {
			return nil, "the path is wrong near " + quoteText(rest)
		}
		steps, rest = append(steps, step), rest[1+size:]
	}
	return steps, ""
}

func isWildcard(rest string) bool {
	if after, ok := strings.CutPrefix(rest, ".*"); ok {
		return after == "" || after[0] == '.' || after[0] == '['
	}
	return strings.HasPrefix(rest, "..") || strings.HasPrefix(rest, "[*]") || strings.HasPrefix(rest, `."*"`)
}

// dollarKey reads a key up to the next dot or bracket, or in quotes; the size is
// 0 when there is none.
func dollarKey(s string) (step jsonStep, size int) {
	if !strings.HasPrefix(s, `"`) {
		size = len(s)
		if end := strings.IndexAny(s, ".["); end >= 0 {
			size = end
		}
		return jsonStep{key: s[:size], hasKey: true}, size
	}
	end := endOfString(s, 0)
	if end < 3 || s[end-1] != '"' {
		return jsonStep{}, 0
	}
	return jsonStep{key: unescapeKey(s[1 : end-1]), hasKey: true}, end
}

// unescapeKey drops the backslash before a quote or another backslash.
func unescapeKey(s string) string {
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(s)
}

// dollarIndex reads an index and the bracket behind it: 0, -1, #-1, or # for the
// element after the last.
func dollarIndex(s string) (step jsonStep, size int) {
	text, _, closed := strings.Cut(s, "]")
	if !closed {
		return jsonStep{}, 0
	}
	size, step.hasIndex = len(text)+1, true
	if text == "#" {
		step.index = math.MaxInt64
		return step, size
	}
	digits, fromEnd := strings.CutPrefix(strings.TrimPrefix(text, "#"), "-")
	if strings.HasPrefix(text, "#") && !fromEnd {
		return jsonStep{}, 0
	}
	if strings.HasPrefix(digits, "+") {
		return jsonStep{}, 0
	}
	v, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || v == math.MaxUint64 {
		return jsonStep{}, 0
	}
	step.index = int64(min(v, math.MaxInt64))
	if fromEnd {
		step.index = -step.index
	}
	return step, size
}

// follow returns the part of text that steps lead to.
func follow(text string, steps []jsonStep) (value string, ok bool) {
	value = trimJSON(text)
	for _, step := range steps {
		if value, ok = step.of(value); !ok {
			return "", false
		}
	}
	return value, value != ""
}

func (s *jsonStep) of(v string) (string, bool) {
	switch {
	case s.hasKey && strings.HasPrefix(v, "{"):
		for c := enterJSON(v); c.more(); {
			key := c.key()
			if member := c.value(); meansKey(key, s.key) {
				return member, true
			}
		}
	case s.hasIndex && strings.HasPrefix(v, "["):
		return element(v, s.index)
	}
	return "", false
}

// element returns an element of the array v.
func element(v string, index int64) (string, bool) {
	if index < 0 {
		if index += countElements(v); index < 0 {
			return "", false
		}
	}
	for c := enterJSON(v); c.more(); index-- {
		if e := c.value(); index == 0 {
			return e, e != ""
		}
	}
	return "", false
}

func countElements(v string) int64 {
	n := int64(0)
	for c := enterJSON(v); c.more(); n++ {
		c.value()
	}
	return n
}
