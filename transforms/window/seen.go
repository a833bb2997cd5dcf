package window

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// EventID is the hash by which a tile knows an event: of the producer's id and
// the element of the record that the row is. It is stored, so it is fixed for
// ever: XXH64 of the eight bytes of the id's XXH64 and four of the element,
// little-endian, seed 0.
func EventID(id string, element int32) uint64 {
	var b [12]byte
	binary.LittleEndian.PutUint64(b[:8], xxhash.Sum64String(id))
	binary.LittleEndian.PutUint32(b[8:], uint32(element))
	return xxhash.Sum64(b[:])
}

// seen is the last MaxEventIDs ids, in a ring, and where to find them.
type seen struct {
	ids       []uint64
	next      int // the oldest, once the ring is full
	known     map[uint64]struct{}
	forgotten int
}

// fewIDs are looked up in the ring itself.
const fewIDs = 16

func (s *seen) has(id uint64) bool {
	if len(s.ids) > fewIDs {
		_, ok := s.known[id]
		return ok
	}
	return slices.Contains(s.ids, id)
}

func (s *seen) add(id uint64) bool {
	if s.has(id) {
		return false
	}
	if len(s.ids) == MaxEventIDs {
		delete(s.known, s.ids[s.next])
		s.ids[s.next] = id
		s.next = (s.next + 1) % MaxEventIDs
		s.known[id] = struct{}{}
		s.forgotten++
		return true
	}
	s.ids = append(s.ids, id)
	switch {
	case len(s.ids) == fewIDs+1:
		if s.known == nil {
			s.known = make(map[uint64]struct{}, 4*fewIDs)
		}
		for _, k := range s.ids {
			s.known[k] = struct{}{}
		}
	case len(s.ids) > fewIDs:
		s.known[id] = struct{}{}
	}
	return true
}

// append writes the ids, the oldest first.
func (s *seen) append(b []byte) []byte {
	for i := range s.ids {
		b = binary.LittleEndian.AppendUint64(b, s.ids[(s.next+i)%len(s.ids)])
	}
	return b
}

func (s *seen) decode(raw []byte) bool {
	for ; len(raw) >= 8; raw = raw[8:] {
		if !s.add(binary.LittleEndian.Uint64(raw)) {
			return false // twice
		}
	}
	return true
}

func (s *seen) reset() {
	s.ids, s.next, s.forgotten = s.ids[:0], 0, 0
	clear(s.known)
}

func (s *seen) memory() int { return 48 + 8*cap(s.ids) + 24*len(s.known) }
