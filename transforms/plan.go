package transforms

import (
	"millrace/feature"
)

// Problem is one fault in a view's text.
type Problem struct {
	Part    string // where in the view: "where", "keys.driver_id", "features[3].expr", "features[3].default"
	Offset  int    // byte offset in that part's text; -1 for the part as a whole
	Message string
	Hint    string // the next step, "" when there is none
}

// Plan is a compiled view. It is immutable and may be shared; Writer and
// Reader make the per-goroutine state.
type Plan struct {
	View   *feature.View
	Entity *feature.Entity
	Source *feature.Source

	Fields []feature.Field // fields of the source that the write half reads
	Stored *feature.Stored // what crosses the cut: features at write, then hidden inputs
}

// Compile type-checks v over src and cuts it. It fills in v.Features[i].Type.
// All problems are returned at once; the plan is nil if there are any.
func Compile(v *feature.View, src *feature.Source, e *feature.Entity) (*Plan, []Problem) {
	return nil, nil
}
