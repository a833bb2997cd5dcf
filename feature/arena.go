package feature

import "unsafe"

// Arena owns the bytes that strings of a batch point into. Strings it returned
// are valid until Reset; growing never moves them. The zero Arena is ready.
//
// It appends into one chunk; a full chunk is left to the strings that point
// into it and a chunk of twice the size takes over, so after a few fills one
// chunk holds a whole batch and nothing is allocated. Rejected: a bytes.Buffer,
// whose growth moves what was handed out.
type Arena struct {
	chunk []byte
	used  int // bytes handed out since Reset, over all chunks
}

const minChunkBytes = 4 << 10

// Reset takes everything back; strings handed out before must not be read again.
func (a *Arena) Reset() {
	a.chunk, a.used = a.chunk[:0], 0
}

// Bytes returns how many bytes are in use.
func (a *Arena) Bytes() int { return a.used }

// Copy returns a string with the content of b that lives until Reset.
func (a *Arena) Copy(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	start := len(a.reserve(len(b)))
	a.chunk = append(a.chunk, b...)
	a.used += len(b)
	return unsafe.String(&a.chunk[start], len(b))
}

// Tail returns the free end of the arena, at least n bytes of capacity and no
// length, for append-style writers; Keep makes what they wrote a string.
func (a *Arena) Tail(n int) []byte {
	return a.reserve(n)[len(a.chunk):len(a.chunk):cap(a.chunk)]
}

// Keep takes b, which a writer appended to the latest Tail, as a string that
// lives until Reset. If the writer outgrew the tail, b is its own memory and is
// simply referenced; the arena then doubles, so that it happens ever less.
func (a *Arena) Keep(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	a.used += len(b)
	at := len(a.chunk)
	if at+len(b) <= cap(a.chunk) && &a.chunk[:at+1][at] == &b[0] {
		a.chunk = a.chunk[:at+len(b)]
	} else {
		a.chunk = make([]byte, 0, max(minChunkBytes, 2*cap(a.chunk), len(b)))
	}
	return unsafe.String(&b[0], len(b))
}

func (a *Arena) reserve(n int) []byte {
	if len(a.chunk)+n > cap(a.chunk) {
		a.chunk = make([]byte, 0, max(minChunkBytes, 2*cap(a.chunk), n))
	}
	return a.chunk
}
