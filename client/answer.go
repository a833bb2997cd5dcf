package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
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

// decodeAnswer reads an answer, of whose text the values are part. Each row has
// as many values as there are features, whatever a server sends, so no accessor
// can fail for want of one.
func decodeAnswer(body []byte) (*Answer, error) {
	if !json.Valid(body) {
		return nil, fmt.Errorf("%w: it is not JSON", errMalformed)
	}
	a := new(Answer)
	if err := a.decode(bytes.TrimSpace(body)); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return a, nil
}

func (a *Answer) decode(body []byte) error {
	if body[0] != '{' {
		return errors.New("it is not an object")
	}
	var rows json.RawMessage
	for key, v := range members(body) {
		switch string(key) {
		case `"features"`:
			if err := json.Unmarshal(v, &a.Features); err != nil {
				return fmt.Errorf("features: %w", err)
			}
		case `"rows"`:
			rows = v
		}
	}
	if len(rows) == 0 || rows[0] != '[' {
		return errors.New("it has no list of rows")
	}
	for row := range elements(rows) {
		r := Row{features: a.Features, Values: make([]Value, len(a.Features))}
		if err := r.decode(row); err != nil {
			return fmt.Errorf("row %d: %w", len(a.Rows), err)
		}
		a.Rows = append(a.Rows, r)
	}
	return nil
}

func (r *Row) decode(row []byte) error {
	if row[0] != '{' {
		return errors.New("it is not an object")
	}
	valued := false
	for key, v := range members(row) {
		var err error
		switch string(key) {
		case `"entity"`:
			err = r.decodeEntity(v)
		case `"values"`:
			valued = true
			err = r.each(v, (*Value).setRaw)
		case `"status"`:
			err = r.each(v, (*Value).setStatus)
		case `"event_time"`:
			err = r.each(v, (*Value).setEventTime)
		case `"age_ms"`:
			err = r.each(v, (*Value).setAge)
		case `"origin"`:
			err = r.each(v, (*Value).setOrigin)
		case `"complete"`:
			err = r.each(v, (*Value).setComplete)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	if !valued {
		return errors.New("it has no values")
	}
	for i, name := range r.features {
		r.Values[i].name = name
	}
	return nil
}

func (r *Row) decodeEntity(object []byte) error {
	if object[0] != '{' {
		return errors.New("it is not an object")
	}
	r.entity = make(map[string]json.RawMessage, 1)
	for key, v := range members(object) {
		name, err := word(key)
		if err != nil {
			return err
		}
		r.entity[name] = v
	}
	return nil
}

// each gives every value its part of a list that is parallel to the features.
func (r *Row) each(list []byte, set func(*Value, json.RawMessage) error) error {
	if list[0] != '[' {
		return errors.New("it is not a list")
	}
	n := 0
	for part := range elements(list) {
		if n < len(r.Values) {
			if err := set(&r.Values[n], part); err != nil {
				return err
			}
		}
		n++
	}
	if n != len(r.Values) {
		return fmt.Errorf("it has %d entries for %d features", n, len(r.Values))
	}
	return nil
}

func isNull(part []byte) bool { return string(part) == "null" }

func (v *Value) setRaw(part json.RawMessage) error {
	v.raw = part
	return nil
}

func (v *Value) setStatus(part json.RawMessage) error {
	text, err := word(part)
	v.Status = Status(text)
	return err
}

func (v *Value) setOrigin(part json.RawMessage) error {
	if isNull(part) {
		return nil
	}
	text, err := word(part)
	origin, detail, _ := strings.Cut(text, ":")
	v.Origin, v.Detail = Origin(origin), detail
	return err
}

func (v *Value) setEventTime(part json.RawMessage) error {
	return v.EventTime.UnmarshalJSON(part) //nolint:wrapcheck // quotes the time; null leaves it zero
}

func (v *Value) setAge(part json.RawMessage) error {
	if isNull(part) {
		return nil
	}
	ms, err := strconv.ParseInt(string(part), 10, 64)
	v.Age, v.HasAge = millis(ms), true
	return err //nolint:wrapcheck // quotes the number
}

func (v *Value) setComplete(part json.RawMessage) error {
	switch string(part) {
	case "true":
		v.Complete = CompleteYes
	case "false":
		v.Complete = CompleteNo
	case "null":
	default:
		return errors.New("it is neither true nor false")
	}
	return nil
}

// words are those that answers repeat; their texts are shared.
var words = map[string]string{
	`"PRESENT"`: string(StatusPresent), `"NULL_VALUE"`: string(StatusNullValue), `"NOT_FOUND"`: string(StatusNotFound),
	`"OUTSIDE_MAX_AGE"`: string(StatusOutsideMaxAge), `"ERROR"`: string(StatusError),
	`"stored"`: string(OriginStored), `"computed"`: string(OriginComputed), `"default"`: string(OriginDefault),
}

// word reads a JSON string.
func word(text []byte) (string, error) {
	if known, ok := words[string(text)]; ok {
		return known, nil
	}
	if text[0] != '"' {
		return "", errors.New("it is not a string")
	}
	var s string
	err := json.Unmarshal(text, &s)
	return s, err //nolint:wrapcheck // cannot fail on a valid string
}

// millis keeps a number of milliseconds within a Duration: ages of more than
// 292 years are 292 years.
func millis(n int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(max(-most, min(n, most))) * time.Millisecond
}
