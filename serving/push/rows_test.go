package push

import (
	"maps"
	"strings"
	"testing"
)

// recordCase is what the applier and the topic are given of a row.
type recordCase struct {
	req    request
	row    string
	want   string // "" is the row as it is
	done   bool   // it counts as finished
	millis int64  // 0 is the clock
}

const whole = `"fare":1,"km":2` // what view fares reads of source trips

func recordsOfRows() map[string]recordCase {
	return map[string]recordCase{
		"as it is":                    {req: request{Source: "trips"}, row: `{ "driver_id":1, ` + whole + `}`},
		"no object":                   {req: request{Source: "trips"}, row: `[1]`},
		"no JSON":                     {req: request{Source: "trips"}, row: `{"a":`},
		"event_timestamp":             {req: request{Source: "trips"}, row: `{"event_timestamp":"2026-01-02T03:04:05.006Z",` + whole + `}`, want: `{"at":1767323045006,` + whole + `}`},
		"in the field's own unit":     {req: request{Source: "trips"}, row: `{"event_timestamp":5,` + whole + `}`, want: `{"at":5,` + whole + `}`},
		"the field wins":              {req: request{Source: "trips"}, row: `{"at":1,"event_timestamp":"x",` + whole + `}`},
		"created means nothing":       {req: request{Source: "trips"}, row: `{"created":"x",` + whole + `}`},
		"of a source without a field": {req: request{Source: "taken"}, row: `{"driver_id":1,"n":1,"event_timestamp":"2026-01-02T03:04:05.006Z"}`, millis: 1767323045006},
		"null of such a source":       {req: request{Source: "taken"}, row: `{"driver_id":1,"n":1,"event_timestamp":null}`},
		"a push source has the name":  {req: request{Source: "profiles"}, row: `{"driver_id":1,"rating":1,"event_timestamp":"2026-01-02T03:04:05Z"}`},
		"finished":                    {req: request{Source: "trips", Transform: new(false)}, row: `{"driver_id":1}`, done: true},
		"finished, by the field's name": {
			req: request{Source: "trips", Transform: new(false)}, row: `{"at":"2026-01-02T03:04:05Z"}`,
			want: `{"event_timestamp":"2026-01-02T03:04:05Z"}`, done: true,
		},

		"transformed already":          {req: request{Source: "trips"}, row: `{"driver_id":1,"amount":1,"n":2}`, done: true},
		"whatever the flag says":       {req: request{View: "fares", Transform: new(true)}, row: `{"driver_id":1,"amount":1,"n":2,"fare":1}`, done: true},
		"not whole":                    {req: request{Source: "trips"}, row: `{"driver_id":1,"amount":1}`},
		"without its key":              {req: request{Source: "trips"}, row: `{"amount":1,"n":2}`},
		"raw and finished are raw":     {req: request{Source: "trips"}, row: `{"driver_id":1,"amount":1,"n":2,` + whole + `}`},
		"of several views":             {req: request{Source: "both"}, row: `{"driver_id":1,"k":1}`},
		"of one of them":               {req: request{View: "rows"}, row: `{"driver_id":1,"k":1}`, done: true},
		"windows alone store nothing":  {req: request{View: "tiles"}, row: `{}`},
		"windows, and what was stored": {req: request{View: "counts"}, row: `{"driver_id":1,"newest":1}`, done: true},
	}
}

func recordsOfFrames() map[string]recordCase {
	return map[string]recordCase{
		"frame: numbers": {
			req:  request{Source: "trips", Frame: true},
			row:  `{"driver_id":"7","fare":"1.5","km":5.0,"paid":"True","at":1767323045006000000,"other":"5"}`,
			want: `{"driver_id":7,"fare":1.5,"km":5,"paid":true,"at":1767323045006,"other":"5"}`,
		},
		"frame: what cannot be meant stays": {
			req:  request{Source: "trips", Frame: true},
			row:  `{"driver_id":1.5,"fare":"abc","km":"","paid":"yes","at":"soon"}`,
			want: `{"driver_id":1.5,"fare":"abc","km":"","paid":"yes","at":"soon"}`,
		},
		"frame: nulls": {
			req: request{Source: "trips", Frame: true}, row: `{"driver_id":null,"fare":null,"km":null,"at":null,"note":null,"tags":null}`,
			want: `{"driver_id":null,"fare":null,"km":null,"at":null,"note":null,"tags":null}`,
		},
		"frame: text of JSON and lists": {
			req:  request{Source: "trips", Frame: true},
			row:  `{"driver_id":1,` + whole + `,"note":"{\"a\":[1]}","tags":["1",2.0,null]}`,
			want: `{"driver_id":1,` + whole + `,"note":{"a":[1]},"tags":[1,2,null]}`,
		},
		"frame: a list as text": {
			req: request{Source: "trips", Frame: true}, row: `{"driver_id":1,` + whole + `,"tags":"[1, 2]"}`,
			want: `{"driver_id":1,` + whole + `,"tags":[1,2]}`,
		},
		"frame: an integer that a float cannot tell": {
			req: request{Source: "trips", Frame: true}, row: `{"driver_id":9007199254740994.0,` + whole + `}`, want: `{"driver_id":9007199254740994.0,` + whole + `}`,
		},
		"frame: finished, time without zone": {
			req:  request{View: "fares", Frame: true},
			row:  `{"driver_id":1,"amount":"2","n":3.0,"event_timestamp":"2026-11-23T14:00:00.123456","created":"2026-11-23T14:00:00"}`,
			want: `{"driver_id":1,"amount":2,"n":3,"event_timestamp":"2026-11-23T14:00:00.123456Z","created":"2026-11-23T14:00:00"}`, done: true,
		},
		"frame: record time": {
			req: request{Source: "taken", Frame: true}, row: `{"driver_id":1,"n":1,"event_timestamp":1767323045006000000}`, millis: 1767323045006,
		},
	}
}

func TestRecordsOfRows(t *testing.T) {
	all := recordsOfRows()
	maps.Copy(all, recordsOfFrames())
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if _, err := w.push(c.req, c.row); err != nil {
				t.Fatal(err, err.Details)
			}
			if len(w.applied) != 1 {
				t.Fatalf("%d rows were taken in", len(w.applied))
			}
			got := &w.applied[0]
			if c.want == "" {
				c.want = c.row
			}
			if string(got.Value) != c.want {
				t.Errorf("record %s, want %s", got.Value, c.want)
			}
			if done := strings.Contains(headers(got), "transform_on_write=false"); done != c.done {
				t.Errorf("finished: %v", done)
			}
			if c.millis == 0 {
				c.millis = base
			}
			if got.Millis != c.millis {
				t.Errorf("record time %d, want %d", got.Millis, c.millis)
			}
		})
	}
}

// TestTimes: what frames call a time.
func TestTimes(t *testing.T) {
	for text, want := range map[string]string{
		`"2026-11-23 13:00:00"`:                `"2026-11-23T13:00:00Z"`,
		`"2026-11-23T13:00:00"`:                `"2026-11-23T13:00:00Z"`,
		`"2026-11-23T13:00:00.5"`:              `"2026-11-23T13:00:00.5Z"`,
		`"2026-11-23T15:00:00+02:00"`:          `"2026-11-23T13:00:00Z"`,
		`"2026-11-23 15:00:00.123456789+0200"`: `"2026-11-23T13:00:00.123456Z"`,
		`"2026-11-23 15:00:00+02"`:             `"2026-11-23T13:00:00Z"`,
		`"2026-11-23"`:                         `"2026-11-23T00:00:00Z"`,
		`"2026-11-23T13:00"`:                   `"2026-11-23T13:00:00Z"`,
		`1795435200000000000`:                  `"2026-11-23T12:00:00Z"`,
		`-1`:                                   `"1969-12-31T23:59:59.999999Z"`,
		`"yesterday"`:                          `"yesterday"`,
		`""`:                                   `""`,
		`1.5`:                                  `1.5`,
		`true`:                                 `true`,
	} {
		w := newWorld(t)
		if _, err := w.push(request{Source: "profiles", Frame: true}, `{"driver_id":1,"rating":1,"event_timestamp":`+text+`}`); err != nil {
			t.Fatal(err)
		}
		if got := string(w.applied[0].Value); got != `{"driver_id":1,"rating":1,"event_timestamp":`+want+`}` {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
}

// TestAFaultBeforeTheRecord: rows that cannot be records keep their place.
func TestAFaultBeforeTheRecord(t *testing.T) {
	w := newWorld(t)
	rows := []string{`{"driver_id":1,"event_timestamp":"soon"}`, `{"driver_id":2}`, `{"bad":3}`}
	got, err := w.push(request{Source: "taken", RejectRows: true}, rows...)
	if err != nil {
		t.Fatal(err)
	}
	if got.Stored != 1 || got.Rejected != 2 || len(got.Errors) != 2 || got.Errors[0].Row != 0 || got.Errors[1].Row != 2 {
		t.Errorf("%+v", got)
	}
	if _, err := w.push(request{Source: "taken"}, rows...); err == nil || len(err.Details) != 2 || !strings.HasPrefix(err.Message, "2 of 3 rows") {
		t.Errorf("all or nothing: %v", err)
	}
}
