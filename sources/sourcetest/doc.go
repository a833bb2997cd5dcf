// Package sourcetest is the contracts of sources.Source and sources.Decoder as
// tests: any source runs the same hostile suite, and decoders of all formats
// run scripts of one language.
//
// Invariant: nothing here knows what kind of source or format it tests.
package sourcetest
