package produce

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"millrace/feature"
)

// fill puts the values of row at their paths, below the names of above.
func fill(to format, fields []feature.SourceField, row map[string]any, above []string) (map[string]any, error) {
	tree := make(map[string]any)
	return tree, fillInto(tree, to, fields, row, above)
}

func fillInto(tree map[string]any, to format, fields []feature.SourceField, row map[string]any, above []string) error {
	_, arrays := to.(jsonFormat)
	for i := range fields {
		f := &fields[i]
		v, there := row[f.Name]
		path := append(slices.Clip(above), pathOf(f)...)
		if !there || v == nil && len(path) > 1 { // absent and null are the same, on every step of a path
			continue
		}
		v, err := value(to, path, f, v)
		if err == nil {
			_, err = put(tree, path, v, arrays)
		}
		if err != nil {
			return &fieldError{f.Name, err}
		}
	}
	return nil
}

func value(to format, path []string, f *feature.SourceField, v any) (any, error) {
	if len(f.Of) > 0 && v != nil {
		return elements(to, path, f, v)
	}
	v, err := canonical(v, f.Type, f.Unit, f.Quoted)
	if err != nil {
		return nil, err
	}
	return to.leaf(path, f, v)
}

// elements writes a list of records, whose members are element fields.
func elements(to format, path []string, f *feature.SourceField, v any) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, misfit(v, "a list of objects")
	}
	inner, err := to.element(path)
	if err != nil {
		return nil, err
	}
	fields := slices.Clone(f.Of)
	outerFirst(fields)
	out := make([]any, len(list))
	for i, x := range list {
		if x == nil {
			continue
		}
		row, ok := x.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("element %d: %w", i, misfit(x, "an object"))
		}
		if err := known(row, fields); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		if out[i], err = fill(inner, fields, row, nil); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return out, nil
}

// maxIndex is the greatest index that a path may have.
const maxIndex = 9999

// put sets what stands at path below at, and returns it with that.
func put(at any, path []string, v any, arrays bool) (any, error) {
	if len(path) == 0 {
		return v, nil
	}
	list, isList := at.([]any)
	if i, err := strconv.Atoi(path[0]); arrays && err == nil && i >= 0 && i <= maxIndex && strconv.Itoa(i) == path[0] && (at == nil || isList) {
		for len(list) <= i {
			list = append(list, nil)
		}
		list[i], err = put(list[i], path[1:], v, arrays)
		return list, err
	}
	m, isMap := at.(map[string]any)
	switch {
	case at == nil:
		m = make(map[string]any)
	case !isMap:
		return nil, errors.New("its path leads through a value of another field")
	}
	var err error
	m[path[0]], err = put(m[path[0]], path[1:], v, arrays)
	return m, err
}
