// Package definition reads definitions, YAML for people, into a catalog and
// its compiled plans.
//
// Invariant: every error of every file is reported in one go, each with file,
// line, column and a next step; a project that Load returned has none.
package definition
