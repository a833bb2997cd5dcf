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
