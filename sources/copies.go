package sources

import (
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Headers of copies. They stand behind the record's own, in this order, and
// are believed on topics alone that nobody but Millrace writes to.
const (
	// HeaderOriginal says where the record was: topic/partition/offset/time,
	// the time in milliseconds.
	HeaderOriginal = "millrace-original"
	// HeaderKey is the record's key; without it, it had none.
	HeaderKey = "millrace-key"
	// HeaderFirst is on one copy of each record. It lists the entity keys of
	// the others, each behind its length as a uvarint.
	HeaderFirst = "millrace-first"
)

// Copy is what a record on a topic keyed by entity says of the record that it
// was made of. A record has one copy for each different entity key of its rows.
//
// Every row of the record belongs to one copy, whoever computes its key and
// under which definitions: the copy of its key if there is one, else the first.
type Copy struct {
	Partition          // of the record
	Offset, TimeMillis int64
	Key                []byte // nil for none
	Entity             string // entity key that the copy is for; of no meaning on a copy that is the only one
	First              bool
	Others             []string // entity keys of the other copies, in order; on the first one
}

// Owns reports whether a row of that entity key, "" for one without, belongs to
// the copy.
func (c *Copy) Owns(entity string) bool {
	if c.First {
		_, other := slices.BinarySearch(c.Others, entity)
		return !other
	}
	return entity != "" && entity == c.Entity
}

// OwnsAll reports whether every row of the record belongs to the copy.
func (c *Copy) OwnsAll() bool { return c.First && len(c.Others) == 0 }

// Pack returns the headers of the copy of a record whose own ones are given.
func (c *Copy) Pack(own []Header) []Header {
	hs := append(slices.Clip(own), c.Original())
	if c.Key != nil {
		hs = append(hs, Header{HeaderKey, c.Key})
	}
	if c.First {
		var others []byte
		for _, o := range c.Others {
			others = append(binary.AppendUvarint(others, uint64(len(o))), o...)
		}
		hs = append(hs, Header{HeaderFirst, others})
	}
	return hs
}

// Original returns the header that says where the record was.
func (c *Copy) Original() Header {
	at := make([]byte, 0, len(c.Topic)+48)
	at = append(append(at, c.Topic...), '/')
	at = append(strconv.AppendInt(at, int64(c.Number), 10), '/')
	at = append(strconv.AppendInt(at, c.Offset, 10), '/')
	return Header{HeaderOriginal, strconv.AppendInt(at, c.TimeMillis, 10)}
}

// OriginalOf reads the last header of a dead letter of a copy: where the record
// was, and when.
func OriginalOf(last Header) (Copy, bool) {
	var c Copy
	ok := last.Key == HeaderOriginal && c.parseOriginal(string(last.Value))
	return c, ok
}

// OriginalPartition reads the partition of OriginalOf.
func OriginalPartition(last Header) (int32, bool) {
	c, ok := OriginalOf(last)
	return c.Number, ok
}

// errNoCopy is what Unpack says of a record that nobody made as a copy.
var errNoCopy = errors.New("its headers do not say of which record it is a copy")

// Unpack makes r, a copy, the record that it was made of, and returns what the
// copy said. On error r is left as it was.
func Unpack(r *Record) (Copy, error) {
	var c Copy
	rest := r.Headers
	last := func(name string) ([]byte, bool) {
		if len(rest) == 0 || rest[len(rest)-1].Key != name {
			return nil, false
		}
		value := rest[len(rest)-1].Value
		rest = rest[:len(rest)-1]
		return value, true
	}
	ok := true
	if others, first := last(HeaderFirst); first {
		c.First = true
		c.Others, ok = splitOthers(others)
	}
	if key, has := last(HeaderKey); has {
		c.Key = key
		if key == nil {
			c.Key = []byte{}
		}
	}
	at, found := last(HeaderOriginal)
	if !ok || !found || !c.parseOriginal(string(at)) {
		return Copy{}, errNoCopy
	}
	c.Entity = string(r.Key)
	r.Key, r.Headers, r.Offset, r.TimeMillis = c.Key, rest, c.Offset, c.TimeMillis
	return c, nil
}

// parseOriginal reads HeaderOriginal; topics have no slashes.
func (c *Copy) parseOriginal(at string) bool {
	parts := strings.Split(at, "/")
	if len(parts) != 4 || parts[0] == "" {
		return false
	}
	number, err1 := strconv.ParseInt(parts[1], 10, 32)
	offset, err2 := strconv.ParseInt(parts[2], 10, 64)
	millis, err3 := strconv.ParseInt(parts[3], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || number < 0 || offset < 0 {
		return false
	}
	c.Topic, c.Number, c.Offset, c.TimeMillis = parts[0], int32(number), offset, millis
	return true
}

func splitOthers(b []byte) ([]string, bool) {
	var others []string
	for len(b) > 0 {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, false
		}
		others = append(others, string(b[size:size+int(n)]))
		b = b[size+int(n):]
	}
	return others, slices.IsSorted(others)
}
