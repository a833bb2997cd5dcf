package definition

import (
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// start returns where a node begins in its file, line and column from 1. A
// block mapping's own token is the colon behind its first key.
func start(n ast.Node) (line, column int) {
	switch m := n.(type) {
	case *ast.MappingValueNode:
		return start(m.Key)
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return start(m.Values[0].Key)
		}
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 0, 0
	}
	p := n.GetToken().Position
	return p.Line, max(p.Column, 1)
}

// place returns where byte offset of a scalar's value stands in the file. The
// value and the text differ by quotes, escapes and folded lines, so the two are
// walked side by side. Where they do not fit, the scalar's start is returned.
func (r *reader) place(n ast.Node, offset int) (line, column int) {
	line, column = start(n)
	if offset < 0 || line < 1 || !isScalar(n) {
		return line, column
	}
	c := newCursor(r.lines, line, column)
	if _, block := n.(*ast.LiteralNode); block {
		c.nextLine()
		c.skipBlank()
	} else if q := c.rune(); q == '"' || q == '\'' {
		c.quote = q
		c.step()
	}
	value := scalarText(n)
	for at, want := range value {
		if at >= offset {
			break
		}
		if !c.advance(want) {
			return line, column
		}
	}
	if c.rune() == endOfFile {
		return line, column
	}
	return c.line, c.column
}

const endOfFile = -1

// cursor walks the text of a scalar in its file.
type cursor struct {
	lines        []string
	line, column int    // from 1; the column counts characters
	left         string // of the line, from the column on
	quote        rune   // 0 for plain and block scalars
}

func newCursor(lines []string, line, column int) *cursor {
	c := &cursor{lines: lines, line: line - 1}
	c.nextLine()
	for range column - 1 {
		c.step()
	}
	return c
}

func (c *cursor) nextLine() {
	c.line, c.column, c.left = c.line+1, 1, ""
	if c.line <= len(c.lines) {
		c.left = c.lines[c.line-1]
	}
}

func (c *cursor) rune() rune {
	switch {
	case c.line > len(c.lines):
		return endOfFile
	case c.left == "":
		return '\n'
	default:
		r, _ := utf8.DecodeRuneInString(c.left)
		return r
	}
}

func (c *cursor) step() {
	if c.left == "" {
		c.nextLine()
		return
	}
	_, size := utf8.DecodeRuneInString(c.left)
	c.left = c.left[size:]
	c.column++
}

func (c *cursor) skipBlank() {
	for c.line <= len(c.lines) && strings.ContainsRune(" \t\n", c.rune()) {
		c.step()
	}
}

// advance moves past what stands for want, one character of the value. It
// reports whether that was there.
func (c *cursor) advance(want rune) bool {
	if c.quote == '"' && strings.HasPrefix(c.left, `\`) {
		return c.escape(want)
	}
	got := c.rune()
	switch {
	case want == ' ' || want == '\n':
		if strings.TrimSpace(c.left) == "" {
			c.skipBlank() // a folded line, its neighbour's indent included
		} else if got == ' ' {
			c.step()
		}
		return true
	case got != want:
		return false
	case c.quote == '\'' && got == '\'':
		c.step() // written twice
	}
	c.step()
	return true
}

// escape moves past a backslash and what belongs to it.
func (c *cursor) escape(want rune) bool {
	c.step()
	kind := c.rune()
	c.step()
	if kind == '\n' { // a line that goes on
		c.skipBlank()
		return c.advance(want)
	}
	for range map[rune]int{'x': 2, 'u': 4, 'U': 8}[kind] {
		c.step()
	}
	return true
}
