package rest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/serving"
	"millrace/serving/servingtest"
)

func post(h http.Handler, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	return w
}

// What a join key may be written as, per kind, natively and on Feast's
// endpoint; and what it is echoed as.
func TestJoinKeysAreCoerced(t *testing.T) {
	h := newHandler(t, servingtest.NewStore(), wideKeys, serving.Events{})
	for _, c := range []struct{ column, given, echoed, feast string }{
		{"i", `7`, `7`, `7`},
		{"i", `"7"`, `7`, `7`},
		{"i", `7.0`, `7`, `7`},
		{"i", `7e1`, `70`, `70`},
		{"i", `-0`, `0`, `0`},
		{"i", `2147483648`, ``, ``},
		{"i", `"-2147483649"`, ``, ``},
		{"i", `7.5`, ``, ``},
		{"i", `true`, ``, ``},
		{"i", `[7]`, ``, ``},
		{"i", `{}`, ``, ``},
		{"i", `""`, ``, ``},
		{"i", `"7.0"`, ``, ``},
		{"i", `null`, `null`, `null`},
		{"driver_id", `9223372036854775807`, `9223372036854775807`, `9223372036854775807`},
		{"driver_id", `9223372036854775808`, ``, ``},
		{"driver_id", `1e16`, ``, ``},
		{"driver_id", `9007199254740992.0`, `9007199254740992`, `9007199254740992`},
		{"b", `true`, `true`, `true`},
		{"b", `"false"`, `false`, `false`},
		{"b", `1`, ``, ``},
		{"b", `"yes"`, ``, ``},
		{"s", `"é\n|"`, `"é\n|"`, `"é\n|"`},
		{"s", `""`, `""`, `""`},
		{"s", `5`, ``, ``},
		{"y", `"AQ=="`, `"AQ=="`, `"AQ=="`},
		{"y", `"AQ"`, ``, ``},
		{"y", `1`, ``, ``},
		{"t", `"2026-01-01T01:00:00.5+01:00"`, `"2026-01-01T00:00:00.500Z"`, `1767225600`},
		{"t", `"2026-01-01T00:00:00"`, `"2026-01-01T00:00:00Z"`, `1767225600`},
		{"t", `1767225600`, ``, `1767225600`},
		{"t", `9223372036854775807`, ``, ``},
		{"t", `"today"`, ``, ``},
	} {
		given := map[string]string{"driver_id": "1", "b": "true", "t": `"2026-01-01T00:00:00Z"`, "y": `""`, "s": `"x"`, "i": "1"}
		given[c.column] = "[" + c.given + "]"
		var native, feast []string
		for name, v := range given {
			native = append(native, `"`+name+`":`+v)
			feast = append(feast, `"`+name+`":[`+strings.Trim(v, "[]")+`]`)
			if name == c.column {
				feast[len(feast)-1] = `"` + name + `":` + v
			}
		}
		w := post(h, "/v1/lookup", `{"service":"all","entities":{`+strings.Join(native, ",")+`}}`)
		checkEcho(t, "native", c.column, c.given, w, `"`+c.column+`":`+c.echoed, c.echoed == "")
		w = post(h, "/get-online-features", `{"feature_service":"all","full_feature_names":true,"entities":{`+strings.Join(feast, ",")+`}}`)
		checkEcho(t, "Feast's", c.column, c.given, w, `{"values":[`+c.feast+`],"statuses":["PRESENT"]`, c.feast == "")
	}
}

func checkEcho(t *testing.T, form, column, given string, w *httptest.ResponseRecorder, want string, refused bool) {
	t.Helper()
	switch {
	case refused && (w.Code < 400 || w.Code >= 500 || !strings.Contains(w.Body.String(), column)):
		t.Errorf("%s %s: %s is answered %d %s", form, column, given, w.Code, w.Body)
	case !refused && (w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want)):
		t.Errorf("%s %s: %s is answered %d %s, want %s", form, column, given, w.Code, w.Body, want)
	}
}

func TestBodyLimit(t *testing.T) {
	h := newHandler(t, servingtest.NewStore(), wideKeys, serving.Events{})
	huge := strings.Repeat(" ", 4<<20+1)
	for _, path := range []string{"/v1/lookup", "/get-online-features"} {
		if w := post(h, path, huge); w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: a known length is answered %d", path, w.Code)
		}
		r := httptest.NewRequest(http.MethodPost, path, io.MultiReader(strings.NewReader(huge)))
		r.ContentLength = -1
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: an unknown length is answered %d", path, w.Code)
		}
		r = httptest.NewRequest(http.MethodPost, path, io.MultiReader(strings.NewReader(`{"a`), failing{}))
		w = httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code < 400 || w.Code >= 500 {
			t.Errorf("%s: a body that breaks off is answered %d", path, w.Code)
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// Errors say where the fault is and never what was given.
func TestErrorsCarryNoKeysOrValues(t *testing.T) {
	store := servingtest.NewStore()
	if err := store.Put("trip@1", "1", time.Unix(1_800_000_000, 0), `{"fare": "secret"}`); err != nil {
		t.Fatal(err)
	}
	h := newHandler(t, store, wideKeys, serving.Events{})
	for _, entities := range []string{
		`{"driver_id":["secret"]}`, `{"driver_id":[1,"secret"]}`, `{"driver_id":["secret",1],"other":["secret"]}`, `{"driver_id":[1]}`, `{"driver_id":"secret"}`,
	} {
		for path, body := range map[string]string{
			"/v1/lookup":           `{"features":["trip"],"entities":` + entities + `}`,
			"/get-online-features": `{"features":["trip:fare"],"entities":` + entities + `}`,
		} {
			if w := post(h, path, body); w.Code == http.StatusOK || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%s %s: %d %s", path, body, w.Code, w.Body)
			}
		}
	}
}

// Request data of one request never shows in the answer to another, nor that of
// one row in another row.
func TestConcurrentRequestDataIsOnesOwn(t *testing.T) {
	store := servingtest.NewStore()
	if err := store.Put("trip@1", "1", time.Unix(1_800_000_000, 0), `{"fare": 2}`); err != nil {
		t.Fatal(err)
	}
	h := newHandler(t, store, wideKeys, serving.Events{})
	var all sync.WaitGroup
	for id := range 8 {
		all.Go(func() {
			text := string(rune('1' + id))
			body := `{"features":["quote:cost","quote:extra"],"entities":[{"driver_id":1},{"driver_id":1}],"contexts":[{"km":` + text +
				`,"n":0,"extra":"` + text + `"},{"km":0,"n":` + text + `,"extra":null}]}`
			want := fmt.Sprintf(`"values":[%d,"%s"]},{"entity":{"driver_id":1},"values":[%s,null]}`, 4*(id+1), text, text)
			for range 50 {
				if w := post(h, "/v1/lookup", body); !strings.Contains(w.Body.String(), want) {
					t.Errorf("answered %s, not %s", w.Body, want)
				}
				post(h, "/v1/lookup", `{"features":["quote:cost"],"entities":[{"driver_id":1}],"context":{"km":"`+text+`"`)
			}
		})
	}
	all.Wait()
}

// Each request is reported once, with the code of its end.
func TestDoneOncePerRequest(t *testing.T) {
	var codes []serving.Code
	lost := 0
	store := servingtest.NewStore()
	if err := store.Put("trip@1", "1", time.Unix(1_800_000_000, 0), `{"fare": "NaN"}`); err != nil {
		t.Fatal(err)
	}
	h := newHandler(t, store, wideKeys, serving.Events{
		Done:        func(c serving.Code, _ time.Duration) { codes = append(codes, c) },
		Unencodable: func(n int) { lost += n },
	})
	post(h, "/v1/lookup", `{"features":["trip"],"entities":[{"driver_id":1}]}`)
	post(h, "/v1/lookup", `{`)
	post(h, "/get-online-features", `{"features":["x:y"],"entities":{"driver_id":[1]}}`)
	post(h, "/nowhere", ``)
	want := []serving.Code{serving.CodeOK, serving.CodeInvalidRequest, serving.CodeUnknownView, serving.CodeNotFound}
	if len(codes) != len(want) {
		t.Fatalf("codes %v", codes)
	}
	for i := range want {
		if codes[i] != want[i] {
			t.Errorf("request %d: %s", i, codes[i])
		}
	}
	if lost != 2 {
		t.Errorf("%d values were not encodable", lost)
	}
}

// Pooled memory of one request never shows in the answer to another.
func TestConcurrentAnswersAreOnesOwn(t *testing.T) {
	store := servingtest.NewStore()
	for id := range 8 {
		text := string(rune('0' + id))
		if err := store.Put("trip@1", text, time.Unix(1_800_000_000, 0), `{"fare": `+text+`}`); err != nil {
			t.Fatal(err)
		}
	}
	h := newHandler(t, store, wideKeys, serving.Events{})
	var all sync.WaitGroup
	for id := range 8 {
		all.Go(func() {
			text := string(rune('0' + id))
			want := `{"features":["trip:fare","trip:twice"],"rows":[{"entity":{"driver_id":` + text + `},"values":[` + text
			for range 50 {
				if w := post(h, "/v1/lookup", `{"features":["trip"],"entities":{"driver_id":`+text+`}}`); !strings.HasPrefix(w.Body.String(), want) {
					t.Errorf("driver %s: %s", text, w.Body)
				}
				post(h, "/v1/lookup", `{"features":["trip"],"entities":{"driver_id":["1",`+text+`,"`)
			}
		})
	}
	all.Wait()
}
