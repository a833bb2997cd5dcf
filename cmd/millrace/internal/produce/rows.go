package produce

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Row is one row of a file.
type Row struct {
	Line   int            // where it begins, from 1
	Fields map[string]any // nil where Fault says why
	Fault  error
}

// Rows reads rows: JSON objects, one per line, or an array of them.
type Rows struct {
	in     *bufio.Reader
	line   int // that in stands at
	array  *json.Decoder
	breaks breaks
	begun  bool
}

// maxRow bounds a line; records may have 16 MiB.
const maxRow = 16 << 20

// NewRows returns the rows in r.
func NewRows(r io.Reader) *Rows { return &Rows{in: bufio.NewReaderSize(r, 64<<10), line: 1} }

// Next returns the next row, or io.EOF after the last one. Every other error
// ends the reading too; a row that is no row has a Fault instead.
func (r *Rows) Next() (Row, error) {
	if !r.begun {
		if err := r.begin(); err != nil {
			return Row{}, err
		}
	}
	if r.array != nil {
		return r.nextElement()
	}
	return r.nextLine()
}

// begin looks whether an array follows.
func (r *Rows) begin() error {
	r.begun = true
	for {
		b, err := r.in.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return io.EOF
		case err != nil:
			return fmt.Errorf("read rows: %w", err)
		case b == '\n':
			r.line++
		case b != ' ' && b != '\t' && b != '\r':
			if err := r.in.UnreadByte(); err != nil || b != '[' {
				return err //nolint:wrapcheck // there is none after ReadByte
			}
			r.breaks = breaks{Reader: r.in, line: r.line}
			r.array = json.NewDecoder(&r.breaks)
			_, err := r.array.Token()
			return err //nolint:wrapcheck // the bracket is there
		}
	}
}

func (r *Rows) nextElement() (Row, error) {
	if !r.array.More() {
		_, err := r.array.Token()
		if err != nil {
			return Row{}, fmt.Errorf("read rows: after line %d: the array does not end", r.breaks.lineAt(r.array.InputOffset()))
		}
		return Row{}, io.EOF
	}
	var text json.RawMessage
	if err := r.array.Decode(&text); err != nil {
		if errors.Is(err, io.EOF) { // which would mean that all is well
			err = errors.New("the array does not end")
		}
		at := r.breaks.lineAt(r.array.InputOffset())
		return Row{}, fmt.Errorf("read rows: after line %d: %w; with one row per line the others would have been sent", at, err)
	}
	line := r.breaks.lineAt(r.array.InputOffset() - int64(len(text)))
	row := parse(text)
	row.Line = line
	return row, nil
}

func (r *Rows) nextLine() (Row, error) {
	for {
		text, tooLong, err := r.readLine()
		at := r.line
		r.line++
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return Row{}, fmt.Errorf("read rows: line %d: %w", at, err)
		case tooLong:
			return Row{Line: at, Fault: fmt.Errorf("is longer than %d MiB", maxRow>>20)}, nil
		case len(bytes.TrimSpace(text)) > 0:
			row := parse(text)
			row.Line = at
			return row, nil
		case err != nil:
			return Row{}, io.EOF
		}
	}
}

// readLine reads to the end of a line, of which it keeps no more than maxRow.
func (r *Rows) readLine() (text []byte, tooLong bool, err error) {
	for {
		part, err := r.in.ReadSlice('\n')
		if len(text)+len(part) > maxRow {
			text, tooLong = nil, true
		}
		if !tooLong {
			text = append(text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, tooLong, err //nolint:wrapcheck // the caller says where
		}
	}
}

// parse reads one object with nothing behind it.
func parse(text []byte) Row {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it ends too early")
		}
		return Row{Fault: fmt.Errorf("is not JSON: %w", err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Row{Fault: errors.New("has something behind its object: write one row per line")}
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return Row{Fault: misfit(v, "an object of fields")}
	}
	return Row{Fields: fields}
}

// breaks remembers where lines end until somebody asked.
type breaks struct {
	io.Reader
	read int64
	line int     // at the last question
	ends []int64 // after that
}

func (b *breaks) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			b.ends = append(b.ends, b.read+int64(i))
		}
	}
	b.read += int64(n)
	return n, err //nolint:wrapcheck // a Reader
}

// lineAt returns the line of an offset, which does not go back.
func (b *breaks) lineAt(offset int64) int {
	passed := 0
	for passed < len(b.ends) && b.ends[passed] < offset {
		passed++
	}
	b.line += passed
	b.ends = append(b.ends[:0], b.ends[passed:]...)
	return b.line
}
