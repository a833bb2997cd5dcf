package envelope

import (
	"bytes"
	"context"
	"errors"

	"millrace/feature"
	"millrace/sources"
)

// peeler takes members out of one JSON object at a time.
type peeler struct {
	decoder sources.Decoder
	batch   feature.Batch
	rec     [1]sources.Record
}

func newPeeler(source string, members []feature.Field, f Formats) (*peeler, error) {
	if f.JSON == nil {
		return nil, errors.New("its envelope may be JSON, and no decoder of JSON is given")
	}
	src := &feature.Source{Name: source, Format: feature.FormatJSON}
	for _, m := range members {
		src.Fields = append(src.Fields, feature.SourceField{Field: m})
	}
	d, err := f.JSON(src, members)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what it could not do
	}
	p := &peeler{decoder: d}
	p.batch.Reset(members, 0)
	return p, nil
}

// open reads value; the members are then row 0 of batch, and live in arena.
func (p *peeler) open(ctx context.Context, arena *feature.Arena, value []byte) (fault, error) {
	p.batch.Reset(p.batch.Fields, 0)
	p.rec[0].Value = value
	p.batch.Arena = *arena
	err := p.decoder.Decode(ctx, &p.batch, p.rec[:])
	*arena, p.batch.Arena = p.batch.Arena, feature.Arena{}
	p.rec[0].Value = nil
	if err != nil {
		return fault{}, err //nolint:wrapcheck // says what it could not do
	}
	if len(p.batch.Rejects) > 0 {
		r := &p.batch.Rejects[0]
		return fault{r.Reason, r.Message}, nil
	}
	return fault{}, nil
}

// member returns the bytes of a member of kind json or bytes.
func (p *peeler) member(i int) ([]byte, bool) {
	c := &p.batch.Columns[i]
	if c.IsNull(0) {
		return nil, false
	}
	if c.Strings[0] == "" {
		return []byte{}, true
	}
	return bytesOf(c.Strings[0]), true
}

// wrapped reports whether a JSON object begins as Kafka Connect's converter
// writes it with its schema: {"schema": …, "payload": …}.
func wrapped(value []byte) bool {
	rest, ok := bytes.CutPrefix(bytes.TrimLeft(value, " \t\r\n"), []byte("{"))
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return ok && (bytes.HasPrefix(rest, []byte(`"schema"`)) || bytes.HasPrefix(rest, []byte(`"payload"`)))
}

// connect takes a value out of Kafka Connect's wrapper, if it is in one.
func (p *peeler) connect(ctx context.Context, arena *feature.Arena, value []byte) ([]byte, fault, error) {
	if p == nil || !wrapped(value) {
		return value, fault{}, nil
	}
	f, err := p.open(ctx, arena, value)
	if err != nil || f.reason != "" {
		return nil, f, err
	}
	if payload, ok := p.member(0); ok {
		return payload, fault{}, nil
	}
	return value, fault{}, nil
}

// newConnect returns nil for formats whose schema stands elsewhere.
func newConnect(src *feature.Source, f Formats) (*peeler, error) {
	if src.Envelope != feature.EnvelopeDebezium || src.Format != feature.FormatJSON {
		return nil, nil //nolint:nilnil // says so
	}
	return newPeeler(src.Name, []feature.Field{{Name: "payload", Type: feature.Of(feature.KindJSON)}}, f)
}
