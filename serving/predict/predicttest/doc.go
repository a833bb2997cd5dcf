// Package predicttest is the other side of the Open Inference Protocol for
// tests: a model server that can be slow, wrong, dead, cut short or redirecting,
// over real connections or, for virtual time, in memory. It parses requests by
// the letter of the protocol and shares no code with the client, so that a
// mistake of one is not repaired by the other.
package predicttest
