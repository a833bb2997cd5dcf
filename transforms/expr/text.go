package expr

import (
	"crypto/md5" //nolint:gosec // md5 is a function of the language, not a defence
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// textTo maps text to text; what f returns lives in its operand or the arena.
func textTo(name string, f func(c *call, s string) string) *kernel {
	return &kernel{name: name, run: func(c *call) {
		out, in := c.out.col.Strings[:c.n], c.strings(0)
		for i := range out {
			if c.valid(i) {
				out[i] = f(c, in[i])
			}
		}
	}}
}

func textPairTo(name string, f func(c *call, s, t string) string) *kernel {
	return &kernel{name: name, run: func(c *call) {
		out, a, b := c.out.col.Strings[:c.n], c.strings(0), c.strings(1)
		for i := range out {
			if c.valid(i) {
				out[i] = f(c, a[i], b[i])
			}
		}
	}}
}

func textPairToBool(name string, f func(s, t string) bool) *kernel {
	return &kernel{name: name, run: func(c *call) {
		out, a, b := c.out.col.Bools[:c.n], c.strings(0), c.strings(1)
		for i := range out {
			if c.valid(i) {
				out[i] = f(a[i], b[i])
			}
		}
	}}
}

var (
	kernelLength = &kernel{name: "length", run: func(c *call) {
		for i, s := range c.strings(0) {
			if c.valid(i) {
				c.out.col.Ints[i] = int64(utf8.RuneCountInString(s))
			}
		}
	}}
	kernelPosition = &kernel{name: "strpos", run: func(c *call) {
		a, b := c.strings(0), c.strings(1)
		for i := range a {
			if c.valid(i) {
				c.out.col.Ints[i] = position(a[i], b[i])
			}
		}
	}}
	kernelReplace = &kernel{name: "replace", why: []string{textTooLong}, run: func(c *call) {
		s, from, to := c.strings(0), c.strings(1), c.strings(2)
		for i := range s {
			if c.valid(i) {
				text, ok := replaceAll(c, s[i], from[i], to[i])
				c.out.col.Strings[i] = text
				if !ok {
					c.fail(i, 0)
				}
			}
		}
	}}
	kernelSubstring = &kernel{name: "substring", why: []string{"offset or length out of range"}, run: runSubstring}
	kernelSplitPart = &kernel{name: "split_part", run: func(c *call) {
		s, sep, n := c.strings(0), c.strings(1), c.ints(2)
		for i := range s {
			if c.valid(i) {
				c.out.col.Strings[i] = splitPart(s[i], sep[i], n[i])
			}
		}
	}}
	kernelJoin = &kernel{name: "||", why: []string{textTooLong}, run: func(c *call) {
		out, a, b := c.out.col.Strings[:c.n], c.strings(0), c.strings(1)
		for i := range out {
			switch {
			case !c.valid(i):
			case len(a[i])+len(b[i]) > maxMadeBytes:
				c.fail(i, 0)
			default:
				out[i] = c.glue(a[i], b[i])
			}
		}
	}}
	kernelConcat   = &kernel{name: "concat", nulls: nullsOwn, why: []string{textTooLong}, run: func(c *call) { joinRows(c, nil, c.args) }}
	kernelConcatWS = &kernel{name: "concat_ws", nulls: nullsOwn, why: []string{textTooLong}, run: func(c *call) { joinRows(c, c.args[0], c.args[1:]) }}
)

// maxMadeBytes bounds the texts that functions make longer than their operands,
// so that features that double one another's texts fail instead of the process.
const (
	maxMadeBytes = 16 << 20
	textTooLong  = "text longer than 16 MiB"
)

func (c *call) glue(s, t string) string {
	if s == "" {
		return t
	}
	if t == "" {
		return s
	}
	return c.arena.Keep(append(append(c.arena.Tail(len(s)+len(t)), s...), t...))
}

// joinRows joins what is not null, with the separator between; a null separator
// makes null.
func joinRows(c *call, separator *register, parts []*register) {
	out := c.out.col
	out.Valid.Fill(c.n)
	if separator != nil {
		copy(out.Valid, separator.col.Valid)
	}
	c.spreadFailures()
	for row := range c.n {
		if !c.valid(row) {
			continue
		}
		between := ""
		if separator != nil {
			between = separator.col.Strings[row]
		}
		text, ok := c.joinRow(row, between, parts)
		out.Strings[row] = text
		if !ok {
			c.fail(row, 0)
		}
	}
}

// joinRow reports false when the result would be too long.
func (c *call) joinRow(row int, between string, parts []*register) (string, bool) {
	size := -len(between)
	for _, p := range parts {
		if p.col.Valid.Get(row) {
			size += len(p.col.Strings[row]) + len(between)
		}
	}
	size = max(size, 0)
	if size > maxMadeBytes {
		return "", false
	}
	text, first := c.arena.Tail(size), true
	for _, p := range parts {
		if !p.col.Valid.Get(row) {
			continue
		}
		if !first {
			text = append(text, between...)
		}
		text, first = append(text, p.col.Strings[row]...), false
	}
	return c.arena.Keep(text), true
}

// mapRunes applies f to every character; text that stays as it is shared.
func (c *call) mapRunes(s string, f func(rune) rune) string {
	for i, r := range s {
		if f(r) != r {
			text := append(c.arena.Tail(len(s)+utf8.UTFMax), s[:i]...)
			for _, r := range s[i:] {
				text = utf8.AppendRune(text, f(r))
			}
			return c.arena.Keep(text)
		}
	}
	return s
}

func lower(c *call, s string) string { return c.mapCase(s, 'A', unicode.ToLower) }
func upper(c *call, s string) string { return c.mapCase(s, 'a', toUpper) }

// mapCase turns the other case of the 26 letters from first on, and of other
// scripts' letters by f.
func (c *call) mapCase(s string, first byte, f func(rune) rune) string {
	at := 0
	for ; at < len(s) && s[at]-first >= 26; at++ {
		if s[at] >= utf8.RuneSelf {
			return c.mapRunes(s, f)
		}
	}
	if at == len(s) {
		return s
	}
	text := append(c.arena.Tail(len(s)), s...)
	for i := at; i < len(text); i++ {
		if text[i] >= utf8.RuneSelf {
			return c.mapRunes(s, f)
		}
		if text[i]-first < 26 {
			text[i] ^= 'a' - 'A'
		}
	}
	return c.arena.Keep(text)
}

// toUpper maps as DuckDB does, which capitalises the sharp s to one letter.
func toUpper(r rune) rune {
	if r == 'ß' {
		return 'ẞ'
	}
	return unicode.ToUpper(r)
}

func isBlank(r rune) bool { return r == ' ' || r >= utf8.RuneSelf && unicode.Is(unicode.Zs, r) }

func trimBlank(_ *call, s string) string      { return strings.TrimFunc(s, isBlank) }
func trimLeftBlank(_ *call, s string) string  { return strings.TrimLeftFunc(s, isBlank) }
func trimRightBlank(_ *call, s string) string { return strings.TrimRightFunc(s, isBlank) }

func trimSet(_ *call, s, set string) string {
	return trimLeftSet(nil, trimRightSet(nil, s, set), set)
}

func trimLeftSet(_ *call, s, set string) string {
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		if !strings.ContainsRune(set, r) {
			break
		}
		s = s[size:]
	}
	return s
}

func trimRightSet(_ *call, s, set string) string {
	for s != "" {
		r, size := utf8.DecodeLastRuneInString(s)
		if !strings.ContainsRune(set, r) {
			break
		}
		s = s[:len(s)-size]
	}
	return s
}

func position(s, part string) int64 {
	before, _, ok := strings.Cut(s, part)
	if !ok {
		return 0
	}
	return int64(utf8.RuneCountInString(before)) + 1
}

// replaceAll reports false when the result would be too long.
func replaceAll(c *call, s, from, to string) (string, bool) {
	n := 0
	if from != "" {
		n = strings.Count(s, from)
	}
	if n == 0 {
		return s, true
	}
	size := len(s) + n*(len(to)-len(from))
	if size > maxMadeBytes {
		return "", false
	}
	text := c.arena.Tail(size)
	for {
		at := strings.Index(s, from)
		if at < 0 {
			return c.arena.Keep(append(text, s...)), true
		}
		text = append(append(text, s[:at]...), to...)
		s = s[at+len(from):]
	}
}

const (
	substringLeast = -(1 << 32)
	substringMost  = 1<<32 - 1
)

func runSubstring(c *call) {
	s, from := c.strings(0), c.ints(1)
	for i := range s {
		if !c.valid(i) {
			continue
		}
		length := int64(substringMost)
		if len(c.args) == 3 {
			length = c.ints(2)[i]
		}
		if min(from[i], length) < substringLeast || max(from[i], length) > substringMost {
			c.fail(i, 0)
			continue
		}
		c.out.col.Strings[i] = substring(s[i], from[i], length)
	}
}

// substring counts characters from 1, or from the end when from is negative; a
// negative length takes what stands before.
func substring(s string, from, length int64) string {
	size := int64(utf8.RuneCountInString(s))
	start := from - 1
	if from < 0 {
		start = size + from
	}
	end := start + length
	if length < 0 {
		start, end = end, start
	}
	start, end = min(max(start, 0), size), min(max(end, 0), size)
	if start >= end {
		return ""
	}
	if size == int64(len(s)) {
		return s[start:end]
	}
	first := runeOffset(s, start)
	return s[first : first+runeOffset(s[first:], end-start)]
}

// runeOffset returns where the n-th character of s begins.
func runeOffset(s string, n int64) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}

// splitPart returns the n-th part from 1, or from the end when n is negative. An
// empty separator splits into characters.
func splitPart(s, separator string, n int64) string {
	count := int64(0)
	for rest, more := s, s != ""; more; count++ {
		_, rest, more = cutPart(rest, separator)
	}
	if n < 0 {
		n = count + n + 1
	}
	if n < 1 || n > count {
		return ""
	}
	part := ""
	for rest := s; n > 0; n-- {
		part, rest, _ = cutPart(rest, separator)
	}
	return part
}

func cutPart(s, separator string) (part, rest string, more bool) {
	if separator != "" {
		return strings.Cut(s, separator)
	}
	_, size := utf8.DecodeRuneInString(s)
	return s[:size], s[size:], size < len(s)
}

func md5Hex(c *call, s string) string {
	sum := md5.Sum(unsafe.Slice(unsafe.StringData(s), len(s))) //nolint:gosec // see the import
	return c.arena.Keep(hex.AppendEncode(c.arena.Tail(2*md5.Size), sum[:]))
}

func like(s, pattern string) bool  { return matches(s, pattern, false) }
func ilike(s, pattern string) bool { return matches(s, pattern, true) }

// matches is SQL's like: % is any text, _ any character. When the text after a
// % does not fit, the % takes one character more and the rest starts over; the
// last % alone needs this, so the work is at most len(s) times len(pattern).
func matches(s, pattern string, fold bool) bool {
	retryText, retryPattern := "", ""
	retry := false
	for {
		if pattern != "" && pattern[0] == '%' {
			pattern = pattern[1:]
			retry, retryText, retryPattern = true, s, pattern
			continue
		}
		if s == "" && pattern == "" {
			return true
		}
		if s != "" && pattern != "" {
			r, n := utf8.DecodeRuneInString(s)
			p, m := utf8.DecodeRuneInString(pattern)
			if p == '_' || r == p || fold && unicode.ToLower(r) == unicode.ToLower(p) {
				s, pattern = s[n:], pattern[m:]
				continue
			}
		}
		if !retry || retryText == "" {
			return false
		}
		_, n := utf8.DecodeRuneInString(retryText)
		retryText = retryText[n:]
		s, pattern = retryText, retryPattern
	}
}

func hasPrefix(s, part string) bool    { return strings.HasPrefix(s, part) }
func hasSuffix(s, part string) bool    { return strings.HasSuffix(s, part) }
func containsText(s, part string) bool { return strings.Contains(s, part) }

var (
	kernelLike  = textPairToBool("like", like)
	kernelILike = textPairToBool("ilike", ilike)
)
