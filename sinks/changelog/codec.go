package changelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"millrace/sinks"
)

// Errors that readers wrap. The key of a record with another format can be read
// all the same, and says who changed.
var (
	ErrFormat  = errors.New("the record is of a format that this program does not know; run a newer one")
	ErrCorrupt = errors.New("the record was not written by millrace")
)

// Parts of a record, as docs/format/changelog.md draws it.
const (
	format = 1

	flagMore = 1 << 0

	kindTiles = 0
	kindRow   = 1

	headBytes = 3
	viewBytes = 1 + 8 + 1 // kind, event time, length of the name

	// MaxNameBytes bounds the stored name of a view.
	MaxNameBytes = 255

	maxRecordMillis = 1<<48 - 1 // of a sequence
)

// AppendKey appends the key of the record of an entity key. The entity's name
// is not empty and has no byte 0.
func AppendKey(dst []byte, entity, key string) ([]byte, error) {
	if entity == "" || strings.IndexByte(entity, 0) >= 0 {
		return dst, fmt.Errorf("write a change of entity %q: that is no name of an entity", entity)
	}
	return append(append(append(dst, entity...), 0), key...), nil
}

// ParseKey reads what AppendKey wrote. What it returns points to nothing of b.
func ParseKey(b []byte) (entity, key string, err error) {
	at := bytes.IndexByte(b, 0)
	if at <= 0 {
		return "", "", fmt.Errorf("read the key of a change: it names no entity: %w", ErrCorrupt)
	}
	return string(b[:at]), string(b[at+1:]), nil
}

// AppendValue appends the value of a change's record.
func AppendValue(dst []byte, c *sinks.Change) ([]byte, error) {
	if len(c.Views) > sinks.MaxChangedViews {
		return dst, fmt.Errorf("write a change of entity %s: it names %d views, at most %d", c.Entity, len(c.Views), sinks.MaxChangedViews)
	}
	flags := byte(0)
	if c.More {
		flags = flagMore
	}
	first := len(dst)
	dst = append(dst, format, flags, byte(len(c.Views)))
	for i := range c.Views {
		v := &c.Views[i]
		if fault := faultOf(v); fault != "" {
			return dst[:first], fmt.Errorf("write a change of view %q: %s", v.View, fault)
		}
		kind := byte(kindTiles)
		if v.Row {
			kind = kindRow
		}
		dst = binary.LittleEndian.AppendUint64(append(dst, kind), uint64(v.EventMicros))
		if v.Row {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v.RecordMillis))
		}
		dst = append(append(dst, byte(len(v.View))), v.View...)
	}
	return dst, nil
}

// faultOf says what of a view no record can carry; "" when it can.
func faultOf(v *sinks.ChangedView) string {
	switch {
	case v.View == "" || len(v.View) > MaxNameBytes:
		return fmt.Sprintf("its name has %d bytes, not 1 to %d", len(v.View), MaxNameBytes)
	case !utf8.ValidString(v.View):
		return "its name is no text"
	case v.RecordMillis < 0 || v.RecordMillis > maxRecordMillis:
		return "its record time is not one of a sequence"
	case !v.Row && v.RecordMillis != 0:
		return "it has a record time, but no row"
	}
	return ""
}

// Decode reads a record into dst, whose Views are reused. What dst points to is
// its own. An error wraps ErrFormat or ErrCorrupt.
func Decode(key, value []byte, dst *sinks.Change) error {
	entity, entityKey, err := ParseKey(key)
	if err != nil {
		return err
	}
	*dst = sinks.Change{Entity: entity, Key: entityKey, Views: dst.Views[:0]}
	if len(value) < headBytes {
		return corrupt(entity, "it ends early")
	}
	if value[0] != format {
		return fmt.Errorf("read a change of entity %s: format %d: %w", entity, value[0], ErrFormat)
	}
	flags, n, rest := value[1], int(value[2]), value[headBytes:]
	if flags&^flagMore != 0 || n > sinks.MaxChangedViews {
		return corrupt(entity, "its head has a value that none has")
	}
	dst.More = flags&flagMore != 0
	for range n {
		var v sinks.ChangedView
		if rest, err = takeView(rest, &v); err != nil {
			return corrupt(entity, err.Error())
		}
		dst.Views = append(dst.Views, v)
	}
	if len(rest) > 0 {
		return corrupt(entity, "bytes follow its end")
	}
	return nil
}

func corrupt(entity, why string) error {
	return fmt.Errorf("read a change of entity %s: %s: %w", entity, why, ErrCorrupt)
}

var (
	errShort = errors.New("it ends early")
	errKind  = errors.New("a view has a kind that none has")
)

// takeView reads a view off b and returns what follows it.
func takeView(b []byte, v *sinks.ChangedView) ([]byte, error) {
	if len(b) < viewBytes {
		return nil, errShort
	}
	if b[0] > kindRow {
		return nil, errKind
	}
	v.Row, v.EventMicros = b[0] == kindRow, int64(binary.LittleEndian.Uint64(b[1:]))
	b = b[9:]
	if v.Row {
		if len(b) < 9 {
			return nil, errShort
		}
		v.RecordMillis, b = int64(binary.LittleEndian.Uint64(b)), b[8:]
	}
	end := 1 + int(b[0])
	if len(b) < end {
		return nil, errShort
	}
	v.View = string(b[1:end])
	if fault := faultOf(v); fault != "" {
		return nil, errors.New(fault)
	}
	return b[end:], nil
}
