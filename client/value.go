package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Status says how a value is to be read.
type Status string

// The statuses.
const (
	StatusPresent       Status = "PRESENT"
	StatusNullValue     Status = "NULL_VALUE"
	StatusNotFound      Status = "NOT_FOUND"
	StatusOutsideMaxAge Status = "OUTSIDE_MAX_AGE"
	StatusError         Status = "ERROR"
)

// Origin says where a value came from.
type Origin string

// The origins. OriginNone is that of a value that is not there.
const (
	OriginNone     Origin = ""
	OriginStored   Origin = "stored"
	OriginComputed Origin = "computed"
	OriginDefault  Origin = "default"
)

// The origins of predictions. What stands behind a colon in answers is Detail.
const (
	OriginPredictionFresh     Origin = "prediction_fresh"      // stored, of the inputs as they are; Detail: computed by what
	OriginPredictionStale     Origin = "prediction_stale"      // stored, and may be served still; by which rule it is stale
	OriginPredictionComputed  Origin = "prediction_computed"   // by this request; why
	OriginPredictionLastValue Origin = "prediction_last_value" // stored, because none could be computed; why not
	OriginPredictionFailed    Origin = "prediction_failed"     // null, because none could be computed; why not
	OriginClient              Origin = "client"                // a stored prediction that a client wrote
)

// Complete says whether a window was counted over its whole span.
type Complete uint8

// CompleteNone is that of a feature without a window, or of an answer that was
// not asked to include it.
const (
	CompleteNone Complete = iota
	CompleteYes
	CompleteNo
)

// Value is one feature of one entity, or a join key. What was not included in
// the request is zero.
type Value struct {
	Status    Status
	EventTime time.Time // in UTC; zero when there is none
	Age       time.Duration
	HasAge    bool // whether Age was asked for, and there is one
	Origin    Origin
	Detail    string // of the Origin of a prediction: docs/predictions.md lists them
	Complete  Complete

	name   string
	raw    json.RawMessage
	absent bool // not in the answer at all
}

// ErrNull is the error of an accessor whose value is null: for want of a row,
// because it is expired, or because it is null. Its Status says which.
var ErrNull = errors.New("the value is null")

// IsNull reports whether there is no value.
func (v Value) IsNull() bool { return len(v.raw) == 0 || string(v.raw) == "null" }

// Raw returns the value as the JSON that was answered; "null" if there is none.
// The caller must not change it.
func (v Value) Raw() json.RawMessage {
	if len(v.raw) == 0 {
		return json.RawMessage("null")
	}
	return v.raw
}

// Decode reads the value into dst, a pointer, as encoding/json does: lists into
// slices, json into whatever it is. Elements of a list that may be null need
// pointers: encoding/json reads a null into anything else as zero. Like all
// accessors it fails with ErrNull when there is no value.
func (v Value) Decode(dst any) error {
	switch {
	case v.absent:
		return fmt.Errorf("read %s: the answer does not have it; ask for it by this name", v.name)
	case v.IsNull() && v.Status != "":
		return fmt.Errorf("read %s: %w (%s)", v.name, ErrNull, v.Status)
	case v.IsNull():
		return fmt.Errorf("read %s: %w", v.name, ErrNull)
	}
	if err := json.Unmarshal(v.raw, dst); err != nil {
		return fmt.Errorf("read %s as %T: it is of another type", v.name, dst)
	}
	return nil
}

// Int64 returns an int32 or int64 feature, exactly.
func (v Value) Int64() (int64, error) { return read[int64](v) }

// Float64 returns a float32, float64, int32 or int64 feature. Integers beyond
// 2^53 are rounded; Int64 does not.
func (v Value) Float64() (float64, error) { return read[float64](v) }

// Bool returns a bool feature.
func (v Value) Bool() (bool, error) { return read[bool](v) }

// Text returns a string feature.
func (v Value) Text() (string, error) { return read[string](v) }

// Bytes returns a bytes feature.
func (v Value) Bytes() ([]byte, error) { return read[[]byte](v) }

// Time returns a timestamp feature, in UTC.
func (v Value) Time() (time.Time, error) { return read[time.Time](v) }

func read[T any](v Value) (T, error) {
	var t, zero T
	if err := v.Decode(&t); err != nil {
		return zero, err
	}
	return t, nil
}

// String shows the value for people.
func (v Value) String() string {
	if v.absent {
		return "no " + strconv.Quote(v.name)
	}
	return string(v.Raw())
}
