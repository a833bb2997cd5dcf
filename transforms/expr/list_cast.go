package expr

import (
	"strings"

	"millrace/feature"
)

// castLists returns the kernel that casts between types of which one at least
// is a list; nil when there is no such cast. With try an element that cannot be
// cast is null.
func castLists(from, to feature.Type, try bool) *kernel {
	switch {
	case from.IsList() && to.IsList():
		if inner := castOf(from.Elem(), to.Elem(), try); inner != nil {
			return eachElement(inner)
		}
	case to == feature.Of(feature.KindString):
		return listToText(from)
	case to == feature.Of(feature.KindJSON):
		if try {
			return tryKernel(toJSON(from))
		}
		return toJSON(from)
	case from == feature.Of(feature.KindJSON):
		return fromJSON(new(jsonPath), to, try)
	}
	return nil
}

// castOf is castKernel of any types.
func castOf(from, to feature.Type, try bool) *kernel {
	if from.IsList() || to.IsList() {
		return castLists(from, to, try)
	}
	k := castKernel(from.Kind, to.Kind)
	if k != nil && try && len(k.why) > 0 {
		k = tryKernel(k)
	}
	return k
}

// eachElement runs a kernel of one operand, null where that is null, over the elements of all lists. A row
// fails when an element of its list does.
func eachElement(inner *kernel) *kernel {
	return &kernel{name: "each " + inner.name, why: inner.why, run: func(c *call) {
		if c.inner == nil {
			elements := []*register{new(register)}
			c.inner = &call{out: new(register), args: elements, nullable: elements, arena: c.arena, cause: c.cause}
		}
		sub, in, out := c.inner, c.args[0].col, c.out.col
		sub.n = in.Elems.Len()
		out.Elems.Resize(sub.n)
		sub.args[0].col, sub.out.col = in.Elems, out.Elems
		sub.out.failing = false
		sub.spread()
		inner.run(sub)
		for i, s := range c.spans(0) {
			if !c.valid(i) {
				continue
			}
			out.Spans[i] = s
			for e := int(s.Start); e < int(s.End) && sub.out.failing; e++ {
				if sub.out.failed.Get(e) {
					c.fail(i, int(sub.out.causes[e]-c.cause))
					break
				}
			}
		}
	}}
}

func listToText(from feature.Type) *kernel {
	return &kernel{name: "cast " + from.String() + " string", why: []string{textTooLong}, run: func(c *call) {
		in, out := c.args[0].col, c.out.col.Strings[:c.n]
		for i := range out {
			if !c.valid(i) {
				continue
			}
			text := appendListText(c.arena.Tail(32), in, i)
			if out[i] = c.arena.Keep(text); len(text) > maxMadeBytes {
				c.fail(i, 0)
			}
		}
	}}
}

// appendListText writes a list as DuckDB shows it: [1, NULL, 'a, b']. It stops
// soon after the text has become too long.
func appendListText(b []byte, c *feature.Column, row int) []byte {
	b = append(b, '[')
	s := c.Spans[row]
	for e := s.Start; e < s.End && len(b) <= maxMadeBytes; e++ {
		if e > s.Start {
			b = append(b, ", "...)
		}
		b = appendElementText(b, c.Elems, int(e))
	}
	return append(b, ']')
}

func appendElementText(b []byte, c *feature.Column, row int) []byte {
	switch {
	case c.IsNull(row):
		return append(b, "NULL"...)
	case c.Type.IsList():
		return appendListText(b, c, row)
	case c.Type.Kind == feature.KindString:
		return appendQuotedElement(b, c.Strings[row])
	case c.Type.Kind == feature.KindTimestamp: // has colons
		return append(appendTimestamp(append(b, '\''), c.Ints[row]), '\'')
	case c.Type.Kind == feature.KindBytes:
		escaped := appendEscaped(nil, c.Strings[row])
		return appendQuotedElement(b, string(escaped))
	}
	return appendScalar(b, c, row)
}

// appendQuotedElement quotes text that could be taken for something else.
func appendQuotedElement(b []byte, s string) []byte {
	plain := s != "" && !strings.EqualFold(s, "null") && !isSpaceByte(s[0]) && !isSpaceByte(s[len(s)-1]) && !strings.ContainsAny(s, `"'(),:=[]{}`)
	if plain {
		return append(b, s...)
	}
	b = append(b, '\'')
	for i := range len(s) {
		if s[i] == '\'' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '\'')
}

func isSpaceByte(ch byte) bool { return ch == ' ' || ch >= '\t' && ch <= '\r' }
