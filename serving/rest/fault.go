package rest

import (
	"encoding/json"
	"errors"

	"millrace/serving"
)

// failNative encodes e in the native form:
// {"error": {"code", "message", "details": [{"field", "message", "suggestion"}]}}.
func failNative(c *call, e *serving.Error) int {
	c.askToRetry(e)
	b := &c.enc
	b.raw(`{"error":{"code":`).text(string(e.Code)).raw(`,"message":`).text(e.Message)
	for i, d := range e.Details {
		if i == 0 {
			b.raw(`,"details":[`)
		} else {
			b.raw(`,`)
		}
		b.raw(`{"field":`).text(d.Field).raw(`,"message":`).text(d.Message)
		if d.Suggestion != "" {
			b.raw(`,"suggestion":`).text(d.Suggestion)
		}
		b.raw(`}`)
	}
	if len(e.Details) > 0 {
		b.raw(`]`)
	}
	c.pushFault()
	b.raw(`}}`)
	return e.Code.HTTPStatus()
}

func (c *call) askToRetry(e *serving.Error) {
	if e.Code == serving.CodeUnavailable || e.Code == serving.CodeOverloaded {
		c.header.Set("Retry-After", "1")
	}
}

// faultOffset finds the byte at which body stops being JSON. It is for people,
// so it may be slow; 0 when the fault has no place, such as too deep a nesting.
func faultOffset(body []byte) int {
	var raw json.RawMessage
	if at, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(body, &raw)); ok {
		return int(at.Offset)
	}
	return 0
}
