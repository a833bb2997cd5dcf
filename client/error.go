package client

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Code says what is wrong; docs/api.md says what to do about each. The set is
// closed: a server of a later version may have codes that are not here.
type Code string

// The codes.
const (
	// CodeNone is that of an answer that is not Millrace's, such as a proxy's.
	CodeNone             Code = ""
	CodeInvalidRequest   Code = "invalid_request"
	CodePredictionFailed Code = "prediction_failed"
	CodeUnknownFeature   Code = "unknown_feature"
	CodeUnknownView      Code = "unknown_view"
	CodeUnknownService   Code = "unknown_service"
	CodeMissingEntity    Code = "missing_entity"
	CodeMissingContext   Code = "missing_context"
	CodeTooManyEntities  Code = "too_many_entities"
	CodeTooManyFeatures  Code = "too_many_features"
	CodeUnknownSource    Code = "unknown_source"
	CodeNotPushable      Code = "not_pushable"
	CodeInvalidRows      Code = "invalid_rows"
	CodeTooLarge         Code = "too_large"
	CodeNotFound         Code = "not_found"
	CodeMethodNotAllowed Code = "method_not_allowed"
	CodeUnavailable      Code = "unavailable"
	CodeOverloaded       Code = "overloaded"
	CodeDeadlineExceeded Code = "deadline_exceeded"
	CodeCanceled         Code = "canceled"
	CodeInternal         Code = "internal"
)

// Codes lists every code that a server sends.
func Codes() []Code {
	return []Code{
		CodeInvalidRequest, CodeUnknownFeature, CodeUnknownView, CodeUnknownService, CodeMissingEntity, CodeMissingContext,
		CodeTooManyEntities, CodeTooManyFeatures, CodeUnknownSource, CodeNotPushable, CodeInvalidRows, CodeTooLarge, CodeNotFound,
		CodeMethodNotAllowed, CodeUnavailable, CodeOverloaded, CodeDeadlineExceeded, CodeCanceled, CodeInternal, CodePredictionFailed,
	}
}

// Error is a server's refusal. Find it with errors.As or errors.AsType.
type Error struct {
	Code       Code
	Message    string
	Details    []Detail
	HTTPStatus int
	// RetryAfter is when the server wants to be asked again at the earliest;
	// 0 when it did not say.
	RetryAfter time.Duration
	// Receipt is of rows that are on the topic but were not stored within the
	// deadline of a synchronous push: ask WaitReceipt what becomes of them
	// instead of pushing them again. "" when there is none.
	Receipt string
	// NextRow is how many rows of a bulk push's request were written before it
	// failed.
	NextRow int
	// Written is what became of these rows; nil where the server did not say.
	Written *Pushed
}

// Detail is one fault of a request.
type Detail struct {
	Field      string `json:"field"` // where in the request: features[2], rows[0].fare
	Message    string `json:"message"`
	Suggestion string `json:"suggestion"` // the nearest known name, or the next step; "" if there is none
}

// Error returns code, message and details in one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Code != CodeNone {
		b.WriteString(string(e.Code) + ": ")
	}
	b.WriteString(e.Message)
	for _, d := range e.Details {
		b.WriteString("; " + d.Field + ": " + d.Message)
		if d.Suggestion != "" {
			b.WriteString(" (" + d.Suggestion + ")")
		}
	}
	return b.String()
}

// CodeOf returns the code of a server's refusal in err, CodeNone if there is
// none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeNone
}

// wireError is the native form of an error.
type wireError struct {
	Error *struct {
		Code    Code     `json:"code"`
		Message string   `json:"message"`
		Details []Detail `json:"details"`
		Receipt string   `json:"receipt"`
		NextRow int      `json:"next_row"`
		Written *Pushed  `json:"written"`
	} `json:"error"`
}

// maxQuoted bounds what is repeated of an answer that is not Millrace's.
const maxQuoted = 200

// errorOf reads the error that a server answered with.
func errorOf(status int, header http.Header, body []byte, now time.Time) *Error {
	e := &Error{HTTPStatus: status, RetryAfter: retryAfter(header.Get("Retry-After"), now)}
	var w wireError
	if json.Unmarshal(body, &w) == nil && w.Error != nil && w.Error.Code != "" {
		e.Code, e.Message, e.Details = w.Error.Code, w.Error.Message, w.Error.Details
		e.Receipt, e.NextRow, e.Written = w.Error.Receipt, max(0, w.Error.NextRow), w.Error.Written
		return e
	}
	text := strings.ToValidUTF8(string(body[:min(len(body), maxQuoted)]), "�")
	e.Message = "the server answered " + strconv.Itoa(status) + " " + http.StatusText(status) + ": " + strings.TrimSpace(text)
	return e
}

// maxRetryAfter keeps what a header may say within a Duration.
const maxRetryAfter = 365 * 24 * time.Hour

// retryAfter reads the header's two forms, seconds and a date.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(0, at.Sub(now)), maxRetryAfter)
	}
	return 0
}
