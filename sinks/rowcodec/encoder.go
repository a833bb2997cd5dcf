package rowcodec

import (
	"slices"
	"strconv"

	"millrace/feature"
	"millrace/sinks"
)

// Encoder implements sinks.Encoder. It belongs to one goroutine and allocates
// nothing per row once the buffers it fills have grown.
type Encoder struct {
	names map[generation]string
}

// generation names a stored view without building its name.
type generation struct {
	view   string
	number uint32
}

var _ sinks.Encoder = (*Encoder)(nil)

// NewEncoder returns an encoder.
func NewEncoder() *Encoder { return &Encoder{names: make(map[generation]string)} }

// Encode appends the rows to dst, and those that no store may see to
// rows.Rejects. Keys and values live in dst.Arena.
func (e *Encoder) Encode(dst *sinks.Buffer, rows *feature.Rows) {
	name := e.storedName(rows.View)
	for row, origin := range rows.Origins {
		f := encodeRow(dst, rows, row, name)
		if f.reason != "" {
			rows.Rejects = append(rows.Rejects, feature.Reject{
				Origin: origin, Stage: feature.StageEncode, Reason: f.reason, Message: f.message,
			})
		}
	}
}

func (e *Encoder) storedName(v *feature.View) string {
	id := generation{v.Name, v.Generation}
	name, ok := e.names[id]
	if !ok {
		name = v.StoredName()
		e.names[id] = name
	}
	return name
}

// fault says why a row is refused; without a reason it is not.
type fault struct {
	reason  feature.Reason
	message string
}

func encodeRow(dst *sinks.Buffer, rows *feature.Rows, row int, name string) fault {
	if f := checkRow(rows, row); f.reason != "" {
		return f
	}
	size := headerBytes
	if !rows.Origins[row].Deleted {
		size = rowBytes(rows.Columns, row)
	}
	if size > sinks.MaxRowBytes {
		return fault{feature.ReasonRowTooLarge, "the encoded row has " + strconv.Itoa(size) +
			" bytes, more than " + strconv.Itoa(sinks.MaxRowBytes)}
	}
	key := feature.AppendKey(dst.Arena.Tail(keyRoom(rows.Keys, row)), rows.Keys, row)
	if len(key) > feature.MaxKeyBytes {
		return keyFault(len(key))
	}
	text := dst.Arena.Keep(key)
	value := AppendRow(dst.Arena.Tail(size), rows, row)
	dst.Arena.Keep(value)
	dst.Rows = append(dst.Rows, sinks.Row{
		Entity: rows.View.Entity, Key: text, View: name, Stamp: rows.Origins[row].EventMicros,
		Value: slices.Clip(value), Expire: rows.View.Expire,
	})
	dst.Origins = append(dst.Origins, rows.Origins[row])
	return fault{}
}

func keyFault(size int) fault {
	return fault{feature.ReasonKeyTooLarge, "the entity key has at least " + strconv.Itoa(size) +
		" bytes, more than " + strconv.Itoa(feature.MaxKeyBytes)}
}

// checkRow finds what can be refused without writing anything.
func checkRow(rows *feature.Rows, row int) fault {
	origin := rows.Origins[row]
	switch {
	case origin.Element < 0 || origin.Element > feature.MaxElement:
		return fault{feature.ReasonTooLarge, "the record has more elements than " + strconv.Itoa(feature.MaxElement)}
	case origin.EventMicros < sinks.MinStamp || origin.EventMicros > sinks.MaxStamp:
		return fault{feature.ReasonTimeRange, "the event time is beyond what a store can order by"}
	}
	if n := keyText(rows.Keys, row); n > feature.MaxKeyBytes {
		return keyFault(n)
	}
	if origin.Deleted {
		return fault{}
	}
	for i := range rows.Columns {
		c := &rows.Columns[i]
		if c.Type.Length == 0 || c.IsNull(row) {
			continue
		}
		if n := c.Spans[row].End - c.Spans[row].Start; n != c.Type.Length {
			return fault{feature.ReasonLength, rows.Stored.Columns[i].Name + ": a list of " +
				strconv.Itoa(int(n)) + " elements, not " + strconv.Itoa(int(c.Type.Length))}
		}
	}
	return fault{}
}

// maxKeyScalar bounds the text of an integer or bool with the bar before it.
const maxKeyScalar = 21

// keyRoom returns a size that the key's text does not exceed.
func keyRoom(keys []feature.Column, row int) int {
	return maxKeyScalar*len(keys) + 2*keyText(keys, row)
}

// keyText returns how many bytes the strings of a key have before escaping.
func keyText(keys []feature.Column, row int) int {
	n := 0
	for i := range keys {
		if keys[i].Type.Layout() == feature.LayoutString {
			n += len(keys[i].Strings[row])
		}
	}
	return n
}
