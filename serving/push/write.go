package push

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"millrace/feature"
	"millrace/serving"
)

// write is one call of Push.
type write struct {
	s      *Service
	target *target
	req    *serving.PushRequest

	rows   []Row
	at     []int // the caller's number of each of rows
	raw    bool  // one of rows is
	answer serving.PushAnswer
	faults int
}

func (w *write) run(ctx context.Context) *serving.Error {
	if len(w.req.Rows) == 0 {
		return nil
	}
	if err := w.wayOpen(); err != nil {
		return err
	}
	faults, err := w.read()
	if err != nil {
		return err
	}
	w.refuse(faults, len(faults))
	g := w.gate()
	if g == nil {
		_, err := w.bring(ctx)
		return err
	}
	return w.through(ctx, g, len(w.rows), w.bring)
}

// through brings rows where they are to go once the gate lets them in. bring
// says whether the store was asked, which is what the gate learns from.
func (w *write) through(ctx context.Context, g *gate, rows int, bring func(context.Context) (bool, *serving.Error)) *serving.Error {
	patience, cancel := context.WithTimeout(ctx, w.s.timeout(w.req.Timeout)/2) // the rest is for the store
	v, err := g.enter(patience, rows, w.req.Patient)
	cancel()
	if err != nil {
		w.answer = serving.PushAnswer{}
		return err
	}
	how := noAnswer
	defer func() { v.leave(how) }()
	asked, err := bring(ctx)
	switch {
	case asked && err == nil:
		how = answered
	case asked && err.Code == serving.CodeDeadlineExceeded:
		how = tooLate
	}
	return err
}

// gate is what the rows pass if the answer waits until they are stored.
func (w *write) gate() *gate {
	switch {
	case w.req.Async, w.req.To == serving.ToOffline:
		return nil
	case w.throughTopic():
		return w.s.awaited
	default:
		return w.s.direct
	}
}

// bring brings the good rows where they are to go, and says whether there were
// any.
func (w *write) bring(ctx context.Context) (asked bool, _ *serving.Error) {
	applied, fault := w.s.applier.Apply(ctx, w.target.source.Name, w.target.view, w.rows)
	if fault != nil {
		return false, w.fail(ctx, fault)
	}
	defer applied.Close()
	v := applied.Verdict()
	w.count(v)
	if w.faults > 0 && !w.req.RejectRows {
		return false, w.invalid()
	}
	if !slices.ContainsFunc(v.Ends, func(e End) bool { return e != Rejected }) {
		w.tell()
		return false, nil
	}
	if err := w.send(ctx, applied, v); err != nil {
		return true, err
	}
	w.tell()
	return true, nil
}

// numberOf is what the caller calls a row of the request.
func (w *write) numberOf(row int) int {
	if w.req.Lines != nil {
		return w.req.Lines[row]
	}
	return row
}

// wayOpen refuses what needs a topic where there is none, before rows are
// looked at.
func (w *write) wayOpen() *serving.Error {
	var why string
	view := w.unawaited()
	switch {
	case view != "":
		return serving.Errorf(serving.CodeNotPushable, "view %s is rekeyed: its rows go on to a topic of its own, for which a synchronous push does not wait", view).
			At("view", "push asynchronously, or name another view")
	case w.req.Async:
		why = "asynchronous pushes go through the source's topic"
	case w.req.To == serving.ToOffline || w.req.To == serving.ToBoth:
		why = "rows for others than the online store go to the source's topic"
	case w.target.transform && w.windowed():
		why = "rows that windows count go through the source's topic"
	default:
		return nil
	}
	return w.needTopic(why)
}

func (w *write) needTopic(why string) *serving.Error {
	src := w.target.source
	switch {
	case src.Topic == "":
		return serving.Errorf(serving.CodeNotPushable, "%s, and source %s has none", why, src.Name).
			At("source", "give it one in its definition: push: {topic: …}")
	case w.s.topic == nil:
		return serving.Errorf(serving.CodeNotPushable, "%s, and this server knows no brokers", why).
			At("source", "set kafka.brokers in the server's configuration")
	}
	return nil
}

// unawaited names a rekeyed view whose rows would have to be awaited; "" if there
// is none.
func (w *write) unawaited() string {
	if w.req.Async || w.req.To == serving.ToOffline || !w.target.transform {
		return ""
	}
	for _, p := range w.target.plans {
		if p.View.Rekey {
			return p.View.Name
		}
	}
	return ""
}

// windowed reports whether a view that the rows are for has windows.
func (w *write) windowed() bool {
	for _, p := range w.target.plans {
		if p.Windows != nil {
			return true
		}
	}
	return false
}

// throughTopic reports whether windows are to count rows.
func (w *write) throughTopic() bool { return w.raw && w.windowed() }

// send brings the good rows where they are to go.
func (w *write) send(ctx context.Context, applied Applied, v *Verdict) *serving.Error {
	switch {
	case w.req.Async, w.req.To == serving.ToOffline:
		return w.publish(ctx, v, false)
	case w.throughTopic():
		return w.publish(ctx, v, true)
	}
	if err := applied.Store(ctx); err != nil {
		return w.fail(ctx, err)
	}
	if w.req.To == serving.ToBoth { // the store has it: the log is for others
		w.req.To = serving.ToOffline
		return w.publish(ctx, v, false)
	}
	return nil
}

// publish puts every row that is not refused on the topic. It waits until the
// lanes have them, or makes a receipt.
func (w *write) publish(ctx context.Context, v *Verdict, wait bool) *serving.Error {
	var rows []Row
	receipt := Receipt{Source: w.target.source.Name}
	for i, r := range w.rows {
		if v.Ends[i] == Rejected {
			continue
		}
		if key := v.Keys[i]; key != "" {
			r.Key = []byte(key)
		}
		r.Headers = w.headersOnTopic(r.Headers, wait)
		rows, receipt.Rows = append(rows, r), append(receipt.Rows, w.at[i])
	}
	var err error
	receipt.At, err = w.s.topic.Publish(ctx, receipt.Source, rows)
	if err == nil && len(receipt.At) != len(rows) {
		err = fmt.Errorf("%d rows are on the topic, %d were given", len(receipt.At), len(rows))
	}
	if err != nil {
		return w.fail(ctx, err)
	}
	w.answer.Published = len(rows)
	if w.s.events.Published != nil {
		w.s.events.Published(receipt.Source, len(rows))
	}
	if wait {
		return w.await(ctx, &receipt)
	}
	if w.req.Async {
		w.answer.Receipt = receipt.Encode()
	}
	return nil
}

func (w *write) headersOnTopic(hs []Header, wait bool) []Header {
	all := append(make([]Header, 0, len(hs)+3), hs...)
	all = append(all, Header{HeaderFormat, []byte(FormatFields)})
	if wait {
		all = append(all, Header{HeaderWait, []byte("true")})
	}
	if w.req.To == serving.ToOffline || w.req.To == serving.ToBoth {
		all = append(all, Header{HeaderTo, []byte(w.req.To)})
	}
	return all
}

// await returns when the lanes have stored what was published. Whoever is not
// waited for to the end gets a receipt.
func (w *write) await(ctx context.Context, r *Receipt) *serving.Error {
	err := w.s.topic.Await(ctx, r.Source, r.At)
	if err == nil {
		return nil
	}
	w.answer.Receipt = r.Encode()
	e := w.fail(ctx, err)
	e.Message = "the rows are on the topic and were not stored within the deadline"
	e.Details = nil
	return e.At("receipt", "ask the receipt what becomes of them; rows that are pushed again are counted again unless the source has an event_id")
}

// count takes the verdict into the answer.
func (w *write) count(v *Verdict) {
	for _, end := range v.Ends {
		switch {
		case end == Filtered:
			w.answer.Filtered++
		case end == Stored, end == Late && w.req.Async: // the receipt says of late rows what becomes of them
			w.answer.Stored++
		default:
			w.answer.Rejected++
		}
	}
	w.answer.Views = v.Views
	for _, f := range v.Faults {
		f.Row = w.at[f.Row]
		w.refuse([]serving.RowFault{f}, 0)
	}
	if w.req.To == serving.ToOffline { // nothing of it is for the store
		w.answer.Filtered += w.answer.Stored
		w.answer.Stored = 0
		w.answer.Views = nil
	}
}

// refuse notes faults; rows of them are not counted otherwise.
func (w *write) refuse(faults []serving.RowFault, rows int) {
	w.answer.Rejected += rows
	w.faults += len(faults)
	for _, f := range faults {
		if len(w.answer.Errors) < serving.MaxRowFaults {
			w.answer.Errors = append(w.answer.Errors, f)
		}
	}
}

// tell counts ends that are final.
func (w *write) tell() {
	if w.s.events.Rows == nil || w.req.Async {
		return
	}
	for _, v := range w.answer.Views {
		w.s.events.Rows(w.target.name, v)
	}
}

// invalid refuses the request for its bad rows.
func (w *write) invalid() *serving.Error {
	e := serving.Errorf(serving.CodeInvalidRows, "%d of %d rows were refused, and nothing was written", w.badRows(), len(w.req.Rows))
	for _, f := range w.answer.Errors {
		e.Details = append(e.Details, serving.Detail{Field: fmt.Sprintf("rows[%d]", f.Row), Message: f.Text()})
	}
	w.answer = serving.PushAnswer{}
	return e
}

func (w *write) badRows() int {
	bad, last := 0, -1
	for _, f := range w.answer.Errors {
		if f.Row != last {
			bad, last = bad+1, f.Row
		}
	}
	return max(bad, w.answer.Rejected)
}

// fail says what a caller may know of an error inside.
func (w *write) fail(ctx context.Context, err error) *serving.Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return serving.Errorf(serving.CodeDeadlineExceeded, "the push was not finished within its deadline; some rows may have been written")
	}
	if ctx.Err() != nil {
		return serving.Errorf(serving.CodeCanceled, "the caller went away; some rows may have been written")
	}
	if errors.Is(err, ErrOverloaded) {
		return serving.Errorf(serving.CodeOverloaded, "more rows than may be are on their way to the source's topic; nothing was published")
	}
	w.s.failed(fmt.Errorf("push to %s: %w", w.target.name, err))
	next := "push the same rows again: with their event times that changes nothing"
	if w.raw && w.windowed() {
		next = "push the same rows again; windows count those that were written twice unless the source has an event_id"
	}
	return serving.Errorf(serving.CodeUnavailable, "the rows cannot be written now; some may have been").At("rows", next)
}

// fault makes a Fault of a row that is refused before it is one.
func fault(row int, reason feature.Reason, message string) serving.RowFault {
	return serving.RowFault{Row: row, Reason: reason, Message: message}
}
