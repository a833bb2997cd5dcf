package unnest

import "unsafe"

// bytesOf returns s as a record's value, which nobody writes to. It is never
// nil, which would be a tombstone.
func bytesOf(s string) []byte {
	if s == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
