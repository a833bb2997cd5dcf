// Package importrules is a test: it fails when a package imports what its
// place in the house forbids, and says what to do instead.
//
// Invariant: every package of the module has a rule, a comment, and a place
// in an import graph that is at most five packages deep below the commands.
package importrules
