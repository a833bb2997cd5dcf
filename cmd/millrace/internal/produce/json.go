package produce

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"millrace/feature"
)

// jsonFormat writes JSON objects.
type jsonFormat struct{}

func (jsonFormat) leaf(_ []string, f *feature.SourceField, v any) (any, error) { return toJSON(f, v) }

func toJSON(f *feature.SourceField, v any) (any, error) {
	switch x := v.(type) {
	case []any:
		if f.Type.Kind == feature.KindJSON {
			return x, nil
		}
		out := make([]any, len(x))
		for i := range x {
			var err error
			if out[i], err = toJSON(f, x[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []byte:
		return base64.StdEncoding.EncodeToString(x), nil
	case int64:
		if f.Quoted {
			return strconv.FormatInt(x, 10), nil
		}
	case float64:
		if f.Quoted {
			return strconv.FormatFloat(x, 'g', -1, 64), nil
		}
	case float32:
		if f.Quoted {
			return strconv.FormatFloat(float64(x), 'g', -1, 32), nil
		}
	case time.Time:
		if f.Unit == 0 {
			return x.Format(time.RFC3339Nano), nil
		}
		return count(x, f.Unit)
	}
	return v, nil
}

func (j jsonFormat) element([]string) (format, error) { return j, nil }

func (jsonFormat) marshal(tree map[string]any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(tree); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
