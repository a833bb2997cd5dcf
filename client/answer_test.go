package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestMalformedAnswers(t *testing.T) {
	for _, body := range []string{
		"", " ", "null", "[]", "1", `"x"`, "{}", `{"rows":[]`, `{"features":["a"]}`, `{"features":[],"rows":null}`, `{"features":[],"rows":{}}`,
		`{"features":{},"rows":[]}`, `{"features":[1],"rows":[]}`, `{"features":[],"rows":[null]}`, `{"features":[],"rows":[1]}`,
		`{"features":["a"],"rows":[{}]}`, `{"features":["a"],"rows":[{"values":[]}]}`, `{"features":["a"],"rows":[{"values":[1,2]}]}`,
		`{"features":["a"],"rows":[{"values":{}}]}`, `{"features":["a"],"rows":[{"values":[1],"entity":[]}]}`,
		`{"features":["a"],"rows":[{"values":[1],"status":[1]}]}`, `{"features":["a"],"rows":[{"values":[1],"status":[]}]}`,
		`{"features":["a"],"rows":[{"values":[1],"status":null}]}`, `{"features":["a"],"rows":[{"values":[1],"age_ms":[1.5]}]}`,
		`{"features":["a"],"rows":[{"values":[1],"age_ms":["1"]}]}`, `{"features":["a"],"rows":[{"values":[1],"event_time":["noon"]}]}`,
		`{"features":["a"],"rows":[{"values":[1],"event_time":[1]}]}`, `{"features":["a"],"rows":[{"values":[1],"origin":[{}]}]}`,
		`{"features":["a"],"rows":[{"values":[1],"complete":["yes"]}]}`, `{"features":["a"],"rows":[{"values":[1]}]}x`,
	} {
		if a, err := decodeAnswer([]byte(body)); !errors.Is(err, errMalformed) {
			t.Errorf("%s is an answer: %+v, %v", body, a, err)
		}
	}
	spaced := " {\n\"later\" : {\"a\":\"}\\\"\"} , " +
		"\"rows\" : [ { \"values\" : [ [ \"]\" , {} ] , -1e5 ] , \"later\":[[]] , \"entity\":{ } } ] ,\t\"features\":[ \"a\" , \"b\" ] } \r\n"
	a, err := decodeAnswer([]byte(spaced))
	if err != nil || a.Rows[0].Get("a").String() != `[ "]" , {} ]` || a.Rows[0].Get("b").String() != "-1e5" {
		t.Errorf("with spaces: %+v, %v", a, err)
	}
}

// oracle is the answer as encoding/json reads it.
type oracle struct {
	Features []string
	Rows     []struct {
		Entity map[string]json.RawMessage
		Values []json.RawMessage
		Status []string
	}
}

// FuzzDecodeAnswer: whatever a server sends is an error or an answer whose
// values can be read without a panic, and are those that encoding/json reads.
func FuzzDecodeAnswer(f *testing.F) {
	f.Add([]byte(richAnswer))
	f.Add([]byte(emptyAnswer))
	f.Add([]byte(`{"features":["a"],"rows":[{"values":[]}]}`))
	f.Add([]byte(`{"features":["a","b"],"rows":[{"values":[{"x":["}"]} , "\\\""],"status":["PRESENT","x"],"age_ms":[1,null]}, {"values":[1,2]}]}`))
	f.Add([]byte(`{"features":null,"rows":[null]}`))
	f.Add([]byte(` {"rows":[{"entity":{"a\"":[]},"values":[]}]} `))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := decodeAnswer(body)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Errorf("the error does not say that the answer is malformed: %v", err)
			}
			return
		}
		for i := range a.Rows {
			r := &a.Rows[i]
			if len(r.Values) != len(a.Features) {
				t.Fatalf("row %d has %d values of %d features", i, len(r.Values), len(a.Features))
			}
			for _, name := range append(a.Features, "absent") {
				useAll(t, r.Get(name))
			}
			for name := range r.entity {
				useAll(t, r.Key(name))
			}
		}
		compare(t, body, a)
	})
}

// compare holds an answer to the oracle's, unless a key is there twice or in
// another case or escaped, of which encoding/json thinks otherwise.
func compare(t *testing.T, body []byte, a *Answer) {
	t.Helper()
	for _, key := range []string{"features", "rows", "entity", "values", "status"} {
		quoted := []byte(`"` + key + `"`)
		if n := bytes.Count(bytes.ToLower(body), quoted); n > max(1, len(a.Rows)) || n != bytes.Count(body, quoted) {
			return
		}
	}
	var o oracle
	if bytes.Contains(body, []byte(`\u`)) || bytes.IndexFunc(body, func(r rune) bool { return r > 126 }) >= 0 || json.Unmarshal(body, &o) != nil {
		return
	}
	if len(o.Rows) != len(a.Rows) || strings.Join(o.Features, "\n") != strings.Join(a.Features, "\n") {
		t.Fatalf("%d rows of %q, encoding/json reads %d of %q", len(a.Rows), a.Features, len(o.Rows), o.Features)
	}
	for i, want := range o.Rows {
		r := &a.Rows[i]
		for k := range a.Features {
			if k < len(want.Values) && string(want.Values[k]) != string(r.Values[k].Raw()) || k < len(want.Status) && want.Status[k] != string(r.Values[k].Status) {
				t.Errorf("value %d of row %d is %s (%s), encoding/json reads %s", k, i, r.Values[k], r.Values[k].Status, want.Values[k])
			}
		}
		for name, raw := range want.Entity {
			if got := r.Key(name).Raw(); string(raw) != string(got) {
				t.Errorf("key %q of row %d is %s, encoding/json reads %s", name, i, got, raw)
			}
		}
	}
}

func useAll(t *testing.T, v Value) {
	_, e1 := v.Int64()
	_, e2 := v.Float64()
	_, e3 := v.Bool()
	_, e4 := v.Text()
	_, e5 := v.Bytes()
	_, e6 := v.Time()
	for _, err := range []error{e1, e2, e3, e4, e5, e6} {
		if v.IsNull() && err == nil {
			t.Errorf("%s is null and was read", v)
		}
	}
	if !json.Valid(v.Raw()) || v.String() == "" {
		t.Errorf("the value is %q", v.Raw())
	}
}
