package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"

	"millrace/sinks"
)

// The first byte of a key is its table.
const (
	tableFormat byte = 0
	tableCells  byte = 1
	tableLetter byte = 2
	tableMeta   byte = 3
	tableMark   byte = 4 // what replays made of letters, by the letters' keys
	tableTiles  byte = 5
)

const formatVersion = "1"

func formatKey() []byte { return []byte{tableFormat} }

// appendCellKey appends the key of a cell. Lengths in front keep names apart
// whatever bytes they hold, and the views of one entity key together.
func appendCellKey(dst []byte, entity, key, view string) []byte {
	dst = append(dst, tableCells)
	dst = appendText(dst, entity)
	dst = appendText(dst, key)
	return append(dst, view...)
}

// appendText appends a length and the text.
func appendText(dst []byte, text string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(text)))
	return append(dst, text...)
}

// appendTiles begins the keys of the tiles of one view and hop, which sort by
// start, then source.
func appendTiles(dst []byte, entity, key, view string, hop int32) []byte {
	dst = append(dst, tableTiles)
	dst = appendText(dst, entity)
	dst = appendText(dst, key)
	dst = appendText(dst, view)
	return appendInt32(dst, hop)
}

// tileNumbers end the key of a tile: its start and source.
const tileNumbers = 8 + 4

func appendTileKey(dst []byte, id *sinks.TileID) []byte {
	dst = appendTiles(dst, id.Entity, id.Key, id.View, id.HopSeconds)
	return appendInt32(appendInt64(dst, id.Start), id.Source)
}

func tileKeyLen(id *sinks.TileID) int {
	const hopBytes = 4
	names := len(id.Entity) + len(id.Key) + len(id.View)
	return 1 + uvarintLen(len(id.Entity)) + uvarintLen(len(id.Key)) + uvarintLen(len(id.View)) + names + hopBytes + tileNumbers
}

// Signed numbers are stored big-endian with the sign bit turned, so that bytes
// sort as the numbers do.
const (
	sign32 = 1 << 31
	sign64 = 1 << 63
)

func appendInt32(dst []byte, v int32) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(v)^sign32)
}

func appendInt64(dst []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(v)^sign64)
}

func readInt32(b []byte) int32 { return int32(binary.BigEndian.Uint32(b) ^ sign32) }

func readInt64(b []byte) int64 { return int64(binary.BigEndian.Uint64(b) ^ sign64) }

// A source's name ends with nameEnd; a zero byte in it is followed by zeroByte.
// So names sort as they do alone, a prefix first.
const (
	nameEnd  = 0x01
	zeroByte = 0xff
)

func appendName(dst []byte, name string) []byte {
	for i := range len(name) {
		dst = append(dst, name[i])
		if name[i] == 0 {
			dst = append(dst, zeroByte)
		}
	}
	return append(dst, 0, nameEnd)
}

var errKey = errors.New("damaged key")

// cutName reads what appendName wrote and returns the rest.
func cutName(b []byte) (name string, rest []byte, err error) {
	var out []byte
	for i := 0; i+1 < len(b); i++ {
		switch {
		case b[i] != 0:
			out = append(out, b[i])
		case b[i+1] == nameEnd:
			return string(out), b[i+2:], nil
		case b[i+1] == zeroByte:
			out = append(out, 0)
			i++
		default:
			return "", nil, errKey
		}
	}
	return "", nil, errKey
}

// letterPrefix begins the keys of the letters of source, or of all sources
// when it is "".
func letterPrefix(source string) []byte {
	if source == "" {
		return []byte{tableLetter}
	}
	return appendName([]byte{tableLetter}, source)
}

// appendLetterKey appends the key of a letter; keys sort as LetterIDs do.
func appendLetterKey(dst []byte, id *sinks.LetterID) []byte {
	dst = appendName(append(dst, tableLetter), id.Source)
	dst = appendInt32(dst, id.Partition)
	dst = appendInt32(dst, id.Day)
	dst = appendInt64(dst, id.Position)
	dst = appendInt32(dst, id.Element)
	return append(dst, id.View...)
}

const letterNumbers = 4 + 4 + 8 + 4

// parseLetterKey reads what appendLetterKey wrote.
func parseLetterKey(b []byte) (id sinks.LetterID, err error) {
	if len(b) == 0 || b[0] != tableLetter {
		return id, fmt.Errorf("read letter: %w", errKey)
	}
	source, rest, err := cutName(b[1:])
	if err != nil || len(rest) < letterNumbers {
		return id, fmt.Errorf("read letter: %w", errKey)
	}
	return sinks.LetterID{
		Source:    source,
		Partition: readInt32(rest),
		Day:       readInt32(rest[4:]),
		Position:  readInt64(rest[8:]),
		Element:   readInt32(rest[16:]),
		View:      string(rest[letterNumbers:]),
	}, nil
}

func metaPrefix(t sinks.MetaTable) []byte { return appendName([]byte{tableMeta}, string(t)) }

func metaKey(t sinks.MetaTable, id string) []byte { return append(metaPrefix(t), id...) }

// after returns the first key that does not begin with prefix, which must not
// end in 0xff.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	end[len(end)-1]++
	return end
}
