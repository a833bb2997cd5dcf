// Package app wires the parts of Millrace into roles. It is, with the
// subcommands above it, the only place that knows every concrete type.
//
// Invariant: it starts from the store upward and stops from the source
// downward, and leaves nothing running.
package app
