// Package telemetry holds the metrics, the admin endpoint and the loggers of a
// process. Engines tell what happens through callbacks; the command turns
// these into calls of this package, so no engine knows a metrics backend.
//
// Invariant: nothing here is global. Metrics live in a registry of their own,
// and their label values come from closed sets (views, topics, partitions,
// stages, reasons), never from keys, values or offsets.
package telemetry
