package rowcodec

import (
	"encoding/binary"
	"fmt"
	"math"

	"millrace/feature"
)

// parseHeader reads the part of a value that every schema shares.
func parseHeader(value []byte) (feature.StoredOrigin, error) {
	var o feature.StoredOrigin
	if len(value) < headerBytes {
		return o, fmt.Errorf("%w: %d bytes, fewer than its header has", ErrCorrupt, len(value))
	}
	if value[atFormat] != Format {
		return o, fmt.Errorf("%w %d: this version reads format %d; a later version wrote the row",
			ErrFormat, value[atFormat], Format)
	}
	o.Sequence = feature.Sequence(value[:feature.SequenceBytes])
	o.Flags = feature.RowFlags(value[atFlags])
	o.Partition = int32(binary.LittleEndian.Uint32(value[atPartition:]))
	o.SchemaID = binary.LittleEndian.Uint32(value[atSchema:])
	o.EventMicros = int64(binary.LittleEndian.Uint64(value[atEventTime:]))
	if o.Flags&^knownFlags != 0 {
		return o, fmt.Errorf("%w: unknown flags %#02x", ErrCorrupt, uint8(o.Flags))
	}
	if o.Flags&feature.RowDeleted != 0 && len(value) != headerBytes {
		return o, fmt.Errorf("%w: a deleted row has a body of %d bytes", ErrCorrupt, len(value)-headerBytes)
	}
	return o, nil
}

// decode puts the wanted columns of value, whose header is read, into row i of
// dst. Other columns are not looked at.
func (l *layout) decode(value []byte, dst *feature.Loaded, i int) error {
	if err := l.check(value); err != nil {
		return err
	}
	for at := range l.slots {
		s := &l.slots[at]
		switch {
		case s.missing:
			dst.Missing[at].Set(i)
		case value[headerBytes+s.null>>3]&(1<<(s.null&7)) != 0:
		default:
			if err := l.decodeSlot(value, s, &dst.Columns[at], i, &dst.Arena); err != nil {
				return err
			}
		}
	}
	return nil
}

// check refuses a value whose sections do not fill it exactly.
func (l *layout) check(value []byte) error {
	if len(value) < l.bytesAt {
		return fmt.Errorf("%w: %d bytes, fewer than the %d of its schema's fixed part", ErrCorrupt, len(value), l.bytesAt)
	}
	size := 0
	if l.variable > 0 {
		size = int(binary.LittleEndian.Uint32(value[l.bytesAt-endBytes:]))
	}
	if size != len(value)-l.bytesAt {
		return fmt.Errorf("%w: its last value ends at %d of %d bytes", ErrCorrupt, size, len(value)-l.bytesAt)
	}
	if r := l.columns & 7; r != 0 && value[l.fixedAt-1]>>r != 0 {
		return fmt.Errorf("%w: nulls beyond its %d columns", ErrCorrupt, l.columns)
	}
	return nil
}

func (l *layout) decodeSlot(value []byte, s *slot, c *feature.Column, i int, arena *feature.Arena) error {
	if width(s.typ) > 0 {
		if !setFixed(c, i, value[s.at:]) {
			return fmt.Errorf("%w: column %s: a bool that is neither 0 nor 1", ErrCorrupt, s.name)
		}
		return nil
	}
	ends, bytes := value[l.endsAt:l.bytesAt], value[l.bytesAt:]
	v, err := cut(ends, bytes, s.nth)
	if err == nil {
		err = setVariable(c, i, v, arena)
	}
	if err != nil {
		return fmt.Errorf("%w: column %s: %w", ErrCorrupt, s.name, err)
	}
	if n := s.typ.Length; n > 0 && c.Spans[i].End-c.Spans[i].Start != n {
		return fmt.Errorf("%w: column %s: %d elements, not %d", ErrCorrupt, s.name, c.Spans[i].End-c.Spans[i].Start, n)
	}
	return nil
}

// cut returns the nth of the values whose ends are given.
func cut(ends, bytes []byte, nth int) ([]byte, error) {
	start := uint32(0)
	if nth > 0 {
		start = binary.LittleEndian.Uint32(ends[(nth-1)*endBytes:])
	}
	end := binary.LittleEndian.Uint32(ends[nth*endBytes:])
	if start > end || uint64(end) > uint64(len(bytes)) {
		return nil, fmt.Errorf("lies from %d to %d of %d bytes", start, end, len(bytes))
	}
	return bytes[start:end], nil
}

// setFixed sets row i from the beginning of b; false means that no encoder
// wrote those bytes.
func setFixed(c *feature.Column, i int, b []byte) bool {
	switch c.Type.Kind {
	case feature.KindBool:
		if b[0] > 1 {
			return false
		}
		c.SetBool(i, b[0] == 1)
	case feature.KindInt32:
		c.SetInt(i, int64(int32(binary.LittleEndian.Uint32(b))))
	case feature.KindInt64, feature.KindTimestamp:
		c.SetInt(i, int64(binary.LittleEndian.Uint64(b)))
	case feature.KindFloat32:
		c.SetFloat(i, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
	case feature.KindFloat64:
		c.SetFloat(i, math.Float64frombits(binary.LittleEndian.Uint64(b)))
	case feature.KindInvalid, feature.KindString, feature.KindBytes, feature.KindJSON:
		return false
	}
	return true
}

// setVariable sets row i to what v encodes; strings are copied into arena.
func setVariable(c *feature.Column, i int, v []byte, arena *feature.Arena) error {
	if !c.Type.IsList() {
		c.SetString(i, arena.Copy(v))
		return nil
	}
	return setList(c, i, v, arena)
}

// setList sets row i to the list that v encodes. Nothing grows beyond what
// v's own size justifies, whatever count it claims.
func setList(c *feature.Column, i int, v []byte, arena *feature.Arena) error {
	if len(v) < endBytes {
		return fmt.Errorf("a list of %d bytes", len(v))
	}
	count, size := uint64(binary.LittleEndian.Uint32(v)), uint64(width(c.Elems.Type))
	if size == 0 {
		size = endBytes
	}
	nullBytes := (count + 7) / 8
	need := endBytes + nullBytes + count*size
	if uint64(len(v)) < need {
		return fmt.Errorf("a list of %d elements in %d bytes", count, len(v))
	}
	nulls := v[endBytes : endBytes+nullBytes]
	if r := count & 7; r != 0 && nulls[nullBytes-1]>>r != 0 {
		return fmt.Errorf("nulls beyond the %d elements of a list", count)
	}
	start := c.Elems.Len()
	c.Elems.Resize(start + int(count))
	err := setElems(c.Elems, start, nulls, v[endBytes+nullBytes:need], v[need:], arena)
	if err != nil {
		return err
	}
	c.Spans[i] = feature.Span{Start: uint32(start), End: uint32(start) + uint32(count)}
	c.Valid.Set(i)
	return nil
}

// setElems sets the rows of c from start on. section holds the fixed-width
// values or the ends of the variable-width ones, rest the bytes of those.
func setElems(c *feature.Column, start int, nulls, section, rest []byte, arena *feature.Arena) error {
	size := width(c.Type)
	used := uint32(0)
	if size == 0 && len(section) > 0 {
		used = binary.LittleEndian.Uint32(section[len(section)-endBytes:])
	}
	if uint64(used) != uint64(len(rest)) {
		return fmt.Errorf("a list's elements end at %d of %d bytes", used, len(rest))
	}
	for n, rows := 0, c.Len()-start; n < rows; n++ {
		if nulls[n>>3]&(1<<(n&7)) != 0 {
			continue
		}
		if size > 0 {
			if !setFixed(c, start+n, section[n*size:]) {
				return fmt.Errorf("element %d is a bool that is neither 0 nor 1", n)
			}
			continue
		}
		v, err := cut(section, rest, n)
		if err == nil {
			err = setVariable(c, start+n, v, arena)
		}
		if err != nil {
			return fmt.Errorf("element %d: %w", n, err)
		}
	}
	return nil
}
