package sources

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace/feature"
)

// Declared returns what src declares of want and the parts of its path in a
// record, or what is wrong with one of them.
func Declared(src *feature.Source, want feature.Field) (f feature.SourceField, path []string, err error) {
	f, ok := src.Field(want.Name)
	switch {
	case !ok:
		return f, nil, errors.New("is not declared")
	case f.Type != want.Type:
		return f, nil, fmt.Errorf("is declared %s, not %s", f.Type, want.Type)
	case want.Type.Layout() == feature.LayoutNone:
		return f, nil, errors.New("has no valid type")
	}
	switch f.Unit {
	case 0, time.Second, time.Millisecond, time.Microsecond, time.Nanosecond:
	default:
		return f, nil, fmt.Errorf("a timestamp cannot count units of %s", f.Unit)
	}
	path = []string{f.Name}
	if f.Path != "" {
		path = strings.Split(f.Path, ".")
	}
	if slices.Contains(path, "") {
		return f, nil, fmt.Errorf("path %q has an empty part", f.Path)
	}
	return f, path, nil
}
