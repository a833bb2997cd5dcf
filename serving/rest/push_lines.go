package rest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"slices"
	"strconv"

	"millrace/feature"
	"millrace/serving"
)

// Bounds of what is read of a stream before it is written.
const (
	lineBatchRows  = 512
	lineBatchBytes = 256 << 10
	lineBuffer     = 64 << 10
)

// isLines reports whether the body is newline-delimited JSON.
func (c *call) isLines() bool {
	kind, _, _ := mime.ParseMediaType(c.request.Header.Get("Content-Type"))
	return kind == "application/x-ndjson" || kind == "application/ndjson"
}

// lines is a body that is read line by line. A line that is too long is passed
// over.
type lines struct {
	c     *call
	in    *bufio.Reader
	limit int // bytes of a line
	next  int // number of the line to come
	done  bool

	ends   []int // of the rows in c.scratch
	rows   []int // their lines
	faults []serving.RowFault
}

// pushLines writes a body of one row per line, some lines at a time: what it
// holds is bounded, however long the body is.
func (c *call) pushLines() *serving.Error {
	c.pushed.req.RejectRows = true
	if err := c.admit(lineBuffer); err != nil {
		return err
	}
	l := &lines{c: c, in: bufio.NewReaderSize(c.request.Body, lineBuffer), limit: c.limits.MaxRowBytes}
	if c.pushed.req.Async {
		return l.async()
	}
	c.pushed.req.Patient = true
	var total serving.PushAnswer
	for !l.done {
		first := l.next
		if err := l.fill(lineBatchRows, lineBatchBytes); err != nil {
			c.pushed.nextRow, c.pushed.answer = first, total
			return err
		}
		answer, err := l.write()
		if err != nil {
			l.failed(first, &total, &answer, err)
			return err
		}
		add(&total, &answer)
	}
	c.pushed.answer = total
	c.encodePush()
	return nil
}

// failed says where to go on: behind lines that are on the topic, whose receipt
// says what becomes of them, or at those that may not have been written; and
// what became of those before.
func (l *lines) failed(first int, total, last *serving.PushAnswer, err *serving.Error) {
	pushed := &l.c.pushed
	switch err.Code { //nolint:exhaustive // the others are about the request
	case serving.CodeUnavailable, serving.CodeDeadlineExceeded, serving.CodeOverloaded, serving.CodeCanceled:
		pushed.nextRow = first
	}
	if last.Receipt != "" {
		pushed.nextRow = l.next
		add(total, &serving.PushAnswer{Rejected: last.Rejected, Errors: last.Errors})
	}
	pushed.answer = *total
	pushed.answer.Receipt = last.Receipt
}

// async reads the whole body, which is bounded as others are: one receipt is
// for all of it.
func (l *lines) async() *serving.Error {
	limits := l.c.limits
	if err := l.fill(limits.MaxRows, int(limits.MaxBodyBytes)); err != nil {
		return err
	}
	if !l.done {
		return tooLarge(limits.MaxBodyBytes)
	}
	var err *serving.Error
	if l.c.pushed.answer, err = l.write(); err != nil {
		return err
	}
	l.c.encodePush()
	return nil
}

// write writes what fill read.
func (l *lines) write() (serving.PushAnswer, *serving.Error) {
	c := l.c
	c.setRows(l.ends)
	c.pushed.req.Lines = l.rows
	answer, err := c.pushed.writer.Push(c.request.Context(), &c.pushed.req)
	answer.Rejected += len(l.faults)
	answer.Errors = merge(answer.Errors, l.faults)
	return answer, err
}

// merge puts two lists of faults into the order of rows.
func merge(a, b []serving.RowFault) []serving.RowFault {
	if len(b) == 0 {
		return a
	}
	all := make([]serving.RowFault, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].Row <= b[0].Row {
			all, a = append(all, a[0]), a[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	return append(append(all, a...), b...)
}

// fill reads lines until there are as many rows or bytes, or the body ends.
func (l *lines) fill(rows, size int) *serving.Error {
	c := l.c
	l.ends, l.rows, l.faults = l.ends[:0], l.rows[:0], nil
	c.scratch = c.scratch[:0]
	c.readWithin(readTimeout)
	defer c.readWithin(0)
	for len(l.ends) < rows && len(c.scratch) < size && !l.done {
		start := len(c.scratch)
		if err := l.line(); err != nil {
			return err
		}
		row := l.next
		l.next++
		switch text := c.scratch[start:]; {
		case len(text) > l.limit:
			c.scratch = c.scratch[:start]
			l.faults = append(l.faults, serving.RowFault{
				Row: row, Reason: feature.ReasonTooLarge, Message: "the line is longer than " + strconv.Itoa(l.limit) + " bytes",
			})
		case len(bytes.TrimSpace(text)) == 0:
			c.scratch = c.scratch[:start]
		default:
			l.ends, l.rows = append(l.ends, len(c.scratch)), append(l.rows, row)
		}
	}
	return nil
}

// line appends a line to c.scratch, or the first bytes of one that is too long.
func (l *lines) line() *serving.Error {
	c := l.c
	start := len(c.scratch)
	for {
		part, err := l.in.ReadSlice('\n')
		if room := l.limit + 1 - (len(c.scratch) - start); len(part) > room {
			part = part[:max(room, 0)]
		}
		c.scratch = append(c.scratch, part...)
		if held := c.pushed.pass.Hold(int64(lineBuffer + cap(c.scratch))); held != nil {
			return held
		}
		switch {
		case err == nil:
			c.scratch = bytes.TrimSuffix(c.scratch, []byte("\n"))
			return nil
		case errors.Is(err, io.EOF):
			l.done = true
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return serving.Errorf(serving.CodeInvalidRequest, "the body broke off").At("body", "lines before next_row were written; send the others again")
		}
	}
}

// add adds what became of more rows.
func add(total, more *serving.PushAnswer) {
	total.Stored += more.Stored
	total.Filtered += more.Filtered
	total.Rejected += more.Rejected
	total.Published += more.Published
	for _, v := range more.Views { // parts of features and of predictions have different ones
		i := slices.IndexFunc(total.Views, func(t serving.PushEnds) bool { return t.View == v.View })
		if i < 0 {
			total.Views = append(total.Views, v)
			continue
		}
		total.Views[i].Stored += v.Stored
		total.Views[i].Filtered += v.Filtered
		total.Views[i].Rejected += v.Rejected
	}
	left := serving.MaxRowFaults - len(total.Errors)
	total.Errors = append(total.Errors, more.Errors[:min(left, len(more.Errors))]...)
}
