// Package sourcetest is the contract of sources.Source as tests: any source
// runs the same hostile suite.
//
// Invariant: nothing here knows what kind of source it tests.
package sourcetest
