// Package feature holds the vocabulary of Millrace: kinds, schemas, keys,
// columnar batches, views and the catalog. It says what things are and does
// nothing with them.
//
// Invariant: it imports the standard library only, reads no clock and performs
// no I/O, so every other package can speak in its terms without a cycle.
package feature
