package feature

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrStoredSchema is wrapped by every error of ParseStored.
var ErrStoredSchema = errors.New("stored schema")

// canonicalColumn is how a StoredColumn is written down. The order of the
// fields is part of the canonical form; never change it.
type canonicalColumn struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Length uint32 `json:"length,omitempty"`
	Since  uint16 `json:"since"`
	Hidden bool   `json:"hidden,omitempty"`
}

type canonicalStored struct {
	Columns []canonicalColumn `json:"columns"`
}

// Canonical returns the one JSON text of s, ID aside: equal columns have equal
// text and different columns different text. Names are identifiers, hence
// valid UTF-8. ParseStored reads it back.
func (s *Stored) Canonical() []byte {
	form := canonicalStored{Columns: make([]canonicalColumn, len(s.Columns))}
	for i, c := range s.Columns {
		form.Columns[i] = canonicalColumn{
			Name: c.Name, Type: c.Type.String(), Length: c.Type.Length, Since: c.Since, Hidden: c.Hidden,
		}
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // "list<int64>" is to be read by people
	_ = enc.Encode(form)     //nolint:errchkjson // strings, integers and bools always encode
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// ParseStored reads text that Canonical wrote; the ID is zero. Text with
// members it does not know is refused: it comes from a later version and may
// mean something else.
func ParseStored(text []byte) (Stored, error) {
	var form canonicalStored
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&form); err != nil {
		return Stored{}, fmt.Errorf("%w: %w", ErrStoredSchema, err)
	}
	s := Stored{Columns: make([]StoredColumn, len(form.Columns))}
	for i, c := range form.Columns {
		typ, err := parseCanonicalType(c)
		if err != nil {
			return Stored{}, fmt.Errorf("%w: column %d: %w", ErrStoredSchema, i, err)
		}
		s.Columns[i] = StoredColumn{Name: c.Name, Type: typ, Since: c.Since, Hidden: c.Hidden}
	}
	if !bytes.Equal(s.Canonical(), text) {
		return Stored{}, fmt.Errorf("%w: not in canonical form", ErrStoredSchema)
	}
	return s, nil
}

func parseCanonicalType(c canonicalColumn) (Type, error) {
	typ, err := ParseType(c.Type)
	if err != nil {
		return Type{}, err
	}
	if c.Length > 0 && !typ.IsList() {
		return Type{}, fmt.Errorf("a %s has no length", typ)
	}
	typ.Length = c.Length
	return typ, nil
}
