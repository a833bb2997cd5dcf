package expr_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/transforms/expr"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts in testdata give into them")

// TestScripts runs testdata/*.txt. A script is a list of blocks separated by
// empty lines:
//
//	rows                     columns and rows for the blocks that follow
//	values                   expression => type and value, one without columns per line
//	eval … ---- …            one expression over the rows, and its column
//
// A failure shows the failing part; an error shows its place by a caret.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rows table
	var result []string
	for block := range strings.SplitSeq(strings.TrimRight(string(text), "\n"), "\n\n") {
		head, _, _ := strings.Cut(block, "\n")
		if strings.HasPrefix(head, "#") {
			result = append(result, block)
			continue
		}
		input, want, _ := strings.Cut(block, "\n----")
		_, body, _ := strings.Cut(input, "\n")
		var got string
		switch head {
		case "rows":
			rows = readTable(t, body)
			result = append(result, block)
			continue
		case "values":
			result = append(result, "values\n"+evalValues(t, body))
			continue
		case "eval":
			got = evalRows(body, rows)
		default:
			t.Fatalf("%s: a block begins with %q", file, head)
		}
		result = append(result, input+"\n----\n"+got)
		if want = strings.TrimPrefix(want, "\n"); got != want && !*rewrite {
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", input, got, want)
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.Join(result, "\n\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// table is columns of test data; the columns event_time and now fill the
// origins.
type table struct {
	names   []string
	columns []*feature.Column
	rows    int
}

func readTable(t testing.TB, text string) table {
	lines := strings.Split(text, "\n")
	var tab table
	for cell := range strings.SplitSeq(lines[0], "|") {
		name, kind, _ := strings.Cut(strings.TrimSpace(cell), " ")
		typ, err := feature.ParseType(kind)
		if err != nil {
			t.Fatal(err)
		}
		c := new(feature.Column)
		c.Reset(typ)
		tab.names, tab.columns = append(tab.names, name), append(tab.columns, c)
	}
	for _, line := range lines[1:] {
		for i, cell := range strings.Split(line, "|") {
			cell = strings.TrimSpace(cell)
			if cell == "''" {
				cell = ""
			}
			one, err := expr.ParseLiteral(cell, tab.columns[i].Type)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			tab.columns[i].AppendFrom(one, 0)
		}
		tab.rows++
	}
	return tab
}

// Resolve and Names make a table a scope.
func (tab table) Resolve(name string) (*expr.Expr, bool) {
	for i, n := range tab.names {
		if n == name {
			return expr.Column(i, n, tab.columns[i].Type), true
		}
	}
	return nil, false
}

func (tab table) Names() []string { return tab.names }

func (tab table) input() expr.Input {
	in := expr.Input{Rows: tab.rows, Columns: tab.columns}
	for i, name := range tab.names {
		switch name {
		case "event_time":
			in.EventMicros = tab.columns[i].Ints
		case "now":
			in.NowMicros = tab.columns[i].Ints
		}
	}
	return in
}

func checked(text string, scope expr.Scope) (*expr.Expr, error) {
	n, err := expr.Parse(text)
	if err != nil {
		return nil, err
	}
	return expr.Check(n, scope)
}

func evalValues(t *testing.T, body string) string {
	var out []string
	for line := range strings.SplitSeq(body, "\n") {
		text, want, _ := strings.Cut(line, " => ")
		got := evalValue(text)
		if got != want && !*rewrite {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
		out = append(out, text+" => "+got)
	}
	return strings.Join(out, "\n")
}

func evalValue(text string) string {
	e, err := checked(text, table{})
	if err != nil {
		return strings.ReplaceAll("error: "+err.Error(), "\n", " / ")
	}
	m := expr.Compile([]*expr.Expr{e}).NewMachine()
	m.Run(expr.Input{Rows: 1})
	return e.Type().String() + " " + show(m, 0, 0)
}

func evalRows(text string, tab table) string {
	e, err := checked(text, tab)
	if err != nil {
		return showErrors(text, err)
	}
	m := expr.Compile([]*expr.Expr{e}).NewMachine()
	m.Run(tab.input())
	out := []string{e.Type().String()}
	for row := range tab.rows {
		out = append(out, show(m, 0, row))
	}
	return strings.Join(out, "\n")
}

func show(m *expr.Machine, out, row int) string {
	if f, failed := m.Failure(out, row); failed {
		return fmt.Sprintf("failed at %d: %s", f.Offset, f.Message)
	}
	return showValue(m.Out(out), row)
}

func showValue(c *feature.Column, row int) string {
	if c.IsNull(row) {
		return "null"
	}
	switch c.Type.Layout() {
	case feature.LayoutBool:
		return strconv.FormatBool(c.Bools[row])
	case feature.LayoutInt:
		if c.Type.Kind == feature.KindTimestamp {
			return time.UnixMicro(c.Ints[row]).UTC().Format(time.RFC3339Nano)
		}
		return strconv.FormatInt(c.Ints[row], 10)
	case feature.LayoutFloat:
		size := 64
		if c.Type.Kind == feature.KindFloat32 {
			size = 32
		}
		return strconv.FormatFloat(c.Floats[row], 'g', -1, size)
	case feature.LayoutString:
		return strconv.Quote(c.Strings[row])
	case feature.LayoutList:
		var all []string
		for e := c.Spans[row].Start; e < c.Spans[row].End; e++ {
			all = append(all, showValue(c.Elems, int(e)))
		}
		return "[" + strings.Join(all, ", ") + "]"
	case feature.LayoutNone:
	}
	return "?"
}

// showErrors prints each error under the text, as a terminal would.
func showErrors(text string, err error) string {
	var many interface{ Unwrap() []error }
	all := []error{err}
	if errors.As(err, &many) {
		all = many.Unwrap()
	}
	var b strings.Builder
	for _, err := range all {
		var at *expr.Error
		if !errors.As(err, &at) {
			return "not an expr.Error: " + err.Error()
		}
		start := strings.LastIndexByte(text[:at.Offset], '\n') + 1
		line, _, _ := strings.Cut(text[start:], "\n")
		width := max(1, min(at.End, start+len(line))-at.Offset)
		fmt.Fprintf(&b, "error: %s\n  %s\n  %s%s\n", at.Message, line, strings.Repeat(" ", at.Offset-start), strings.Repeat("^", width))
		if at.Hint != "" {
			fmt.Fprintf(&b, "  hint: %s\n", at.Hint)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
