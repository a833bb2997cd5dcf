package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"millrace/serving"
)

// Receipt implements serving.Writer.
func (s *Service) Receipt(ctx context.Context, id string, timeout time.Duration) (serving.ReceiptStatus, *serving.Error) {
	r, err := ParseReceipt(id)
	if err != nil {
		return serving.ReceiptStatus{}, serving.Errorf(serving.CodeNotFound, "there is no such receipt").At("id", "give it as the push answered it")
	}
	src := s.catalog.Source(r.Source)
	if src == nil || src.Topic == "" || s.topic == nil {
		return serving.ReceiptStatus{}, serving.Errorf(serving.CodeNotFound, "the receipt is of a source that has no topic here").
			At("id", "ask a server that serves source "+serving.Shown(r.Source))
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout(timeout))
	defer cancel()
	st := serving.ReceiptStatus{State: serving.ReceiptPending, Rows: len(r.At)}
	if st.Finished, err = s.topic.Passed(ctx, r.Source, r.At); err != nil {
		return serving.ReceiptStatus{}, s.receiptFault(ctx, r, err)
	}
	if st.Finished < st.Rows {
		return st, nil
	}
	letters, err := s.topic.Letters(ctx, r.Source, r.At)
	if err != nil {
		return serving.ReceiptStatus{}, s.receiptFault(ctx, r, err)
	}
	st.State = serving.ReceiptDone
	slices.SortStableFunc(letters, func(a, b Refusal) int { return a.At - b.At })
	for _, l := range letters {
		st.State = serving.ReceiptDeadLettered
		if len(st.Errors) < serving.MaxRowFaults && l.At >= 0 && l.At < len(r.Rows) {
			st.Errors = append(st.Errors, serving.RowFault{Row: r.Rows[l.At], Element: l.Element, View: l.View, Reason: l.Reason, Message: l.Message})
		}
	}
	return st, nil
}

func (s *Service) receiptFault(ctx context.Context, r *Receipt, err error) *serving.Error {
	switch {
	case errors.Is(err, ErrOtherTopic):
		return serving.Errorf(serving.CodeNotFound, "the receipt is of a topic that was deleted since").
			At("id", "what was stored of its rows can be looked up; the rest is gone")
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return serving.Errorf(serving.CodeDeadlineExceeded, "the receipt could not be looked up within its deadline")
	case ctx.Err() != nil:
		return serving.Errorf(serving.CodeCanceled, "the caller went away")
	}
	s.failed(fmt.Errorf("look up a receipt of source %s: %w", r.Source, err))
	return serving.Errorf(serving.CodeUnavailable, "the receipt cannot be looked up now")
}
