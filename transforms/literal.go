package transforms

import (
	"millrace/feature"
	"millrace/transforms/expr"
)

// ParseLiteral reads the text of a default value as a column of one row of
// type t.
func ParseLiteral(text string, t feature.Type) (*feature.Column, error) {
	return expr.ParseLiteral(text, t) //nolint:wrapcheck // says already what and why
}

// Normal prints an expression in one form, so that texts that differ in spaces
// or the case of keywords compare equal. Text that does not parse is returned
// as it is.
func Normal(text string) string {
	n, err := expr.Parse(text)
	if err != nil {
		return text
	}
	return n.String()
}

// Names returns what an expression mentions, columns and features, each once,
// in order of first mention. Text that does not parse mentions nothing.
func Names(text string) []string {
	n, err := expr.Parse(text)
	if err != nil {
		return nil
	}
	return expr.Names(n)
}
