// Package e2e holds the end-to-end suite: real processes of the built binary,
// events in at the broker, features out at the API, nothing in between looked
// into. The same scenarios run on the embedded stack (make test) and on Apache
// Kafka and Apache Cassandra (make test-real, build tag real).
//
// Invariant: every process a test starts is ended by that test, by its id.
package e2e
