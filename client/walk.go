package client

import (
	"encoding/json"
	"iter"
)

// An answer has tens of thousands of small values, for each of which
// encoding/json would look at the text several times. These functions cut it
// up instead, once it is known to be valid JSON (json.Valid): they look for no
// faults, and read no byte behind valid text.

// elements cuts up an array, text from [ to ].
func elements(array []byte) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		for i := afterSpace(array, 1); array[i] != ']'; {
			end := valueEnd(array, i)
			if !yield(array[i:end:end]) {
				return
			}
			i = afterComma(array, end)
		}
	}
}

// members cuts up an object, text from { to }. Keys have their quotes.
func members(object []byte) iter.Seq2[[]byte, json.RawMessage] {
	return func(yield func([]byte, json.RawMessage) bool) {
		for i := afterSpace(object, 1); object[i] != '}'; {
			keyEnd := stringEnd(object, i)
			value := afterSpace(object, afterSpace(object, keyEnd)+1) // the colon
			end := valueEnd(object, value)
			if !yield(object[i:keyEnd], object[value:end:end]) {
				return
			}
			i = afterComma(object, end)
		}
	}
}

// valueEnd returns the index behind the value that begins at i.
func valueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
		return nestedEnd(b, i)
	}
	for i < len(b) && !ends(b[i]) {
		i++
	}
	return i
}

// ends reports whether c is behind a number or a word.
func ends(c byte) bool {
	return c == ',' || c == ']' || c == '}' || isSpace(c)
}

func nestedEnd(b []byte, i int) int {
	for depth := 0; ; i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

func stringEnd(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func afterSpace(b []byte, i int) int {
	for isSpace(b[i]) {
		i++
	}
	return i
}

// afterComma returns where the next element begins, or the end of all.
func afterComma(b []byte, i int) int {
	if i = afterSpace(b, i); b[i] == ',' {
		i = afterSpace(b, i+1)
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
