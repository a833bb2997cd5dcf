package envelope

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/sources"
)

// events reads CloudEvents 1.0 as the Kafka protocol binding has them: in
// binary mode the value is the data and attributes are headers, in structured
// mode the value is a JSON object that holds both.
type events struct {
	peeler     *peeler
	names      []string // attributes, parallel to the peeler's first members
	json       bool     // a value may be data that is JSON, so an event may go without a content type
	structured bool     // the event at hand
}

const (
	attributePrefix = "ce_"
	contentType     = "content-type"
	structuredType  = "application/cloudevents"
	dataContentType = "datacontenttype"
)

// required attributes come first among names.
var required = []string{"specversion", "id", "source", "type"}

func newEvents(src *feature.Source, sides []side, f Formats) (*events, error) {
	e := &events{names: slices.Clone(required), json: src.Format == feature.FormatJSON}
	for i := range sides {
		if name, ok := attributeName(sides[i].Header); ok && !slices.Contains(e.names, name) {
			e.names = append(e.names, name)
		}
	}
	var members []feature.Field
	for _, name := range append(slices.Clone(e.names), "data") {
		members = append(members, feature.Field{Name: name, Type: feature.Of(feature.KindJSON)})
	}
	members = append(members, feature.Field{Name: "data_base64", Type: feature.Of(feature.KindBytes)})
	var err error
	e.peeler, err = newPeeler(src.Name, members, f)
	return e, err
}

// attributeName returns the attribute that a header of binary mode carries.
func attributeName(header string) (string, bool) {
	if header == contentType {
		return dataContentType, true
	}
	name, ok := strings.CutPrefix(header, attributePrefix)
	return name, ok && name != "data" && name != "data_base64"
}

// open finds out about the event and makes its data the record's value.
func (e *events) open(ctx context.Context, arena *feature.Arena, rec *sources.Record) (fault, error) {
	e.structured = false
	if rec.Value == nil {
		return fault{}, nil // without data, or no event at all
	}
	kind, _ := lastHeader(rec, contentType)
	if len(kind) >= len(structuredType) && bytes.EqualFold(kind[:len(structuredType)], []byte(structuredType)) {
		if !jsonFormat(kind[len(structuredType):]) {
			return fault{feature.ReasonMalformed, "the CloudEvent is written in a format other than JSON"}, nil
		}
		return e.takeData(ctx, arena, rec)
	}
	if _, binary := lastHeader(rec, attributePrefix+"specversion"); !binary && e.json {
		return e.takeData(ctx, arena, rec)
	}
	for _, name := range required {
		if f := check(name, headerOf(rec, name)); f.reason != "" {
			return f, nil
		}
	}
	return fault{}, nil
}

// jsonFormat reads what follows application/cloudevents in a content type.
func jsonFormat(rest []byte) bool {
	rest, _, _ = bytes.Cut(rest, []byte(";"))
	return bytes.EqualFold(bytes.TrimSpace(rest), []byte("+json"))
}

// headerOf finds an attribute in binary mode.
func headerOf(rec *sources.Record, name string) []byte {
	for _, h := range slices.Backward(rec.Headers) {
		if rest, ok := strings.CutPrefix(h.Key, attributePrefix); ok && rest == name {
			return h.Value
		}
	}
	return nil
}

func check(name string, text []byte) fault {
	switch {
	case len(text) == 0:
		return fault{feature.ReasonMalformed, "the record is no CloudEvent: it has no " + name}
	case name == "specversion" && string(text) != "1.0":
		return fault{feature.ReasonMalformed, "the CloudEvent is not of version 1.0"}
	}
	return fault{}
}

// takeData opens an event in structured mode.
func (e *events) takeData(ctx context.Context, arena *feature.Arena, rec *sources.Record) (fault, error) {
	f, err := e.peeler.open(ctx, arena, rec.Value)
	if err != nil || f.reason != "" {
		return f, err
	}
	e.structured = true
	for i, name := range required {
		text, _ := e.text(i)
		if f := check(name, text); f.reason != "" {
			return f, nil
		}
	}
	data, inJSON := e.peeler.member(len(e.names))
	encoded, inBase64 := e.peeler.member(len(e.names) + 1)
	switch {
	case inJSON && inBase64:
		return fault{feature.ReasonMalformed, "the CloudEvent has both data and data_base64"}, nil
	case inBase64:
		rec.Value = encoded
	case !inJSON:
		return fault{feature.ReasonMalformed, "the CloudEvent has no data"}, nil
	case !e.json:
		return fault{feature.ReasonMalformed, "the CloudEvent's data is JSON, not data_base64 in the source's format"}, nil
	default:
		rec.Value = data
	}
	return fault{}, nil
}

// attribute returns what a header of binary mode says, of an event in
// structured mode; known says that it is an attribute of such an event.
func (e *events) attribute(header string) (text []byte, found, known bool) {
	if !e.structured {
		return nil, false, false
	}
	name, ok := attributeName(header)
	if !ok {
		return nil, false, false
	}
	text, found = e.text(slices.Index(e.names, name))
	return text, found, true
}

// text returns an attribute as text: what a string holds, other values as they
// are written.
func (e *events) text(i int) ([]byte, bool) {
	text, ok := e.peeler.member(i)
	if !ok || text[0] != '"' {
		return text, ok
	}
	if bytes.IndexByte(text, '\\') < 0 {
		return text[1 : len(text)-1], true
	}
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, false // the decoder has checked it
	}
	return []byte(s), true
}
