package serving

import (
	"context"

	"millrace/feature"
)

// Predictor computes predictions of one model. It is safe for concurrent use.
type Predictor interface {
	// Predict infers the rows of q and fills dst: for each row either all outputs
	// or a fault. It blocks until all are known or ctx ends, whose rows then have
	// faults. q is the caller's again on return; strings of dst live as long as
	// dst. An error is for all rows: q does not fit, or the process ends.
	Predict(ctx context.Context, q *Inference, dst *Inferred) error
}

// Inference is rows to infer.
type Inference struct {
	Inputs []*feature.Column // parallel to the model's inputs, Rows long
	Rows   int
	Keys   []InferenceKey // one per row; nil shares nothing
}

// InferenceKey names what a row is a prediction of: rows of one key that are
// asked for at the same time share one call.
type InferenceKey struct{ Entity, Fingerprint string }

// Inferred is what became of the rows of an Inference. It may be used again.
type Inferred struct {
	Outputs []feature.Column // parallel to the model's outputs; null where there is a fault
	Faults  []InferenceFault // one per row
	Shared  feature.Bitmap   // rows that another Predict asked for first, whose caller keeps the prediction
}

// InferenceFault is why a row has no prediction; the zero fault is none.
type InferenceFault struct {
	Reason string // of a closed set, as metrics and origins name it; "" is none
	// Lasting faults come back for the same inputs: another try is for when these
	// have changed.
	Lasting bool
}

// PredictionWriter keeps predictions. It is safe for concurrent use.
type PredictionWriter interface {
	// WriteRows stores rows of a transforms.ModelPlan's View and returns when
	// they are durable and readable. After an error any of them may be stored;
	// to store them again is harmless. Rows that no store may see go to
	// rows.Rejects.
	WriteRows(ctx context.Context, rows *feature.Rows) error
}

// RefreshEnd is what became of a key that was to be refreshed.
type RefreshEnd uint8

// The ends.
const (
	RefreshFresh   RefreshEnd = iota // a fresh prediction was there
	RefreshStored                    // one was computed and stored, and is fresh
	RefreshNewer                     // a process with a newer catalog looks after it
	RefreshMoving                    // inputs changed at every try; who changed them tells of it
	RefreshRefused                   // no prediction can be made of these inputs
	RefreshFailed                    // the model or the store failed: worth another try
)

// Refreshes is how many ends there are.
const Refreshes = int(RefreshFailed) + 1

// String returns the name that metrics carry.
func (e RefreshEnd) String() string {
	return [...]string{"fresh", "stored", "newer", "moving", "refused", "failed"}[min(e, RefreshFailed)]
}
