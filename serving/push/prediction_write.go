package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"millrace/feature"
	"millrace/serving"
)

// predictionWrite is one call of Push that writes predictions.
type predictionWrite struct {
	write
	form *predictionForm
	call *predictionCall
	now  int64              // µs; no prediction is younger
	bad  []bool             // parallel to the request's rows: it is refused
	why  []serving.RowFault // Row is the index in the request
}

// pushPredictions writes rows, within the limits of other pushes. They are
// stored at once: predictions are on no topic.
func (s *Service) pushPredictions(ctx context.Context, f *predictionForm, req *serving.PushRequest) (serving.PushAnswer, *serving.Error) {
	if len(req.Rows) == 0 && f.view != "" {
		return serving.PushAnswer{}, nil // of whichever model the rows would have been
	}
	if err := s.predictable(f, req); err != nil || len(req.Rows) == 0 {
		return serving.PushAnswer{}, err
	}
	call, _ := f.calls.Get().(*predictionCall)
	if len(req.Rows) <= maxPooledPredictions {
		defer f.calls.Put(call)
	}
	w := &predictionWrite{form: f, call: call, now: s.clock().UnixMicro(), bad: make([]bool, len(req.Rows))}
	w.write = write{s: s, target: &target{name: f.plan.Model.Name}, req: req}
	err := w.run(ctx)
	return w.answer, err
}

// maxPooledPredictions bounds the writes whose memory is kept for the next.
const maxPooledPredictions = 4096

// predictable refuses what cannot be a prediction, whatever its rows hold.
func (s *Service) predictable(f *predictionForm, req *serving.PushRequest) *serving.Error {
	m := f.plan.Model
	if err := checkTo(req); err != nil {
		return err
	}
	switch {
	case !m.Cache:
		return serving.Errorf(serving.CodeNotPushable, "model %s stores no predictions: its definition says cache: none", m.Name).
			At("model", "remove that, or write the values as features of a view")
	case !f.whole():
		missing := m.Outputs[slices.Index(f.columns, "")].Name
		return serving.Errorf(serving.CodeNotPushable, "predictions of model %s are stored whole, and view %s has no name for its output %s", m.Name, f.view, missing).
			At("view", "write them on the model's name, "+m.Name)
	case req.To == serving.ToOffline, req.To == serving.ToBoth:
		return serving.Errorf(serving.CodeNotPushable, "predictions are on no topic, and go to the online store alone").
			At("to", "write online")
	case req.Async:
		return serving.Errorf(serving.CodeNotPushable, "predictions are on no topic, and are not pushed asynchronously").
			At("mode", "push them synchronously: they are stored when that is answered")
	}
	return s.checkRows(req)
}

func (w *predictionWrite) run(ctx context.Context) *serving.Error {
	if err := w.read(); err != nil {
		return err
	}
	if err := w.decode(ctx); err != nil {
		return w.fail(ctx, err)
	}
	w.check()
	w.count()
	if w.faults > 0 && !w.req.RejectRows {
		return w.invalid()
	}
	if w.answer.Stored > 0 {
		w.fill(w.newest())
		if err := w.through(ctx, w.s.direct, w.answer.Stored, w.store); err != nil {
			w.answer = serving.PushAnswer{}
			return err
		}
	}
	w.tell()
	return nil
}

// store is the call of the store; the gate learns from it.
func (w *predictionWrite) store(ctx context.Context) (asked bool, _ *serving.Error) {
	rows := &w.call.rows
	err := w.s.store.WriteRows(ctx, rows)
	if err == nil && len(rows.Rejects) > 0 {
		err = fmt.Errorf("%d predictions: %w", len(rows.Rejects), errLate)
	}
	if err != nil {
		return true, w.fail(ctx, err)
	}
	return true, nil
}

var errLate = errors.New("refused by the store, whose check had let them pass")

// count makes the answer, as if the good rows were stored.
func (w *predictionWrite) count() {
	rejected := 0
	for _, bad := range w.bad {
		if bad {
			rejected++
		}
	}
	slices.SortStableFunc(w.why, func(a, b serving.RowFault) int { return a.Row - b.Row })
	for i := range w.why {
		w.why[i].Row = w.numberOf(w.why[i].Row)
	}
	w.refuse(w.why, rejected)
	w.answer.Stored = len(w.bad) - rejected
	w.answer.Views = []serving.PushEnds{{View: w.form.plan.Model.Name, Stored: w.answer.Stored, Rejected: rejected}}
}

// reject notes why a row of the request is not stored.
func (w *predictionWrite) reject(row int, reason feature.Reason, message string) {
	w.bad[row] = true
	w.why = append(w.why, fault(row, reason, message))
}

// frameFaults refuses a data frame for its columns.
func frameFaults(faults []columnFault) *serving.Error {
	var texts []string
	e := serving.Errorf(serving.CodeInvalidRequest, "")
	for i := range faults {
		texts = append(texts, faults[i].text())
		for _, name := range faults[i].columns {
			e.Details = append(e.Details, serving.Detail{Field: "df." + name, Name: name, Message: string(faults[i].reason)})
		}
	}
	e.Message = strings.Join(texts, ". ")
	return e
}
