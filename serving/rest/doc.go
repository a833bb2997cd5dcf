// Package rest is the read API over HTTP: Feast's own endpoint, byte for byte
// where its clients look, and the native lookup (docs/api.md).
//
// Invariant: whatever the body, the answer is JSON of the endpoint's form, and
// an error names fields and definitions, never keys or values.
package rest
