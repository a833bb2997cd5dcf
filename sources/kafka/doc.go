// Package kafka is the source that reads Kafka topics as one consumer group.
//
// Invariant: what it delivers of a partition is exactly what the log holds from
// the offset that the handler asked for, in offset order; where the log cannot
// give that, the handler is told and gets nothing until it says where to go on.
package kafka
