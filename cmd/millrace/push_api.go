package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"millrace/cmd/millrace/internal/produce"
)

// Requests of `millrace push`: of so many rows and bytes, each answered within
// a time, sent again so often while the server is overloaded or its store away.
const (
	pushBatchRows  = 1000
	pushBatchBytes = 2 << 20
	pushTimeout    = time.Minute
	pushAttempts   = 8
)

// apiPush sends the rows of a file to the API.
type apiPush struct {
	target  string // URL
	async   bool
	client  http.Client
	refused func(produce.Refusal)
	told    func(*apiSummary)

	body    bytes.Buffer // of one request
	lines   []int        // in the file, of its rows
	summary apiSummary
}

// apiSummary is what became of the rows of a file.
type apiSummary struct {
	Source   string            `json:"source"`
	Rows     int               `json:"rows"`
	Stored   int               `json:"stored"`
	Filtered int               `json:"filtered"`
	Accepted int               `json:"accepted,omitempty"` // asynchronously
	Refused  int               `json:"refused"`
	Receipts []string          `json:"receipts,omitempty"`
	Refusals []produce.Refusal `json:"refusals,omitempty"` // the first ones
}

// apiAnswer is what the API answers to a push.
type apiAnswer struct {
	Stored   int    `json:"stored"`
	Filtered int    `json:"filtered"`
	Accepted int    `json:"accepted"`
	Receipt  string `json:"receipt"`
	Errors   []struct {
		Row     int    `json:"row"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"errors"`
	Error struct {
		NextRow *int   `json:"next_row"`
		Receipt string `json:"receipt"`
	} `json:"error"`
	text []byte // as it came
}

func pushToAPI(cmd *cobra.Command, g *globals, f pushFlags, args []string) error {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	if f.server == "" {
		f.server = apiAddress(&cfg)
	}
	in, size, err := openRows(cmd, args[1:])
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // nothing was written
	rows, said, progress, done := pushProgress(in, size, cmd.ErrOrStderr())
	p := &apiPush{target: f.url(args[0]), async: f.async, client: http.Client{Timeout: pushTimeout}}
	p.summary.Source = args[0]
	p.refused = showRefusals(said)
	p.told = func(s *apiSummary) {
		progress(&produce.Summary{Rows: s.Rows, Sent: s.Stored + s.Filtered + s.Accepted, Refused: s.Refused})
	}
	err = p.run(cmd.Context(), produce.NewRows(rows))
	done()
	if perr := p.print(cmd.OutOrStdout()); err == nil {
		err = perr
	}
	if err == nil && p.summary.Refused > 0 {
		return errSilent
	}
	return err
}

// url is where rows of a source are pushed to.
func (f *pushFlags) url(source string) string {
	query := url.Values{}
	for name, value := range map[string]string{"view": f.view, "transform_on_write": f.transform} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if f.async {
		query.Set("mode", "async")
	}
	return (&url.URL{Scheme: "http", Host: f.server, Path: "/v1/push/" + source, RawQuery: query.Encode()}).String()
}

func (p *apiPush) run(ctx context.Context, rows *produce.Rows) error {
	for {
		row, err := rows.Next()
		switch {
		case errors.Is(err, io.EOF):
			return p.send(ctx)
		case err != nil:
			return errors.Join(p.send(ctx), err)
		case row.Fault != nil:
			p.summary.Rows++
			p.refuse(row.Line, row.Fault.Error())
			continue
		}
		text, err := json.Marshal(row.Fields)
		if err != nil { // what was decoded encodes
			return fmt.Errorf("push the row in line %d: %w", row.Line, err)
		}
		p.body.Write(append(text, '\n'))
		p.lines = append(p.lines, row.Line)
		if len(p.lines) < pushBatchRows && p.body.Len() < pushBatchBytes {
			continue
		}
		if err := p.send(ctx); err != nil {
			return err
		}
	}
}

func (p *apiPush) refuse(line int, why string) {
	r := produce.Refusal{Line: line, Error: why}
	if p.summary.Refused++; len(p.summary.Refusals) < produce.MaxRefusals {
		p.summary.Refusals = append(p.summary.Refusals, r)
	}
	p.refused(r)
}

// send pushes what was read and waits while the server asks for it.
func (p *apiPush) send(ctx context.Context) error {
	body, lines := p.body.Bytes(), p.lines
	for attempt := 1; len(lines) > 0; attempt++ {
		status, wait, a, err := p.post(ctx, body)
		if err != nil {
			return err
		}
		if status == http.StatusOK || status == http.StatusAccepted {
			p.take(a, lines)
			break
		}
		if status != http.StatusServiceUnavailable || attempt == pushAttempts {
			return p.failure(status, a, lines)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("push from line %d on: %w", lines[0], ctx.Err())
		case <-time.After(wait):
		}
	}
	p.body.Reset()
	p.lines = p.lines[:0]
	return nil
}

func (p *apiPush) post(ctx context.Context, body []byte) (status int, wait time.Duration, a apiAnswer, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.target, bytes.NewReader(body))
	if err != nil {
		return 0, 0, a, fmt.Errorf("push: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, 0, a, fmt.Errorf("push to %s: %w; is millrace serve or millrace dev running there? --server chooses another", req.URL.Host, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	if a.text, err = io.ReadAll(resp.Body); err != nil {
		return 0, 0, a, fmt.Errorf("read the answer of %s: %w", req.URL.Host, err)
	}
	_ = json.Unmarshal(a.text, &a) // of a proxy, maybe: its text is shown
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return resp.StatusCode, time.Duration(max(seconds, 1)) * time.Second, a, nil
}

// take counts what was answered.
func (p *apiPush) take(a apiAnswer, lines []int) {
	s := &p.summary
	s.Rows += len(lines)
	s.Stored, s.Filtered, s.Accepted = s.Stored+a.Stored, s.Filtered+a.Filtered, s.Accepted+a.Accepted
	if a.Receipt != "" {
		s.Receipts = append(s.Receipts, a.Receipt)
	}
	last := -1
	for _, e := range a.Errors {
		if e.Row == last || e.Row >= len(lines) { // one refusal per row
			continue
		}
		last = e.Row
		p.refuse(lines[e.Row], e.Reason+": "+e.Message)
	}
	p.told(s)
}

func (p *apiPush) failure(status int, a apiAnswer, lines []int) error {
	at := lines[0]
	if n := a.Error.NextRow; n != nil && *n < len(lines) {
		at = lines[*n]
	}
	more := ""
	if a.Error.Receipt != "" {
		more = "; the rows are on the topic, their receipt is " + a.Error.Receipt
	}
	return fmt.Errorf("push from line %d on: answered %d: %s%s", at, status, errorText(a.text), more)
}

func (p *apiPush) print(w io.Writer) error {
	s := &p.summary
	if !isTerminal(w) {
		return json.NewEncoder(w).Encode(s) //nolint:wrapcheck // a reader that went away
	}
	if p.async {
		fmt.Fprintf(w, "%d of %d rows accepted; ask GET /v1/receipts/RECEIPT what becomes of them:\n", s.Accepted, s.Rows)
		for _, r := range s.Receipts {
			fmt.Fprintln(w, r)
		}
	} else {
		fmt.Fprintf(w, "%d rows: %d stored, %d filtered\n", s.Rows, s.Stored, s.Filtered)
	}
	if s.Refused > 0 {
		fmt.Fprintf(w, "%d refused: correct them and push these again\n", s.Refused)
	}
	return nil
}
