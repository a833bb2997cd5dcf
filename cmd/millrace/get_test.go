package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestGetSaysWhereFrom: of a prediction, what kind it is.
func TestGetSaysWhereFrom(t *testing.T) {
	const text = `{"features": ["fraud:score", "driver_trips:last_fare", "fraud:why"], "rows": [{"values":
		{"fraud:score": 0.5, "driver_trips:last_fare": null, "fraud:why": "new"},
		"status": {"fraud:score": "PRESENT", "driver_trips:last_fare": "NOT_FOUND", "fraud:why": "PRESENT"},
		"origin": {"fraud:score": "prediction_stale:age", "driver_trips:last_fare": null, "fraud:why": "client"}}]}`
	const want = `FEATURE                 VALUE  STATUS     ORIGIN
fraud:score             0.5    PRESENT    prediction_stale:age
driver_trips:last_fare  null   NOT_FOUND` + "  " + `
fraud:why               "new"  PRESENT    client
`
	var b strings.Builder
	if err := printTable(&b, []byte(text)); err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, b.String())
	}
	asked := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		_, _ = w.Write([]byte(text))
	}))
	defer server.Close()
	out, err := command(t, "get", "fraud", "driver_id=7", "--server", strings.TrimPrefix(server.URL, "http://"))
	if r := <-asked; err != nil || !strings.Contains(out, "prediction_stale:age") || r.URL.String() != "/v1/lookup/fraud?driver_id=7&include=status%2Corigin" {
		t.Errorf("%s is answered %s, %v", r.URL, out, err)
	}
}
