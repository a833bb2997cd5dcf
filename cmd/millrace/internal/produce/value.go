package produce

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"millrace/feature"
)

// canonical makes of a row's value what its declared type says: bool, int64,
// float64 (float32 for that kind), string, []byte, time.Time, lists of them, or
// for kind json the value as it is. Null stays nil.
func canonical(v any, t feature.Type, unit time.Duration, quoted bool) (any, error) {
	if v == nil {
		return nil, nil //nolint:nilnil // null is a value
	}
	if t.IsList() {
		return canonicalList(v, t, unit, quoted)
	}
	text, isText := v.(string)
	number, isNumber := v.(json.Number)
	if quoted && isText {
		number, isNumber = json.Number(text), true
	}
	switch t.Kind {
	case feature.KindBool:
		if b, ok := v.(bool); ok {
			return b, nil
		}
	case feature.KindInt32, feature.KindInt64:
		if isNumber {
			return integer(number.String(), t.Kind)
		}
	case feature.KindFloat32, feature.KindFloat64:
		if isNumber {
			return float(number.String(), t.Kind)
		}
	case feature.KindString:
		if isText {
			return text, nil
		}
	case feature.KindBytes:
		if b, err := base64.StdEncoding.DecodeString(text); isText && err == nil {
			return b, nil
		}
		return nil, errors.New("bytes are written as base64, with padding")
	case feature.KindTimestamp:
		return timestamp(v, unit)
	case feature.KindJSON:
		return v, nil
	case feature.KindInvalid:
	}
	return nil, misfit(v, t.String())
}

func canonicalList(v any, t feature.Type, unit time.Duration, quoted bool) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, misfit(v, t.String())
	}
	if t.Length != 0 && len(list) != int(t.Length) {
		return nil, fmt.Errorf("has %d elements, not %d", len(list), t.Length)
	}
	out := make([]any, len(list))
	for i, x := range list {
		var err error
		if out[i], err = canonical(x, t.Elem(), unit, quoted); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return out, nil
}

// misfit names what v is, never its content.
func misfit(v any, want string) error {
	what := "something else"
	switch v.(type) {
	case nil:
		what = "null"
	case bool:
		what = "a bool"
	case json.Number, int64, float64, float32:
		what = "a number"
	case string:
		what = "a string"
	case []byte:
		what = "bytes"
	case time.Time:
		what = "a timestamp"
	case []any:
		what = "a list"
	case map[string]any:
		what = "an object"
	}
	return fmt.Errorf("is %s, not %s", what, want)
}

const exact = 1 << 53 // up to here every whole float64 is one integer

// integer reads a whole number; an exponent may stand where it stays whole.
func integer(text string, kind feature.Kind) (any, error) {
	bits := 64
	if kind == feature.KindInt32 {
		bits = 32
	}
	n, err := strconv.ParseInt(text, 10, bits)
	if err == nil {
		return n, nil
	}
	if f, ferr := strconv.ParseFloat(text, 64); ferr == nil && strings.ContainsAny(text, "eE.") {
		if f == math.Trunc(f) && math.Abs(f) <= exact && (bits == 64 || f == float64(int32(f))) {
			return int64(f), nil
		}
	}
	if errors.Is(err, strconv.ErrRange) {
		return nil, fmt.Errorf("is a number beyond %s", kind)
	}
	return nil, fmt.Errorf("is not a whole number within %s", kind)
}

func float(text string, kind feature.Kind) (any, error) {
	bits := 64
	if kind == feature.KindFloat32 {
		bits = 32
	}
	f, err := strconv.ParseFloat(text, bits)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return nil, fmt.Errorf("is a number beyond %s", kind)
	case err != nil || math.IsNaN(f) || math.IsInf(f, 0):
		return nil, fmt.Errorf("is not a number of %s", kind)
	case bits == 32:
		return float32(f), nil
	}
	return f, nil
}

// timestamp reads RFC 3339 or, where the source has a unit, a count of it.
func timestamp(v any, unit time.Duration) (any, error) {
	switch x := v.(type) {
	case string:
		if t, err := time.Parse(time.RFC3339Nano, x); err == nil {
			return t.UTC(), nil
		}
		return nil, errors.New("is no RFC 3339 time such as 2026-01-02T03:04:05Z")
	case json.Number:
		if unit == 0 {
			return nil, errors.New("is a number, and the source gives no unit for it: write an RFC 3339 time")
		}
		n, err := strconv.ParseInt(x.String(), 10, 64)
		if err != nil {
			return nil, errors.New("is not a whole number of 64 bits")
		}
		per := int64(time.Second / unit)
		return time.Unix(n/per, n%per*int64(unit)).UTC(), nil
	}
	return nil, misfit(v, "a timestamp")
}

// count is the opposite: how many units have passed since the epoch.
func count(t time.Time, unit time.Duration) (int64, error) {
	switch unit {
	case time.Second:
		return t.Unix(), nil
	case time.Millisecond:
		return t.UnixMilli(), nil
	case time.Microsecond:
		return t.UnixMicro(), nil
	default:
	}
	n := t.UnixNano()
	if unit != time.Nanosecond || !time.Unix(0, n).Equal(t) {
		return 0, errors.New("is a time that its unit cannot count")
	}
	return n, nil
}

// text writes the whole key, or a header. Null is nil.
func text(f *feature.SourceField, v any) ([]byte, error) {
	v, err := canonical(v, f.Type, f.Unit, f.Quoted)
	if err != nil {
		return nil, &fieldError{f.Name, err}
	}
	if v == nil {
		return nil, nil
	}
	if f.Type == feature.Of(feature.KindJSON) {
		return json.Marshal(v) //nolint:wrapcheck // what was parsed can be written
	}
	switch x := v.(type) {
	case string:
		return []byte(x), nil
	case []byte:
		return x, nil
	case bool:
		return strconv.AppendBool(nil, x), nil
	case int64:
		return strconv.AppendInt(nil, x, 10), nil
	case float64:
		return strconv.AppendFloat(nil, x, 'g', -1, 64), nil
	case float32:
		return strconv.AppendFloat(nil, float64(x), 'g', -1, 32), nil
	case time.Time:
		if f.Unit == 0 {
			return x.AppendFormat(nil, time.RFC3339Nano), nil
		}
		n, err := count(x, f.Unit)
		if err != nil {
			return nil, &fieldError{f.Name, err}
		}
		return strconv.AppendInt(nil, n, 10), nil
	}
	return nil, &fieldError{f.Name, fmt.Errorf("is %s, which a key or header cannot be", f.Type)}
}
