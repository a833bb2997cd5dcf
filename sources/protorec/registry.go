package protorec

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"millrace/feature"
	"millrace/sources"
)

// registry holds the plans of the message types that records named so far.
type registry struct {
	plans   map[string]*known // by header
	last    *known
	unknown map[string]fault // by header, during one call of Decode
}

// known is a message type that a header names, or why it cannot be read.
type known struct {
	header []byte
	plan   *plan
	fault  fault
}

const (
	// maxKnown bounds the message types that are remembered; a topic has few.
	maxKnown = 256
	// maxIndexes bounds how deep a message is nested in others.
	maxIndexes = 16
	// idBytes are the zero and the id that a header begins with.
	idBytes = 5
)

func (r *registry) begin() { clear(r.unknown) }

// planOf returns how to read the record and where it begins behind its header.
// Without a plan the reason is in fault.
func (d *Decoder) planOf(ctx context.Context) (*plan, int, error) {
	s := &d.settings
	if s.Message != nil && !s.Framed {
		return d.plan, 0, nil
	}
	if k := d.registry.last; k != nil && bytes.HasPrefix(d.data, k.header) {
		d.fault = k.fault
		return k.plan, len(k.header), nil
	}
	at, indexes := d.header()
	if at == failed {
		return nil, 0, nil
	}
	if s.Message != nil {
		return d.plan, at, nil
	}
	k, err := d.lookup(ctx, d.data[:at], indexes)
	if err != nil || k == nil {
		return nil, 0, err
	}
	d.registry.last = k
	d.fault = k.fault
	return k.plan, at, nil
}

// header reads Confluent's header: a zero, the schema's id and the indexes that
// lead to the message.
func (d *Decoder) header() (int, []int) {
	switch {
	case len(d.data) < idBytes:
		return d.fail(0, "the record is too short to name its schema"), nil
	case d.data[0] != 0:
		return d.fail(0, "the record does not begin with a schema's id"), nil
	}
	count, at := d.index(idBytes)
	if at == failed {
		return failed, nil
	}
	if count == 0 {
		return at, []int{0}
	}
	if count > maxIndexes {
		return d.fail(idBytes, "the record names its message by too many indexes"), nil
	}
	indexes := make([]int, count)
	for i := range indexes {
		if indexes[i], at = d.index(at); at == failed {
			return failed, nil
		}
	}
	return at, indexes
}

// index reads a number in zig-zag form, which may not be negative.
func (d *Decoder) index(at int) (int, int) {
	v, next := d.varint(at, len(d.data))
	if next == failed {
		return 0, failed
	}
	n := protowire.DecodeZigZag(v)
	if n < 0 || n > 1<<20 {
		return 0, d.fail(at, "the record names no message of its schema")
	}
	return int(n), next
}

// lookup finds the plan for a header. Nil leaves the reason in fault.
func (d *Decoder) lookup(ctx context.Context, header []byte, indexes []int) (*known, error) {
	r := &d.registry
	if k := r.plans[string(header)]; k != nil {
		return k, nil
	}
	if f, ok := r.unknown[string(header)]; ok {
		d.fault = f
		return nil, nil //nolint:nilnil // the fault is the answer
	}
	id := int32(binary.BigEndian.Uint32(header[1:]))
	s, err := d.settings.Schemas.Schema(ctx, id)
	if errors.Is(err, sources.ErrUnknownSchema) {
		d.fault = fault{feature.ReasonSchema, "the schema registry has no schema " + strconv.Itoa(int(id)) + ", or not all that it refers to"}
		if r.unknown == nil {
			r.unknown = make(map[string]fault)
		}
		r.unknown[string(header)] = d.fault
		return nil, nil //nolint:nilnil // the fault is the answer
	}
	if err != nil {
		return nil, fmt.Errorf("find schema %d: %w", id, err)
	}
	k := &known{header: bytes.Clone(header)}
	if k.plan, err = d.planFor(ctx, s, indexes); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("compile schema %d: %w", id, ctx.Err())
		}
		k.fault = fault{feature.ReasonSchema, err.Error()}
		if errors.Is(err, errMisfit) {
			k.fault.reason = feature.ReasonWrongType
		}
	}
	if r.plans == nil || len(r.plans) >= maxKnown {
		r.plans = make(map[string]*known)
	}
	r.plans[string(header)] = k
	return k, nil
}

// planFor compiles the plan for a message of s. A field that the message lacks
// is null: it was not there yet, or is no more.
func (d *Decoder) planFor(ctx context.Context, s sources.Schema, indexes []int) (*plan, error) {
	file, err := compileFile(ctx, s)
	if err != nil {
		return nil, err
	}
	p, err := d.planIn(file, indexes)
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", s.ID, err)
	}
	return p, nil
}

func (d *Decoder) planIn(file protoreflect.FileDescriptor, indexes []int) (*plan, error) {
	var err error
	var md protoreflect.MessageDescriptor
	if d.settings.Name != "" {
		md, err = byBoth(file, d.settings.Name, indexes)
	} else {
		md, err = byIndexes(file, indexes, false)
	}
	if err != nil {
		return nil, err
	}
	return d.compile(md, true)
}
