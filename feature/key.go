package feature

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MaxKeyBytes bounds the text of an entity key.
const MaxKeyBytes = 4 << 10

// ErrKey is wrapped by every error of ParseKey.
var ErrKey = errors.New("entity key")

// AppendKey appends the entity key of one row: the join keys' values in order
// with '|' between them. Equal keys have equal text and different keys have
// different text (docs/format/key.md). Integers and timestamps (µs) are
// decimal, bools "true" or "false", bytes lower-case hex; in strings '|' and
// '\' are escaped by '\'. No join key may be null.
func AppendKey(dst []byte, keys []Column, row int) []byte {
	for i := range keys {
		if i > 0 {
			dst = append(dst, '|')
		}
		dst = appendKeyValue(dst, &keys[i], row)
	}
	return dst
}

func appendKeyValue(dst []byte, c *Column, row int) []byte {
	switch c.Type.Layout() {
	case LayoutBool:
		return strconv.AppendBool(dst, c.Bools[row])
	case LayoutInt:
		return strconv.AppendInt(dst, c.Ints[row], 10)
	case LayoutString:
		if c.Type.Kind == KindBytes {
			return hex.AppendEncode(dst, []byte(c.Strings[row]))
		}
		return appendEscaped(dst, c.Strings[row])
	case LayoutFloat, LayoutList, LayoutNone:
	}
	return dst
}

func appendEscaped(dst []byte, s string) []byte {
	for {
		i := strings.IndexAny(s, `|\`)
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(append(dst, s[:i]...), '\\', s[i])
		s = s[i+1:]
	}
}

// CanBeKey reports whether a join key may have type t.
func CanBeKey(t Type) bool {
	if t.IsList() {
		return false
	}
	switch t.Kind {
	case KindInt32, KindInt64, KindString, KindBool, KindTimestamp, KindBytes:
		return true
	case KindInvalid, KindFloat32, KindFloat64, KindJSON:
	}
	return false
}

// ParseKey reads text that AppendKey wrote into one new row of each of dst,
// whose types say how. On error nothing was added.
func ParseKey(text string, dst []Column) error {
	parts := splitKey(text)
	if len(parts) != len(dst) {
		return fmt.Errorf("%w: has %d parts, want %d", ErrKey, len(parts), len(dst))
	}
	for i, part := range parts {
		if err := parseKeyValue(part, &dst[i]); err != nil {
			for j := range i {
				dst[j].Truncate(dst[j].Len() - 1)
			}
			return fmt.Errorf("%w: part %d: %w", ErrKey, i+1, err)
		}
	}
	return nil
}

// splitKey cuts at unescaped bars, leaving escapes in place.
func splitKey(text string) []string {
	var parts []string
	start := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '|':
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	return append(parts, text[start:])
}

func parseKeyValue(part string, c *Column) error {
	switch c.Type.Kind {
	case KindBool:
		return parseKeyBool(part, c)
	case KindInt32, KindInt64, KindTimestamp:
		return parseKeyInt(part, c)
	case KindBytes:
		b, err := hex.DecodeString(part)
		if err != nil || strings.ToLower(part) != part {
			return errors.New("not lower-case hex")
		}
		c.SetString(c.AppendNull(), string(b))
		return nil
	case KindString:
		s, err := unescape(part)
		if err != nil {
			return err
		}
		c.SetString(c.AppendNull(), s)
		return nil
	case KindInvalid, KindFloat32, KindFloat64, KindJSON:
	}
	return fmt.Errorf("a join key cannot be %s", c.Type)
}

func parseKeyBool(part string, c *Column) error {
	if part != "true" && part != "false" {
		return errors.New("neither true nor false")
	}
	c.SetBool(c.AppendNull(), part == "true")
	return nil
}

func parseKeyInt(part string, c *Column) error {
	v, err := strconv.ParseInt(part, 10, 64)
	if err != nil || strconv.FormatInt(v, 10) != part {
		return errors.New("not a plain decimal integer")
	}
	if c.Type.Kind == KindInt32 && (v < math.MinInt32 || v > math.MaxInt32) {
		return errors.New("does not fit int32")
	}
	c.SetInt(c.AppendNull(), v)
	return nil
}

func unescape(s string) (string, error) {
	if !strings.ContainsRune(s, '\\') {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
			if i == len(s) || (s[i] != '|' && s[i] != '\\') {
				return "", errors.New("a backslash escapes neither a bar nor a backslash")
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), nil
}
