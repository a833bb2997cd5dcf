package client

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"
)

// TestCodesAreTheDocumentedOnes compares the closed set with docs/api.md,
// which another test holds to the server.
func TestCodesAreTheDocumentedOnes(t *testing.T) {
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []Code
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [0-9]{3} \\|").FindAllSubmatch(text, -1) {
		if code := Code(m[1]); code != "ok" { // not an error
			documented = append(documented, code)
		}
	}
	if len(documented) < 15 {
		t.Fatalf("docs/api.md has a table of %d codes only", len(documented))
	}
	if known := Codes(); !reflect.DeepEqual(slices.Sorted(slices.Values(known)), slices.Sorted(slices.Values(documented))) {
		t.Errorf("the client knows %q, docs/api.md %q", known, documented)
	}
}

func TestErrorsAreTyped(t *testing.T) {
	body := `{"error":{"code":"unknown_feature","message":"view a has no feature b","details":[{"field":"features[0]","message":"unknown","suggestion":"a:c"}]}}`
	s := &server{answers: []answerer{says(404, body)}}
	_, err := s.client(t, Retry{}).Lookup(t.Context(), LookupRequest{Features: []string{"a:b"}, Entities: Rows{{}}})
	var e *Error
	if !errors.As(fmt.Errorf("serve a page: %w", err), &e) {
		t.Fatalf("%v is no *Error", err)
	}
	same(t, *e, Error{
		Code: CodeUnknownFeature, Message: "view a has no feature b", HTTPStatus: 404,
		Details: []Detail{{Field: "features[0]", Message: "unknown", Suggestion: "a:c"}},
	})
	same(t, err.Error(), "look features up: unknown_feature: view a has no feature b; features[0]: unknown (a:c)")
	same(t, CodeOf(err), CodeUnknownFeature)
	same(t, CodeOf(errors.New("another")), CodeNone)
}

func TestAnswersThatAreNotMillraces(t *testing.T) {
	for _, body := range []string{"", "<html>gone", "null", `{"error":null}`, `{"error":"x"}`, `{"error":{}}`, `"{}"`, "\xff\xfe"} {
		e := errorOf(502, nil, []byte(body), time.Now())
		if e.Code != CodeNone || e.HTTPStatus != 502 || e.Message == "" {
			t.Errorf("%q is %+v", body, e)
		}
	}
}

// FuzzErrorOf: any body is an error that says something and has a status.
func FuzzErrorOf(f *testing.F) {
	f.Add(503, "1", []byte(`{"error":{"code":"overloaded","message":"m","details":[{"field":"f"}]}}`))
	f.Add(502, "Sun, 06 Nov 1994 08:49:37 GMT", []byte("<html>"))
	f.Add(429, "99999999999999999999", []byte(nil))
	f.Add(503, "4294967295", []byte(`{"error":{"code":"x"}}`))
	f.Fuzz(func(t *testing.T, status int, after string, body []byte) {
		e := errorOf(status, map[string][]string{"Retry-After": {after}}, body, time.Unix(1e9, 0))
		if e.Error() == "" || e.HTTPStatus != status || e.RetryAfter < 0 || e.RetryAfter > maxRetryAfter {
			t.Errorf("%+v", e)
		}
	})
}
