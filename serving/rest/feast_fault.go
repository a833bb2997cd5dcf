package rest

import (
	"net/http"
	"strings"

	"millrace/serving"
)

// schemaFault is one entry of the list that Feast answers to a body that fails
// its schema. Feast also repeats the input; this does not.
type schemaFault struct {
	kind, message string
	at            []string // path in the body
	index         int      // last step of the path, a position; -1 for none
}

func (c *call) refuse(kind, message string, at ...string) *serving.Error {
	return c.refuseAt(kind, message, -1, at...)
}

func (c *call) refuseAt(kind, message string, index int, at ...string) *serving.Error {
	c.schema = append(c.schema, schemaFault{kind: kind, message: message, at: at, index: index})
	return serving.Errorf(serving.CodeInvalidRequest, "%s", message)
}

// failFeast encodes e as Feast's server would. Feast answers most mistakes of
// callers with 500, which its client then retries three times; here they are
// 4xx in the same form.
func failFeast(c *call, e *serving.Error) int {
	c.askToRetry(e)
	if len(c.schema) > 0 {
		c.encodeSchemaFaults()
		return http.StatusUnprocessableEntity
	}
	if firstName(e) == errCollision {
		c.feastError("feast.errors", errCollision, e.Message)
		return http.StatusUnprocessableEntity
	}
	project := c.svc.Catalog().Project
	switch e.Code {
	case serving.CodeUnknownView:
		c.feastError("feast.errors", "FeatureViewNotFoundException", "Feature view "+firstName(e)+" does not exist in project "+project)
	case serving.CodeUnknownService:
		c.feastError("feast.errors", "FeatureServiceNotFoundException", "Feature service "+firstName(e)+" does not exist in project "+project)
	case serving.CodeMissingContext:
		c.feastError("feast.errors", "RequestDataNotFoundInEntityRowsException",
			"Required request data source features ['"+strings.Join(detailNames(e), "', '")+"'] not found in the entity rows")
		return http.StatusNotFound
	case serving.CodeInvalidRequest, serving.CodeUnknownFeature, serving.CodeMissingEntity, serving.CodeTooManyEntities, serving.CodeTooManyFeatures,
		serving.CodeUnknownSource, serving.CodeNotPushable, serving.CodeInvalidRows:
		c.feastError("builtins", "ValueError", sentence(e))
		return http.StatusUnprocessableEntity
	case serving.CodeOK, serving.CodeTooLarge, serving.CodeNotFound, serving.CodeMethodNotAllowed, serving.CodeUnavailable,
		serving.CodeOverloaded, serving.CodeDeadlineExceeded, serving.CodeCanceled, serving.CodeInternal, serving.CodePredictionFailed:
		c.enc.text(sentence(e))
	}
	return e.Code.HTTPStatus()
}

// feastError encodes an error that Feast's client turns into the named Python
// exception: a JSON string whose content is a JSON object.
func (c *call) feastError(module, class, message string) {
	var inner encoder
	inner.raw(`{"module":`).text(module).raw(`,"class":`).text(class).raw(`,"message":`).text(message).raw(`}`)
	c.enc.text(string(inner.out))
}

// firstName is the name that the first detail is about.
func firstName(e *serving.Error) string {
	if len(e.Details) == 0 {
		return ""
	}
	return serving.Shown(e.Details[0].Name)
}

func detailNames(e *serving.Error) []string {
	names := make([]string, len(e.Details))
	for i, d := range e.Details {
		names[i] = d.Name
	}
	return names
}

// sentence is the message with the first detail's field and suggestion.
func sentence(e *serving.Error) string {
	var b strings.Builder
	b.WriteString(e.Message)
	if len(e.Details) > 0 {
		d := e.Details[0]
		b.WriteString(" (" + d.Field)
		if d.Message != e.Message {
			b.WriteString(": " + d.Message)
		}
		if d.Suggestion != "" {
			b.WriteString("; did you mean " + d.Suggestion + "?")
		}
		b.WriteString(")")
	}
	return b.String()
}

func (c *call) encodeSchemaFaults() {
	b := &c.enc
	b.raw(`{"detail":[`)
	for i, f := range c.schema {
		if i > 0 {
			b.raw(`,`)
		}
		b.raw(`{"type":`).text(f.kind).raw(`,"loc":["body"`)
		for _, at := range f.at {
			b.raw(`,`).text(at)
		}
		if f.index >= 0 {
			b.raw(`,`).int(int64(f.index))
		}
		b.raw(`],"msg":`).text(f.message).raw(`}`)
	}
	b.raw(`]}`)
}
