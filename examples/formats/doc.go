// Package formats is an example project with a source of each format.
//
// Invariant: the descriptor set is what clicks.proto compiles to, and the
// definitions compile without errors; a test holds them to it.
package formats

//go:generate go test -run TestTheDescriptorsAreThoseOfTheFile -rewrite
