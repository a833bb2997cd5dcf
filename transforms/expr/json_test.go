package expr

import (
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"millrace/feature"
)

// FuzzJSON holds the walk through the text to encoding/json: what is found and
// what is written mean the same, and text that is no JSON does no harm.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"a": [1, {"b": null}], "\u0061": 2}`, ` [1.50, -0, 1e21, "x\n\u00e9", [], {}] `, `"\ud83d\ude00"`, `{"":{"":0}}`, `1e999`,
		`{"a":`, `[1 2]`, `{"a" "b"}`, `"`, `[[[[`, `\`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := &call{arena: new(feature.Arena)}
		whole := trimJSON(text)
		small := c.minified(whole)
		for _, path := range []string{"a", "$.a[0]", "/a/b", "/0", "$[-1]", "$[0].a"} {
			steps, wrong := parsePath(path)
			if wrong != "" {
				t.Fatalf("path %s: %s", path, wrong)
			}
			if v, ok := follow(text, steps); ok {
				c.minified(v)
			}
		}
		if !validJSON(text) || !utf8.ValidString(text) {
			return
		}
		var tree, again any
		if json.Unmarshal([]byte(text), &tree) != nil {
			return // numbers beyond float64
		}
		if err := json.Unmarshal([]byte(small), &again); err != nil || !reflect.DeepEqual(tree, again) {
			t.Fatalf("%q is written as %q: %v", text, small, err)
		}
		checkElements(t, whole, tree)
	})
}

// checkElements looks for every element of the array v, and every member of the
// object, that encoding/json found.
func checkElements(t *testing.T, v string, tree any) {
	check := func(step jsonStep, want any) {
		part, ok := follow(v, []jsonStep{step})
		var got any
		if err := json.Unmarshal([]byte(part), &got); !ok || err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v in %q is %q, %v", step, v, part, ok)
		}
		checkElements(t, part, want)
	}
	switch tree := tree.(type) {
	case []any:
		if n := countElements(v); n != int64(len(tree)) {
			t.Fatalf("%q has %d elements, counted %d", v, len(tree), n)
		}
		for i, e := range tree {
			check(jsonStep{hasIndex: true, index: int64(i)}, e)
			check(jsonStep{hasIndex: true, index: int64(i - len(tree))}, e)
		}
	case map[string]any:
		seen := make(map[string]bool)
		for c := enterJSON(v); c.more(); {
			key := string(appendUnquoted(nil, c.key()))
			if c.value(); seen[key] {
				return // of equal names we take the first, encoding/json the last
			}
			seen[key] = true
		}
		for key, e := range tree {
			check(jsonStep{hasKey: true, key: key}, e)
		}
	}
}
