package client

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Answer is what a lookup found.
type Answer struct {
	Features []string // view:feature, in the order asked for
	Rows     []Row    // in the order of the entities
}

// Row is what was found of one entity.
type Row struct {
	Values   []Value // parallel to Answer.Features
	entity   map[string]json.RawMessage
	features []string
}

// Get returns the value of a feature by its name, view:feature. If the answer
// has no such feature, the accessors of the value say so.
func (r *Row) Get(feature string) Value {
	if i := slices.Index(r.features, feature); i >= 0 {
		return r.Values[i]
	}
	return Value{name: feature, absent: true}
}

// Key returns a join key of the row as the server understood it.
func (r *Row) Key(name string) Value {
	raw, ok := r.entity[name]
	return Value{name: name, raw: raw, absent: !ok}
}

// wireAnswer is the body of a lookup's answer. Lists are parallel to Features,
// or absent when they were not asked for.
type wireAnswer struct {
	Features []string  `json:"features"`
	Rows     []wireRow `json:"rows"`
}

type wireRow struct {
	Entity    map[string]json.RawMessage `json:"entity"`
	Values    []json.RawMessage          `json:"values"`
	Status    []Status                   `json:"status"`
	EventTime []*time.Time               `json:"event_time"`
	AgeMS     []*int64                   `json:"age_ms"`
	Origin    []Origin                   `json:"origin"` // null is ""
	Complete  []*bool                    `json:"complete"`
}

// decodeAnswer reads an answer. What it returns keeps the invariant that each
// row has as many values as there are features, so nothing that a server sends
// can make an accessor panic.
func decodeAnswer(body []byte) (*Answer, error) {
	var w wireAnswer
	if err := json.Unmarshal(body, &w); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	a := &Answer{Features: w.Features, Rows: make([]Row, len(w.Rows))}
	for i := range w.Rows {
		if err := w.Rows[i].check(len(w.Features)); err != nil {
			return nil, fmt.Errorf("%w: row %d: %w", errMalformed, i, err)
		}
		a.Rows[i] = w.Rows[i].row(w.Features)
	}
	return a, nil
}

// check holds the lists of a row to their length.
func (w *wireRow) check(features int) error {
	if len(w.Values) != features {
		return fmt.Errorf("it has %d values of %d features", len(w.Values), features)
	}
	for _, list := range []struct {
		name string
		n    int
	}{
		{"status", len(w.Status)},
		{"event_time", len(w.EventTime)},
		{"age_ms", len(w.AgeMS)},
		{"origin", len(w.Origin)},
		{"complete", len(w.Complete)},
	} {
		if list.n != 0 && list.n != features {
			return fmt.Errorf("%s has %d entries for %d features", list.name, list.n, features)
		}
	}
	return nil
}

func (w *wireRow) row(features []string) Row {
	r := Row{Values: make([]Value, len(features)), entity: w.Entity, features: features}
	for i := range r.Values {
		v := &r.Values[i]
		v.name, v.raw = features[i], w.Values[i]
		if len(w.Status) > 0 {
			v.Status = w.Status[i]
		}
		if len(w.EventTime) > 0 && w.EventTime[i] != nil {
			v.EventTime = *w.EventTime[i]
		}
		if len(w.AgeMS) > 0 && w.AgeMS[i] != nil {
			v.Age, v.HasAge = millis(*w.AgeMS[i]), true
		}
		if len(w.Origin) > 0 {
			v.Origin = w.Origin[i]
		}
		if len(w.Complete) > 0 {
			v.Complete = completeness(w.Complete[i])
		}
	}
	return r
}

// millis keeps a number of milliseconds within a Duration: ages of more than
// 292 years are 292 years.
func millis(n int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(max(-most, min(n, most))) * time.Millisecond
}
