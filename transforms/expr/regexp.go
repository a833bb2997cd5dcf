package expr

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"millrace/feature"
)

// Regular expressions are RE2's, which Go's package shares with DuckDB: matching
// takes time linear in the text. Patterns are constants, so that they are
// compiled once, and their faults are found, when the expression is checked.

const (
	maxRegexpSteps = 10_000 // of the compiled pattern, so that each character costs at most this
	maxRegexpGroup = 9      // as in DuckDB
)

// pattern compiles the pattern of call n, its second operand. It is nil with ok
// set when the pattern is null.
func (c *checker) pattern(n *Node, args []*Expr) (_ *regexp.Regexp, ok bool) {
	at := n.args[1]
	p := c.want(at, args[1], feature.Of(feature.KindString), "the pattern of "+n.text)
	if p == nil {
		return nil, false
	}
	value := constantValue(p)
	switch {
	case value == nil:
		c.fail(at, "write it in quotes; for parts of text there are contains, starts_with, strpos and like", "the pattern of %s is not a constant", n.text)
		return nil, false
	case value.IsNull(0):
		return nil, true
	}
	text := value.Strings[0]
	re, err := regexp.Compile(text)
	if err != nil {
		c.badPattern(at, text, err)
		return nil, false
	}
	return re, c.allowed(at, text, re)
}

// badPattern points at the faulty part of a pattern that is written out.
func (c *checker) badPattern(at *Node, text string, err error) {
	var fault *syntax.Error
	if !errors.As(err, &fault) {
		c.fail(at, "", "the pattern is not a regular expression: %v", err)
		return
	}
	place := *at
	if i := strings.Index(text, fault.Expr); at.kind == nodeString && i >= 0 && fault.Expr != "" && at.end-at.off == len(text)+len("''") {
		place.off = at.off + len("'") + i
		place.end = place.off + len(fault.Expr)
	}
	hint := ""
	if fault.Code == syntax.ErrInvalidPerlOp || fault.Code == syntax.ErrInvalidEscape {
		hint = "patterns are RE2's: no look-around and no back-references"
	}
	c.fail(&place, hint, "the pattern is not a regular expression: %s: %s", fault.Code, fault.Expr)
}

// allowed refuses patterns that cost too much, and the one form that Go reads
// and DuckDB does not.
func (c *checker) allowed(at *Node, text string, re *regexp.Regexp) bool {
	for _, name := range re.SubexpNames() {
		if name != "" && !strings.Contains(text, "(?P<"+name+">") {
			c.fail(at, "write (?P<"+name+">…)", "the pattern is not a regular expression: (?<%s>", name)
			return false
		}
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return true // it compiled
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(program.Inst) <= maxRegexpSteps {
		return true
	}
	c.fail(at, "use smaller repetitions", "the pattern compiles to %d steps, at most %d are allowed", len(program.Inst), maxRegexpSteps)
	return false
}

func (c *checker) regexpMatches(n *Node, args []*Expr) *Expr {
	if len(args) != 2 {
		return c.fail(n, "write regexp_matches(text, 'pattern')", "regexp_matches takes a text and a pattern")
	}
	text := c.want(n.args[0], args[0], feature.Of(feature.KindString), "the text of regexp_matches")
	re, ok := c.pattern(n, args)
	switch {
	case text == nil || !ok:
		return nil
	case re == nil:
		return nullOf(feature.Of(feature.KindBool))
	}
	return apply(&kernel{name: "regexp_matches " + strconv.Quote(re.String()), run: func(c *call) {
		out, in := c.out.col.Bools[:c.n], c.strings(0)
		for i := range out {
			if c.valid(i) {
				out[i] = re.MatchString(in[i])
			}
		}
	}}, feature.Of(feature.KindBool), n, text)
}

func (c *checker) regexpExtract(n *Node, args []*Expr) *Expr {
	if len(args) != 2 && len(args) != 3 {
		return c.fail(n, "write regexp_extract(text, 'pattern', 1)", "regexp_extract takes a text, a pattern and a group")
	}
	str := feature.Of(feature.KindString)
	text := c.want(n.args[0], args[0], str, "the text of regexp_extract")
	re, ok := c.pattern(n, args)
	group := int64(0)
	if len(args) == 3 {
		var known bool
		if group, known = c.constantInt(n.args[2], args[2], "the group of regexp_extract", 0, maxRegexpGroup); !known {
			return nil
		}
	}
	switch {
	case text == nil || !ok:
		return nil
	case re == nil:
		return nullOf(str)
	}
	name := "regexp_extract " + strconv.FormatInt(group, 10) + " " + strconv.Quote(re.String())
	return apply(textTo(name, func(_ *call, s string) string { return extract(re, s, int(group)) }), str, n, text)
}

// extract returns what a group matched, "" where nothing did. Groups other than
// the whole match cost an allocation, since the package has no form without.
func extract(re *regexp.Regexp, s string, group int) string {
	if group == 0 {
		return re.FindString(s)
	}
	if group > re.NumSubexp() {
		return ""
	}
	if at := re.FindStringSubmatchIndex(s); at != nil && at[2*group] >= 0 {
		return s[at[2*group]:at[2*group+1]]
	}
	return ""
}

// constantInt reads an operand that must be a constant whole number in a range.
func (c *checker) constantInt(n *Node, e *Expr, whose string, least, most int64) (int64, bool) {
	if e = c.want(n, e, feature.Of(feature.KindInt64), whose); e == nil {
		return 0, false
	}
	v := constantValue(e)
	if v == nil || v.IsNull(0) || v.Ints[0] < least || v.Ints[0] > most {
		c.fail(n, "", "%s must be a constant from %d to %d", whose, least, most)
		return 0, false
	}
	return v.Ints[0], true
}
