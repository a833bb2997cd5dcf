// Package client calls Millrace over HTTP: it looks features up, pushes rows,
// and asks what became of rows that were pushed asynchronously. It needs the
// standard library alone, and nothing of the engine.
//
// Invariant: a call is sent again only if that cannot change what is stored.
// Lookups and receipts always can be; a push only when its rows say, or its
// caller says, that pushing them twice is pushing them once, or when the
// server surely has not touched it. No call outlives its context.
package client
