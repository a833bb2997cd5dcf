package expr

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"millrace/feature"
)

type exprKind uint8

const (
	exprColumn exprKind = iota
	exprEventTime
	exprNow
	exprConst
	exprApply
)

// Expr is a typed expression, a node of a graph without cycles. It is immutable
// and may be shared, by other expressions and by goroutines.
type Expr struct {
	kind     exprKind
	typ      feature.Type
	slot     int             // of a column
	name     string          // of a column
	value    *feature.Column // of a constant, one row
	kernel   *kernel         // of an application
	set      *constSet       // what an `in` with constants looks for
	interval *interval       // of an expression that is an interval, which is nothing else
	args     []*Expr
	at       *Node // what was written, for failures; nil for leaves and made-up nodes
}

// Type returns the type of e's values. A bare null has the zero Type.
func (e *Expr) Type() feature.Type { return e.typ }

// Column returns the leaf that reads Input.Columns[slot]. Two leaves of one
// slot are the same column.
func Column(slot int, name string, t feature.Type) *Expr {
	return &Expr{kind: exprColumn, slot: slot, name: name, typ: t}
}

// EventTime returns the leaf that reads Input.EventMicros.
func EventTime() *Expr {
	return &Expr{kind: exprEventTime, typ: feature.Of(feature.KindTimestamp)}
}

// Now returns the leaf that reads Input.NowMicros.
func Now() *Expr { return &Expr{kind: exprNow, typ: feature.Of(feature.KindTimestamp)} }

// Literal returns the constant that row 0 of c holds. c is copied; the strings
// in it must live as long as the expression. A column without rows is null.
func Literal(c *feature.Column) *Expr {
	one := new(feature.Column)
	one.Reset(c.Type)
	one.Resize(1)
	if c.Len() > 0 {
		one.CopyRow(0, c, 0)
	}
	return &Expr{kind: exprConst, typ: c.Type, value: one}
}

// Cast returns e converted to t, e itself when it has that type already, and
// nil when there is no such conversion.
func Cast(e *Expr, t feature.Type) *Expr { return cast(e, t, false, nil) }

// untyped reports whether e is a null that takes the type of its surroundings.
func (e *Expr) untyped() bool { return e.typ == feature.Type{} }

func (e *Expr) is(k feature.Kind) bool { return e.typ == feature.Of(k) }

func apply(k *kernel, t feature.Type, at *Node, args ...*Expr) *Expr {
	return &Expr{kind: exprApply, typ: t, kernel: k, args: args, at: at}
}

func constant(t feature.Type, set func(c *feature.Column)) *Expr {
	c := new(feature.Column)
	c.Reset(t)
	c.Resize(1)
	set(c)
	return &Expr{kind: exprConst, typ: t, value: c}
}

func nullOf(t feature.Type) *Expr { return constant(t, func(*feature.Column) {}) }

func constBool(v bool) *Expr {
	return constant(feature.Of(feature.KindBool), func(c *feature.Column) { c.SetBool(0, v) })
}

func constInt(k feature.Kind, v int64) *Expr {
	return constant(feature.Of(k), func(c *feature.Column) { c.SetInt(0, v) })
}

func constFloat(v float64) *Expr {
	return constant(feature.Of(feature.KindFloat64), func(c *feature.Column) { c.SetFloat(0, v) })
}

func constString(v string) *Expr {
	return constant(feature.Of(feature.KindString), func(c *feature.Column) { c.SetString(0, v) })
}

// widenCost says how far t is from u on the way that values widen without being
// asked: int32 -> int64 -> float64 and float32 -> float64, and, last of all,
// integers -> float32, which is what DuckDB does for int64 + float32.
func widenCost(t, u feature.Type) (int, bool) {
	switch {
	case t == u:
		return 0, true
	case t.Kind == feature.KindInvalid: // null, and lists of it such as []
		return 1, t.Depth == 0 || t.Depth <= u.Depth && u.Length == 0
	case t.IsList() && u.IsList() && u.Length == 0:
		return widenCost(t.Elem(), u.Elem())
	case t.IsList() || u.IsList():
		return 0, false
	}
	type pair struct{ from, to feature.Kind }
	cost, ok := map[pair]int{
		{feature.KindInt32, feature.KindInt64}:     1,
		{feature.KindInt32, feature.KindFloat64}:   2,
		{feature.KindInt32, feature.KindFloat32}:   3,
		{feature.KindInt64, feature.KindFloat64}:   1,
		{feature.KindInt64, feature.KindFloat32}:   2,
		{feature.KindFloat32, feature.KindFloat64}: 1,
	}[pair{t.Kind, u.Kind}]
	return cost, ok
}

// common returns the narrowest type that both widen to.
func common(t, u feature.Type) (feature.Type, bool) {
	if _, ok := widenCost(t, u); ok {
		return u, true
	}
	if _, ok := widenCost(u, t); ok {
		return t, true
	}
	if t.IsList() && u.IsList() {
		elem, ok := common(t.Elem(), u.Elem())
		return feature.ListOf(elem), ok
	}
	return feature.Type{}, false
}

func isNumeric(t feature.Type) bool {
	switch t.Kind {
	case feature.KindInt32, feature.KindInt64, feature.KindFloat32, feature.KindFloat64:
		return !t.IsList()
	case feature.KindInvalid, feature.KindBool, feature.KindString, feature.KindBytes, feature.KindTimestamp, feature.KindJSON:
	}
	return false
}

// ParseLiteral reads the text of a default value as a column of type t with one
// row: "true", a number, text, a time in RFC 3339, bytes in base64, JSON, or a
// list "[a, b]". null is null. The text is trimmed unless t is string.
func ParseLiteral(text string, t feature.Type) (*feature.Column, error) {
	c := new(feature.Column)
	c.Reset(t)
	if err := appendLiteral(c, text); err != nil {
		return nil, fmt.Errorf("attempted to read a %s: %w", t, err)
	}
	return c, nil
}

func appendLiteral(c *feature.Column, text string) error {
	trimmed := strings.TrimSpace(text)
	if trimmed == "null" {
		c.AppendNull()
		return nil
	}
	if c.Type.IsList() {
		return appendLiteralList(c, trimmed)
	}
	switch c.Type.Kind {
	case feature.KindString:
		c.SetString(c.AppendNull(), text)
	case feature.KindBool:
		if trimmed != "true" && trimmed != "false" {
			return fmt.Errorf("%q is neither true nor false", trimmed)
		}
		c.SetBool(c.AppendNull(), trimmed == "true")
	case feature.KindInt32, feature.KindInt64:
		v, err := strconv.ParseInt(trimmed, 10, map[feature.Kind]int{feature.KindInt32: 32, feature.KindInt64: 64}[c.Type.Kind])
		if err != nil {
			return fmt.Errorf("%q is not a whole number of that size", trimmed)
		}
		c.SetInt(c.AppendNull(), v)
	case feature.KindFloat32, feature.KindFloat64:
		return appendLiteralFloat(c, trimmed)
	case feature.KindTimestamp:
		v, ok := parseTimestamp(trimmed)
		if !ok {
			return fmt.Errorf("%q is not a time such as 2024-05-01T12:00:00Z", trimmed)
		}
		c.SetInt(c.AppendNull(), v)
	case feature.KindBytes:
		b, err := base64.StdEncoding.DecodeString(trimmed)
		if err != nil {
			return fmt.Errorf("not base64: %w", err)
		}
		c.SetString(c.AppendNull(), string(b))
	case feature.KindJSON:
		if !json.Valid([]byte(trimmed)) {
			return fmt.Errorf("%q is not JSON", trimmed)
		}
		c.SetString(c.AppendNull(), trimmed)
	case feature.KindInvalid:
		return errors.New("values have no type")
	}
	return nil
}

func appendLiteralFloat(c *feature.Column, text string) error {
	v, ok := parseFloat(text)
	if !ok {
		return fmt.Errorf("%q is not a number", text)
	}
	if c.Type.Kind == feature.KindFloat32 {
		narrow := float64(float32(v))
		if math.IsInf(narrow, 0) && !math.IsInf(v, 0) {
			return fmt.Errorf("%q does not fit", text)
		}
		v = narrow
	}
	c.SetFloat(c.AppendNull(), v)
	return nil
}

func appendLiteralList(c *feature.Column, text string) error {
	inner, open := strings.CutPrefix(text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if !open || !closed {
		return fmt.Errorf("%q is not a list such as [a, b]", text)
	}
	start := c.Elems.Len()
	if strings.TrimSpace(inner) != "" {
		for _, element := range splitElements(inner) {
			if err := appendLiteral(c.Elems, element); err != nil {
				return fmt.Errorf("element %d: %w", c.Elems.Len()-start, err)
			}
		}
	}
	if n := c.Elems.Len() - start; c.Type.Length > 0 && n != int(c.Type.Length) {
		return fmt.Errorf("the list has %d elements, not %d", n, c.Type.Length)
	}
	c.SetList(c.AppendNull(), start)
	return nil
}

// splitElements cuts at commas outside brackets, braces and quotes. Elements in
// quotes lose them; others lose the space around them.
func splitElements(s string) []string {
	var all []string
	depth, start := 0, 0
	var quote byte
	for i := range len(s) {
		switch ch := s[i]; {
		case quote != 0:
			if ch == quote && s[i-1] != '\\' {
				quote = 0
			}
		case ch == '"' || ch == '\'':
			quote = ch
		case ch == '[' || ch == '{':
			depth++
		case ch == ']' || ch == '}':
			depth--
		case ch == ',' && depth == 0:
			all = append(all, unquote(s[start:i]))
			start = i + 1
		}
	}
	return append(all, unquote(s[start:]))
}

func unquote(s string) string {
	s = strings.TrimSpace(s)
	if n := len(s); n >= 2 && s[0] == '\'' && s[n-1] == '\'' {
		return s[1 : n-1]
	}
	if text, err := strconv.Unquote(s); err == nil && s[0] == '"' {
		return text
	}
	return s
}
