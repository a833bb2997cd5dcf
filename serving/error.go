package serving

import (
	"fmt"
	"net/http"
)

// Code is the closed set of ways in which a request fails. docs/api.md explains
// each to the caller who meets it.
type Code string

// The codes. CodeOK is what Events report for a request that succeeded.
const (
	CodeOK               Code = "ok"
	CodeInvalidRequest   Code = "invalid_request"
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
	CodePredictionFailed Code = "prediction_failed"
)

// Codes lists every code, for documents and metrics.
func Codes() []Code {
	return []Code{
		CodeOK, CodeInvalidRequest, CodeUnknownFeature, CodeUnknownView, CodeUnknownService, CodeMissingEntity,
		CodeMissingContext, CodeTooManyEntities, CodeTooManyFeatures, CodeUnknownSource, CodeNotPushable, CodeInvalidRows, CodeTooLarge, CodeNotFound, CodeMethodNotAllowed,
		CodeUnavailable, CodeOverloaded, CodeDeadlineExceeded, CodeCanceled, CodeInternal, CodePredictionFailed,
	}
}

// statusCanceled is what proxies log for a caller that went away.
const statusCanceled = 499

// HTTPStatus returns the HTTP status of the code.
func (c Code) HTTPStatus() int {
	switch c {
	case CodeOK:
		return http.StatusOK
	case CodeInvalidRequest:
		return http.StatusBadRequest
	case CodeUnknownFeature, CodeUnknownView, CodeUnknownService, CodeUnknownSource, CodeNotFound:
		return http.StatusNotFound
	case CodeMissingEntity, CodeMissingContext, CodeTooManyEntities, CodeTooManyFeatures, CodeNotPushable, CodeInvalidRows:
		return http.StatusUnprocessableEntity
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case CodeUnavailable, CodeOverloaded:
		return http.StatusServiceUnavailable
	case CodeDeadlineExceeded:
		return http.StatusGatewayTimeout
	case CodeCanceled:
		return statusCanceled
	case CodePredictionFailed:
		return http.StatusBadGateway
	case CodeInternal:
	}
	return http.StatusInternalServerError
}

// Detail is one fault of a request.
type Detail struct {
	Field      string // where in the request: "features[2]", "entities.driver_id[0]"
	Name       string // the unknown or missing name alone, "" when there is none
	Message    string
	Suggestion string // the nearest known name or the next step, "" when there is none
}

// Error is what the caller of the read API is told. It never carries a key, a
// value or the text of an inner error; Unwrap gives the latter to logs.
type Error struct {
	Code    Code
	Message string
	Details []Detail
	cause   error
}

// Error returns the code and message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns what caused the error inside, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Errorf makes an Error without details.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// At adds a detail to e and returns it.
func (e *Error) At(field, message string) *Error {
	e.Details = append(e.Details, Detail{Field: field, Message: message})
	return e
}

// maxShown bounds how much of a caller's name is said back.
const maxShown = 80

// Shown shortens a name from a request for use in a message.
func Shown(name string) string {
	if len(name) <= maxShown {
		return name
	}
	return name[:maxShown] + "…"
}
