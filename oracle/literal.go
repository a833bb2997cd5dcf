package main

import (
	"strconv"
	"strings"
	"time"

	"millrace/feature"
)

// literalOf is the text of an expression without columns that gives c's value.
func literalOf(c cell, t feature.Type) (string, bool) {
	if c.failed || t.Kind == feature.KindInvalid {
		return "", false
	}
	as := func(text string) (string, bool) { return "cast(" + text + " as " + t.String() + ")", true }
	switch v := c.value.(type) {
	case nil:
		return as("null")
	case bool:
		return strconv.FormatBool(v), true
	case int64:
		if t.Kind == feature.KindTimestamp {
			return "timestamp " + quoteText(time.UnixMicro(v).UTC().Format("2006-01-02 15:04:05.999999")), v > 0
		}
		return as(strconv.FormatInt(v, 10))
	case float64:
		return as("'" + strconv.FormatFloat(v, 'g', -1, 64) + "'")
	case string:
		return quoteText(v), t.Kind == feature.KindString && !strings.Contains(v, "\x00")
	}
	return "", false
}

func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
