// Package oip is as much of the Open Inference Protocol, version 2, as the
// examples need: HTTP with JSON, on either side.
package oip
