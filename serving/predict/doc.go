// Package predict calls models over the Open Inference Protocol, version 2
// (KServe's "V2"), HTTP and JSON, with binary tensors where the server offers
// them. Rows of calls that come within a millisecond or two become one tensor
// batch, callers who want the same row share one result, and a model that is
// slow, wrong or dead costs its callers no more than their own deadline.
//
// Invariant: a value is handed out only if the whole answer was checked (model,
// version, names, types, shapes, number of rows, finite numbers); whatever else
// happened is a fault with a Reason of a closed set, and no value.
package predict
